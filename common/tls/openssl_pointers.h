// OpenSSL's objects as owned pointers, its errors as text and its times as numbers. Only for the .cc files of this room
// and their tests.
#ifndef TOOLWIRE_COMMON_TLS_OPENSSL_POINTERS_H_
#define TOOLWIRE_COMMON_TLS_OPENSSL_POINTERS_H_

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <time.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/tidy.h"

namespace toolwire {

struct OpensslDeleter {
  void operator()(BIO* bio) const { BIO_free_all(bio); }
  void operator()(BIGNUM* number) const { BN_free(number); }
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(X509_EXTENSION* extension) const { X509_EXTENSION_free(extension); }
  void operator()(GENERAL_NAMES* names) const { GENERAL_NAMES_free(names); }
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
template <typename T>
using OpensslPtr = std::unique_ptr<T, OpensslDeleter>;

// The oldest error of this thread's queue, which is the cause of the others, and clears it.
inline std::string TakeOpensslError() {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  const char* const reason = ERR_reason_error_string(code);
  return reason == nullptr ? "unknown error" : reason;
}

// Reads PEM from `text`, which must outlive it.
inline OpensslPtr<BIO> ReadFrom(std::string_view text) {
  text = WithoutByteOrderMark(text);  // OpenSSL knows no such marks.
  return OpensslPtr<BIO>(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

// For reading PEM: OpenSSL's own would ask for a passphrase on the terminal, or wait for one on standard input.
// `asked`, if it is not null, is set to true.
inline int NoPassphrase(char*, int, int, void* asked) {
  if (asked != nullptr) *static_cast<bool*>(asked) = true;
  return -1;
}

// The next one of a PEM text; null: there is no more, or it cannot be read.
inline OpensslPtr<X509> ReadCertificate(BIO* text, bool* asked = nullptr) {
  return OpensslPtr<X509>(PEM_read_bio_X509(text, nullptr, NoPassphrase, asked));
}
inline OpensslPtr<EVP_PKEY> ReadPrivateKey(BIO* text, bool* asked = nullptr) {
  return OpensslPtr<EVP_PKEY>(PEM_read_bio_PrivateKey(text, nullptr, NoPassphrase, asked));
}

// In seconds.
inline std::optional<int64_t> UnixTime(const ASN1_TIME* time) {
  tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return std::nullopt;
  return timegm(&parts);
}

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_TLS_OPENSSL_POINTERS_H_
