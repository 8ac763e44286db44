// Certificates of X.509 version 3. A CA's may sign others and nothing else; the others are for one or both ends of a
// connection. Authority and subject key identifiers are there since some verifiers look for them.
#include "common/tls/certificate_maker.h"

#include <arpa/inet.h>
#include <openssl/ec.h>

#include <algorithm>
#include <ctime>
#include <initializer_list>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/tls/certificate_name.h"
#include "common/tls/openssl_pointers.h"

namespace toolwire {
namespace {

absl::Status OpensslFailed(const char* what) {
  return absl::InternalError(absl::StrCat("OpenSSL cannot ", what, ": ", TakeOpensslError()));
}

// Also with a star as its first label. Nothing that would mean more to OpenSSL's parser of extensions.
bool IsDnsName(const std::string& name) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
           c == '_';
  };
  const size_t begin = name.compare(0, 2, "*.") == 0 ? 2 : 0;
  return name.size() > begin && name.size() <= 253 && name[begin] != '.' && name.find("..") == std::string::npos &&
         std::all_of(name.begin() + static_cast<std::ptrdiff_t>(begin), name.end(), allowed);
}

bool AddExtension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const OpensslPtr<X509_EXTENSION> extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
  return extension && X509_add_ext(certificate, extension.get(), -1) == 1;
}

bool SetSerial(X509* certificate) {
  const OpensslPtr<BIGNUM> serial(BN_new());
  // Positive, as 20 bytes at most.
  return serial && BN_rand(serial.get(), 159, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) == 1 &&
         BN_to_ASN1_INTEGER(serial.get(), X509_get_serialNumber(certificate)) != nullptr;
}

struct Extension {
  int nid;
  std::string value;
};

// `issuer` is null for a certificate that its own key signs.
absl::StatusOr<CertificateAndKey> Make(const std::string& common_name, int64_t not_before, int64_t not_after,
                                       const std::vector<Extension>& extensions, X509* issuer, EVP_PKEY* issuer_key) {
  const OpensslPtr<EVP_PKEY> key(EVP_EC_gen("P-256"));
  const OpensslPtr<X509> made(X509_new());
  if (!key || !made) return OpensslFailed("make a key");
  X509* const certificate = made.get();
  const auto* const name = reinterpret_cast<const unsigned char*>(common_name.c_str());
  X509_NAME* const subject = X509_get_subject_name(certificate);
  bool right =
      X509_set_version(certificate, X509_VERSION_3) == 1 && SetSerial(certificate) &&
      (common_name.empty() || X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, name, -1, -1, 0) == 1) &&
      X509_set_issuer_name(certificate, issuer == nullptr ? subject : X509_get_subject_name(issuer)) == 1 &&
      ASN1_TIME_set(X509_getm_notBefore(certificate), not_before) != nullptr &&
      ASN1_TIME_set(X509_getm_notAfter(certificate), not_after) != nullptr &&
      X509_set_pubkey(certificate, key.get()) == 1;
  for (const auto& [nid, value] : extensions) {
    right = right && AddExtension(certificate, issuer == nullptr ? certificate : issuer, nid, value);
  }
  right = right && X509_sign(certificate, issuer == nullptr ? key.get() : issuer_key, EVP_sha256()) > 0;
  if (!right) return OpensslFailed("make a certificate");

  const OpensslPtr<BIO> certificate_text(BIO_new(BIO_s_mem()));
  const OpensslPtr<BIO> key_text(BIO_new(BIO_s_secmem()));
  if (PEM_write_bio_X509(certificate_text.get(), certificate) != 1 ||
      PEM_write_bio_PKCS8PrivateKey(key_text.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    return OpensslFailed("write a certificate");
  }
  const auto text_of = [](BIO* bio) {
    char* text = nullptr;
    const long size = BIO_get_mem_data(bio, &text);
    return std::string(text, static_cast<size_t>(size));
  };
  return CertificateAndKey{text_of(certificate_text.get()), text_of(key_text.get())};
}

// "DNS:a,IP:::1". Empty, if one of the names is neither; `*wrong` is which.
std::string AlternativeNames(const std::vector<std::string>& names, std::string* wrong) {
  std::string list;
  for (const std::string& name : names) {
    if (!IsIpAddress(name) && !IsDnsName(name)) {
      *wrong = name;
      return "";
    }
    absl::StrAppend(&list, list.empty() ? "" : ",", IsIpAddress(name) ? "IP:" : "DNS:", name);
  }
  return list;
}

}  // namespace

absl::StatusOr<int64_t> ExpiryOf(const std::string& certificate) {
  const OpensslPtr<X509> parsed = ReadCertificate(ReadFrom(certificate).get());
  ERR_clear_error();
  tm parts{};
  if (!parsed || ASN1_TIME_to_tm(X509_get0_notAfter(parsed.get()), &parts) != 1) {
    return absl::InvalidArgumentError("no certificate in PEM form");
  }
  return timegm(&parts);
}

absl::StatusOr<std::vector<std::string>> AlternativeNamesOf(const std::string& certificate) {
  const OpensslPtr<X509> parsed(PEM_read_bio_X509(ReadFrom(certificate).get(), nullptr, nullptr, nullptr));
  ERR_clear_error();
  if (!parsed) return absl::InvalidArgumentError("no certificate in PEM form");
  const OpensslPtr<GENERAL_NAMES> found(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(parsed.get(), NID_subject_alt_name, nullptr, nullptr)));
  std::vector<std::string> names;
  for (int i = 0; found && i < sk_GENERAL_NAME_num(found.get()); ++i) {
    int kind = 0;
    const auto* const text =
        static_cast<const ASN1_STRING*>(GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(found.get(), i), &kind));
    if (kind != GEN_DNS && kind != GEN_IPADD) continue;
    const unsigned char* const bytes = ASN1_STRING_get0_data(text);
    const auto size = static_cast<size_t>(ASN1_STRING_length(text));
    char address[INET6_ADDRSTRLEN] = "";
    if (kind == GEN_DNS) {
      names.emplace_back(reinterpret_cast<const char*>(bytes), size);
    } else if ((size == 4 || size == 16) &&
               inet_ntop(size == 4 ? AF_INET : AF_INET6, bytes, address, sizeof address) != nullptr) {
      names.emplace_back(address);
    }
  }
  return names;
}

absl::StatusOr<CertificateAndKey> MakeCa(const std::string& common_name, int64_t not_before, int64_t not_after) {
  return Make(common_name, not_before, not_after,
              {{NID_basic_constraints, "critical,CA:TRUE,pathlen:0"},
               {NID_key_usage, "critical,keyCertSign,cRLSign"},
               {NID_subject_key_identifier, "hash"}},
              nullptr, nullptr);
}

absl::StatusOr<CertificateAndKey> MakeCertificate(const CertificateAndKey& ca, const CertificateRequest& request) {
  const OpensslPtr<X509> issuer = ReadCertificate(ReadFrom(ca.certificate).get());
  bool encrypted = false;
  const OpensslPtr<EVP_PKEY> issuer_key = ReadPrivateKey(ReadFrom(ca.key).get(), &encrypted);
  ERR_clear_error();
  if (encrypted) {
    return absl::InvalidArgumentError("the key of the CA is encrypted; one without a passphrase is needed");
  }
  if (!issuer || !issuer_key || X509_check_ca(issuer.get()) == 0 ||
      X509_check_private_key(issuer.get(), issuer_key.get()) != 1) {
    return absl::InvalidArgumentError("not the certificate and the key of a CA");
  }
  std::string wrong;
  const std::string names = AlternativeNames(request.names, &wrong);
  if (names.empty() && !request.names.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("neither a DNS name nor an IP address: ", wrong));
  }
  std::vector<Extension> extensions = {
      {NID_basic_constraints, "critical,CA:FALSE"},
      {NID_key_usage, "critical,digitalSignature"},
      {NID_ext_key_usage,
       absl::StrCat(request.is_server ? "serverAuth" : "", request.is_server && request.is_client ? "," : "",
                    request.is_client ? "clientAuth" : "")},
      {NID_subject_key_identifier, "hash"},
      {NID_authority_key_identifier, "keyid:always"},
  };
  if (!names.empty()) extensions.push_back({NID_subject_alt_name, names});
  return Make(request.common_name, request.not_before, request.not_after, extensions, issuer.get(), issuer_key.get());
}

}  // namespace toolwire
