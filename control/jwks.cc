// OpenSSL makes a key once, when the file is read: making it takes as long as checking a signature. ES256 signatures
// are two numbers of 32 bytes, one behind the other, which OpenSSL wants in DER.
#include "control/jwks.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/base64url.h"
#include "control/json_object.h"

namespace toolwire {
namespace {

using Json = nlohmann::json;

template <typename T, void (*free)(T*)>
struct Freed {
  void operator()(T* object) const { free(object); }
};
template <typename T, void (*free)(T*)>
using Owned = std::unique_ptr<T, Freed<T, free>>;
using BigNumber = Owned<BIGNUM, BN_free>;
using KeyPointer = std::shared_ptr<EVP_PKEY>;

// A JWKS is an object with an array of objects, some of which hold arrays of texts.
constexpr int kDepthMax = 8;
constexpr size_t kCoordinateBytes = 32;  // P-256.
constexpr size_t kExponentBytesMax = 4;  // 65537 has three. Checking a signature takes as long as this is.

// What OpenSSL notes of a failure belongs to the thread, and would be taken for the next one's.
class ErrorQueue {
 public:
  ~ErrorQueue() { ERR_clear_error(); }
};

BigNumber ToNumber(std::string_view bytes) {
  return BigNumber(
      BN_bin2bn(reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<int>(bytes.size()), nullptr));
}

// The DER form of r and s; empty if there is none.
std::string ToDer(std::string_view signature) {
  if (signature.size() != 2 * kCoordinateBytes) return "";
  BigNumber r = ToNumber(signature.substr(0, kCoordinateBytes)), s = ToNumber(signature.substr(kCoordinateBytes));
  const Owned<ECDSA_SIG, ECDSA_SIG_free> pair(ECDSA_SIG_new());
  if (!r || !s || !pair || ECDSA_SIG_set0(pair.get(), r.get(), s.get()) != 1) return "";
  r.release();
  s.release();
  const int size = i2d_ECDSA_SIG(pair.get(), nullptr);
  if (size <= 0) return "";
  std::string der(static_cast<size_t>(size), '\0');
  auto* at = reinterpret_cast<unsigned char*>(der.data());
  i2d_ECDSA_SIG(pair.get(), &at);
  return der;
}

KeyPointer MakeKey(const char* type, OSSL_PARAM_BLD* build) {
  const Owned<OSSL_PARAM, OSSL_PARAM_free> params(OSSL_PARAM_BLD_to_param(build));
  const Owned<EVP_PKEY_CTX, EVP_PKEY_CTX_free> context(EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr));
  EVP_PKEY* key = nullptr;
  if (!params || !context || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, params.get()) != 1) {
    return nullptr;
  }
  return KeyPointer(key, EVP_PKEY_free);
}

bool BytesOf(const Json& key, const char* name, std::string* bytes) {
  const std::optional<std::string> text = TextOf(key, name);
  return text && DecodeBase64Url(*text, bytes) && !bytes->empty();
}

bool IsOrIsAbsent(const Json& key, const char* name, const char* value) {
  return !key.contains(name) || TextOf(key, name) == value;
}

bool MayVerify(const Json& key) {
  if (!IsOrIsAbsent(key, "use", "sig")) return false;
  const auto found = key.find("key_ops");
  return found == key.end() || (found->is_array() && std::find(found->begin(), found->end(), "verify") != found->end());
}

// A key, or why there is none.
struct ReadKey {
  std::shared_ptr<SigningKey> key;
  std::string skipped;  // It is not for us.
  std::string wrong;    // It is not valid.
};
ReadKey Skipped(std::string why) { return {nullptr, std::move(why), ""}; }
ReadKey Wrong(std::string why) { return {nullptr, "", std::move(why)}; }

ReadKey ReadRsa(const Json& key, const std::string& kid) {
  if (!IsOrIsAbsent(key, "alg", "RS256")) return Skipped("its alg is not RS256");
  std::string modulus, exponent;
  if (!BytesOf(key, "n", &modulus) || !BytesOf(key, "e", &exponent)) return Wrong("has no n and e in base64url");
  const BigNumber n = ToNumber(modulus), e = ToNumber(exponent);
  if (!n || !e || !BN_is_odd(n.get())) return Wrong("is no RSA key");
  const int bits = BN_num_bits(n.get());
  if (bits < kRsaBitsMin || bits > kRsaBitsMax) {
    return Skipped(absl::StrCat("RSA keys must have ", kRsaBitsMin, " to ", kRsaBitsMax, " bits"));
  }
  if (exponent.size() > kExponentBytesMax || !BN_is_odd(e.get()) || BN_is_one(e.get())) {
    return Wrong("has an e that is no odd number from 3 on of at most 4 bytes");
  }
  const Owned<OSSL_PARAM_BLD, OSSL_PARAM_BLD_free> build(OSSL_PARAM_BLD_new());
  if (!build || OSSL_PARAM_BLD_push_BN(build.get(), OSSL_PKEY_PARAM_RSA_N, n.get()) != 1 ||
      OSSL_PARAM_BLD_push_BN(build.get(), OSSL_PKEY_PARAM_RSA_E, e.get()) != 1) {
    return Wrong("cannot be taken");
  }
  KeyPointer made = MakeKey("RSA", build.get());
  if (made == nullptr) return Wrong("is no RSA key");
  return {std::make_shared<SigningKey>(kid, JwtAlgorithm::kRs256, std::move(made)), "", ""};
}

ReadKey ReadEc(const Json& key, const std::string& kid) {
  if (TextOf(key, "crv") != "P-256") return Skipped("its crv is not P-256");
  if (!IsOrIsAbsent(key, "alg", "ES256")) return Skipped("its alg is not ES256");
  std::string x, y;
  if (!BytesOf(key, "x", &x) || !BytesOf(key, "y", &y) || x.size() != kCoordinateBytes ||
      y.size() != kCoordinateBytes) {
    return Wrong("has no x and y of 32 bytes in base64url");
  }
  const std::string point = absl::StrCat("\x04", x, y);  // Not compressed.
  const Owned<OSSL_PARAM_BLD, OSSL_PARAM_BLD_free> build(OSSL_PARAM_BLD_new());
  if (!build || OSSL_PARAM_BLD_push_utf8_string(build.get(), OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0) != 1 ||
      OSSL_PARAM_BLD_push_octet_string(build.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(), point.size()) != 1) {
    return Wrong("cannot be taken");
  }
  KeyPointer made = MakeKey("EC", build.get());
  if (made == nullptr) return Wrong("is no point of its curve");
  return {std::make_shared<SigningKey>(kid, JwtAlgorithm::kEs256, std::move(made)), "", ""};
}

ReadKey ReadOne(const Json& key) {
  if (!key.is_object()) return Wrong("is no object");
  const std::optional<std::string> kind = TextOf(key, "kty");
  if (!kind) return Wrong("has no kty");
  if (kind != "RSA" && kind != "EC") return Skipped("its kty is neither RSA nor EC");
  if (key.contains("d")) return Wrong("is a private key: give control the public half alone, and make a new key");
  if (!MayVerify(key)) return Skipped("it is not for signatures");
  const std::optional<std::string> kid = TextOf(key, "kid");
  if (!kid || kid->empty() || kid->size() > kKeyIdBytesMax) {
    return Skipped(absl::StrCat("it has no kid of 1 to ", kKeyIdBytesMax, " bytes, by which tokens name it"));
  }
  return kind == "RSA" ? ReadRsa(key, *kid) : ReadEc(key, *kid);
}

absl::Status Refused(const std::string& why) { return absl::InvalidArgumentError(why); }

}  // namespace

std::optional<JwtAlgorithm> ReadJwtAlgorithm(std::string_view name) {
  if (name == "RS256") return JwtAlgorithm::kRs256;
  if (name == "ES256") return JwtAlgorithm::kEs256;
  return std::nullopt;
}

bool SigningKey::Verify(std::string_view text, std::string_view signature) const {
  const ErrorQueue errors;
  std::string der;
  if (algorithm == JwtAlgorithm::kEs256) {
    der = ToDer(signature);
    signature = der;
    if (der.empty()) return false;
  }
  const auto bytes = [](std::string_view of) { return reinterpret_cast<const unsigned char*>(of.data()); };
  const Owned<EVP_MD_CTX, EVP_MD_CTX_free> context(EVP_MD_CTX_new());
  return context && EVP_DigestVerifyInit(context.get(), nullptr, EVP_sha256(), nullptr, key_.get()) == 1 &&
         EVP_DigestVerify(context.get(), bytes(signature), signature.size(), bytes(text), text.size()) == 1;
}

bool SigningKey::Equals(const SigningKey& other) const {
  const ErrorQueue errors;
  return kid == other.kid && algorithm == other.algorithm && EVP_PKEY_eq(key_.get(), other.key_.get()) == 1;
}

absl::StatusOr<Jwks> ParseJwks(std::string_view file) {
  const ErrorQueue errors;
  if (file.size() > kJwksBytesMax) return Refused(absl::StrCat("more than ", kJwksBytesMax, " bytes"));
  const std::optional<Json> set = ReadJsonObject(file, kDepthMax);
  if (!set || !set->contains("keys") || !(*set)["keys"].is_array()) {
    return Refused("no JSON object with an array `keys` and nothing behind it");
  }
  const Json& keys = (*set)["keys"];
  if (keys.size() > kJwksKeysMax) return Refused(absl::StrCat("more than ", kJwksKeysMax, " keys"));
  Jwks jwks;
  for (size_t i = 0; i < keys.size(); ++i) {
    ReadKey read = ReadOne(keys[i]);
    const std::string which = absl::StrCat("key ", i + 1);
    if (!read.wrong.empty()) return Refused(absl::StrCat(which, " ", read.wrong));
    if (!read.skipped.empty()) {
      jwks.skipped.push_back(absl::StrCat(which, ": ", read.skipped));
      continue;
    }
    const auto has_its_id = [&](const auto& other) { return other->kid == read.key->kid; };
    if (std::any_of(jwks.keys.begin(), jwks.keys.end(), has_its_id)) {
      return Refused(absl::StrCat(which, " has the kid of another one"));
    }
    jwks.keys.push_back(std::move(read.key));
  }
  if (!jwks.keys.empty()) return jwks;
  return Refused(jwks.skipped.empty() ? "no key in it"
                                      : absl::StrCat("no key in it can be used; ", jwks.skipped.front()));
}

}  // namespace toolwire
