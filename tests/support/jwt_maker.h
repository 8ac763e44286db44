// Keys and JSON Web Tokens for tests, by OpenSSL.
#ifndef TOOLWIRE_TESTS_SUPPORT_JWT_MAKER_H_
#define TOOLWIRE_TESTS_SUPPORT_JWT_MAKER_H_

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "absl/strings/escaping.h"

namespace toolwire {

inline std::string Base64Url(std::string_view bytes) {
  std::string text = absl::WebSafeBase64Escape({bytes.data(), bytes.size()});
  while (!text.empty() && text.back() == '=') text.pop_back();
  return text;
}

// A pair of keys of an issuer.
class IssuerKey {
 public:
  static IssuerKey Rsa(const std::string& kid, unsigned bits = 2048) {
    return IssuerKey(kid, EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", size_t{bits}));
  }
  static IssuerKey Ec(const std::string& kid, const char* curve = "P-256") {
    return IssuerKey(kid, EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", curve));
  }

  bool is_rsa() const { return EVP_PKEY_is_a(key_.get(), "RSA") == 1; }
  const char* algorithm() const { return is_rsa() ? "RS256" : "ES256"; }

  // The public half, as an issuer publishes it.
  nlohmann::json Public() const {
    nlohmann::json jwk = {{"kid", kid}, {"use", "sig"}, {"alg", algorithm()}};
    if (is_rsa()) {
      jwk.update({{"kty", "RSA"}, {"n", Number(OSSL_PKEY_PARAM_RSA_N, 0)}, {"e", Number(OSSL_PKEY_PARAM_RSA_E, 0)}});
    } else {
      jwk.update({{"kty", "EC"},
                  {"crv", "P-256"},
                  {"x", Number(OSSL_PKEY_PARAM_EC_PUB_X, 32)},
                  {"y", Number(OSSL_PKEY_PARAM_EC_PUB_Y, 32)}});
    }
    return jwk;
  }

  std::string Sign(std::string_view text) const {
    const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
    std::string signature(1024, '\0');
    size_t size = signature.size();
    auto* const out = reinterpret_cast<unsigned char*>(signature.data());
    if (EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, key_.get()) != 1 ||
        EVP_DigestSign(context.get(), out, &size, reinterpret_cast<const unsigned char*>(text.data()), text.size()) !=
            1) {
      std::abort();
    }
    signature.resize(size);
    return is_rsa() ? signature : OfDer(signature);
  }

  // A token with these claims, as text, under this header; by default a usual one.
  std::string TokenOf(std::string_view claims, const nlohmann::json& header) const {
    const std::string text = Base64Url(header.dump()) + "." + Base64Url(claims);
    return text + "." + Base64Url(Sign(text));
  }
  nlohmann::json Header() const { return {{"alg", algorithm()}, {"kid", kid}, {"typ", "JWT"}}; }
  std::string Token(const nlohmann::json& claims) const { return TokenOf(claims.dump(), Header()); }

  const std::string kid;

 private:
  IssuerKey(std::string kid, EVP_PKEY* key) : kid(std::move(kid)), key_(key, EVP_PKEY_free) {
    if (key == nullptr) std::abort();
  }
  std::string Number(const char* name, int size) const {
    BIGNUM* number = nullptr;
    if (EVP_PKEY_get_bn_param(key_.get(), name, &number) != 1) std::abort();
    const std::unique_ptr<BIGNUM, decltype(&BN_free)> owned(number, BN_free);
    std::string bytes(static_cast<size_t>(size == 0 ? BN_num_bytes(number) : size), '\0');
    BN_bn2binpad(number, reinterpret_cast<unsigned char*>(bytes.data()), static_cast<int>(bytes.size()));
    return Base64Url(bytes);
  }
  static std::string OfDer(const std::string& der) {
    const auto* at = reinterpret_cast<const unsigned char*>(der.data());
    const std::unique_ptr<ECDSA_SIG, decltype(&ECDSA_SIG_free)> pair(
        d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der.size())), ECDSA_SIG_free);
    std::string bytes(64, '\0');
    auto* const out = reinterpret_cast<unsigned char*>(bytes.data());
    BN_bn2binpad(ECDSA_SIG_get0_r(pair.get()), out, 32);
    BN_bn2binpad(ECDSA_SIG_get0_s(pair.get()), out + 32, 32);
    return bytes;
  }

  std::shared_ptr<EVP_PKEY> key_;
};

// The file of these keys.
template <typename... Keys>
std::string JwksOf(const Keys&... keys) {
  return nlohmann::json{{"keys", nlohmann::json::array({keys.Public()...})}}.dump();
}

// Claims that are right for `kIssuer` and `kAudience` in the hour from `now_ms` on.
inline constexpr char kIssuer[] = "https://issuer.example", kAudience[] = "toolwire";
inline nlohmann::json GoodClaims(int64_t now_ms) {
  const int64_t now = now_ms / 1000;
  return {{"iss", kIssuer}, {"aud", kAudience},           {"sub", "user_1"},
          {"iat", now},     {"exp", now + 3600},          {"scope", "openid toolwire:call toolwire:read"},
          {"azp", "shop"},  {"jti", "0123456789abcdef01"}};
}

}  // namespace toolwire

#endif  // TOOLWIRE_TESTS_SUPPORT_JWT_MAKER_H_
