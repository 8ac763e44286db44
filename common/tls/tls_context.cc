// Session tickets are sealed by our own callback, since OpenSSL keeps one key only: the newest seals, all open, and a
// ticket that an older one opened is renewed. The keys belong to the SSL_CTX and go with it.
#include "common/tls/tls_context.h"

#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <time.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/tls/openssl_pointers.h"

namespace toolwire {
namespace {

using TicketKey = TlsFiles::TicketKeys::value_type;
constexpr size_t kTicketNameBytes = 16;
constexpr size_t kTicketSecretBytes = 32;

// Forward secrecy and authenticated encryption only. Of version 1.3 all ciphers have both.
constexpr char kCiphers[] = "ECDHE+AESGCM:ECDHE+CHACHA20";
// A peer's chain: ten times what chains of three have.
constexpr long kPeerChainBytesMax = 32 * 1024;

absl::Status WrongFile(const std::string& file, const std::string& what) {
  return absl::InvalidArgumentError(absl::StrCat(file, ": ", what));
}

// --- session tickets -------------------------------------------------------------------------------------------------

void FreeTicketKeys(void*, void* keys, CRYPTO_EX_DATA*, int, long, void*) {
  auto* const owned = static_cast<TlsFiles::TicketKeys*>(keys);
  if (owned == nullptr) return;
  for (TicketKey& key : *owned) OPENSSL_cleanse(key.data(), key.size());
  delete owned;
}

int TicketKeysIndex() {
  static const int index = SSL_CTX_get_ex_new_index(0, nullptr, nullptr, nullptr, FreeTicketKeys);
  return index;
}

// As SSL_CTX_set_tlsext_ticket_key_evp_cb has it: -1 error, 0 no such key, 1 done, 2 done, and to be renewed.
int OnTicket(SSL* ssl, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac, int seals) {
  const auto* const keys =
      static_cast<const TlsFiles::TicketKeys*>(SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), TicketKeysIndex()));
  if (keys == nullptr || keys->empty()) return -1;
  auto key = keys->begin();
  if (seals == 0) {
    key = std::find_if(keys->begin(), keys->end(),
                       [name](const TicketKey& one) { return std::memcmp(one.data(), name, kTicketNameBytes) == 0; });
    if (key == keys->end()) return 0;
  }
  // The order in which OpenSSL's own 80 bytes are used.
  std::array<unsigned char, kTicketSecretBytes> mac_key{};
  std::copy_n(key->data() + kTicketNameBytes, kTicketSecretBytes, mac_key.begin());
  const unsigned char* const aes_key = key->data() + kTicketNameBytes + kTicketSecretBytes;
  char digest[] = "SHA256";
  const OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, mac_key.data(), mac_key.size()),
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0), OSSL_PARAM_construct_end()};
  bool right = EVP_MAC_CTX_set_params(mac, parameters) == 1;
  OPENSSL_cleanse(mac_key.data(), mac_key.size());
  if (seals != 0) {
    std::memcpy(name, key->data(), kTicketNameBytes);
    right = right && RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) == 1 &&
            EVP_EncryptInit_ex(cipher, EVP_aes_256_cbc(), nullptr, aes_key, iv) == 1;
  } else {
    right = right && EVP_DecryptInit_ex(cipher, EVP_aes_256_cbc(), nullptr, aes_key, iv) == 1;
  }
  if (!right) return -1;
  // Of version 1.3 clients use a ticket once.
  return key == keys->begin() && SSL_version(ssl) != TLS1_3_VERSION ? 1 : 2;
}

absl::StatusOr<TlsFiles::TicketKeys> ParseTicketKeys(const std::string& file, std::string_view content) {
  constexpr size_t kBytes = TlsFiles::kTicketKeyBytes;
  const size_t count = content.size() / kBytes;
  if (count == 0 || content.size() % kBytes != 0 || count > TlsFiles::kTicketKeysMax) {
    return WrongFile(file, absl::StrCat("session ticket keys have ", kBytes, " bytes each, 1 to ",
                                        TlsFiles::kTicketKeysMax, " of them; the file has ", content.size(), " bytes"));
  }
  TlsFiles::TicketKeys keys(count);
  for (size_t i = 0; i < count; ++i) std::memcpy(keys[i].data(), content.data() + i * kBytes, kBytes);
  return keys;
}

// --- certificates ----------------------------------------------------------------------------------------------------

std::string TimeText(int64_t unix_time) {
  const auto time = static_cast<time_t>(unix_time);
  tm parts{};
  char text[32];
  strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&time, &parts));
  return text;
}

// All certificates of a PEM text.
absl::StatusOr<std::vector<OpensslPtr<X509>>> ParseCertificates(const std::string& file, std::string_view content) {
  std::vector<OpensslPtr<X509>> all;
  const OpensslPtr<BIO> text = ReadFrom(content);
  bool encrypted = false;
  while (auto one = ReadCertificate(text.get(), &encrypted)) all.push_back(std::move(one));
  const bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  const std::string error = TakeOpensslError();
  if (encrypted) return WrongFile(file, "a certificate is encrypted; one without a passphrase is needed");
  if (!at_end) return WrongFile(file, absl::StrCat("a certificate that cannot be parsed: ", error));
  if (all.empty()) return WrongFile(file, "has no certificate in PEM form");
  return all;
}

absl::StatusOr<OpensslPtr<EVP_PKEY>> ParseKey(const std::string& file, std::string_view content) {
  bool encrypted = false;
  OpensslPtr<EVP_PKEY> key = ReadPrivateKey(ReadFrom(content).get(), &encrypted);
  const std::string error = TakeOpensslError();
  if (encrypted) return WrongFile(file, "the key is encrypted; one without a passphrase is needed");
  if (!key) return WrongFile(file, absl::StrCat("not a private key in PEM form: ", error));
  return key;
}

absl::Status CheckTime(const TlsOptions& options, X509* certificate, int64_t now, TlsContext* context) {
  const auto from = UnixTime(X509_get0_notBefore(certificate));
  const auto until = UnixTime(X509_get0_notAfter(certificate));
  if (!from || !until) return WrongFile(options.certificate_file, "has a certificate without a valid time");
  if (now < *from) {
    return WrongFile(options.certificate_file, absl::StrCat("the certificate is not valid before ", TimeText(*from)));
  }
  if (now > *until) {
    return WrongFile(options.certificate_file, absl::StrCat("the certificate has expired at ", TimeText(*until)));
  }
  context->expires_at = std::min(context->expires_at.value_or(*until), *until);
  return absl::OkStatus();
}

std::string SerialText(X509* certificate) {
  const OpensslPtr<BIGNUM> number(ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), nullptr));
  char* const hex = number ? BN_bn2hex(number.get()) : nullptr;
  const std::string text = hex == nullptr ? "" : hex;
  OPENSSL_free(hex);
  return text;
}

absl::Status UseCertificate(const TlsOptions& options, const TlsContents& contents, int64_t now, TlsContext* context) {
  auto chain = ParseCertificates(options.certificate_file, contents.certificate);
  if (!chain.ok()) return chain.status();
  auto key = ParseKey(options.key_file, contents.key);
  if (!key.ok()) return key.status();
  if (X509_check_private_key(chain->front().get(), key->get()) != 1) {
    ERR_clear_error();
    return WrongFile(options.key_file, absl::StrCat("is not the key of the certificate in ", options.certificate_file));
  }
  for (const auto& certificate : *chain) {
    if (absl::Status status = CheckTime(options, certificate.get(), now, context); !status.ok()) return status;
  }
  context->serial = SerialText(chain->front().get());
  SSL_CTX* const ssl = context->ssl.get();
  bool right = SSL_CTX_use_certificate(ssl, chain->front().get()) == 1 && SSL_CTX_use_PrivateKey(ssl, key->get()) == 1;
  for (auto one = std::next(chain->begin()); one != chain->end(); ++one) {
    right = right && SSL_CTX_add1_chain_cert(ssl, one->get()) == 1;
  }
  if (!right) return WrongFile(options.certificate_file, TakeOpensslError());  // Such as a key that is too short.
  return absl::OkStatus();
}

absl::Status TrustCa(const TlsOptions& options, std::string_view content, TlsContext* context) {
  const auto authorities = ParseCertificates(options.ca_file, content);
  if (!authorities.ok()) return authorities.status();
  SSL_CTX* const ssl = context->ssl.get();
  std::optional<int64_t> until;
  for (const auto& one : *authorities) {
    until = std::max(until, UnixTime(X509_get0_notAfter(one.get())));
    const bool right = X509_STORE_add_cert(SSL_CTX_get_cert_store(ssl), one.get()) == 1 &&
                       (options.side == TlsOptions::Side::kClient || SSL_CTX_add_client_CA(ssl, one.get()) == 1);
    if (!right) return WrongFile(options.ca_file, TakeOpensslError());
  }
  // With the last of them nobody is trusted any more. While a CA is replaced the old one may end before.
  if (until) context->expires_at = std::min(context->expires_at.value_or(*until), *until);
  return absl::OkStatus();
}

// --- the rest of a context -------------------------------------------------------------------------------------------

// The protocol as ALPN writes it: its length before it.
std::string AlpnOf(const std::string& protocol) {
  return absl::StrCat(std::string(1, static_cast<char>(protocol.size())), protocol);
}

int OnAlpn(SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* offered,
           unsigned offered_size, void* protocol) {
  const std::string& ours = *static_cast<const std::string*>(protocol);
  unsigned char* chosen = nullptr;
  const int result = SSL_select_next_proto(&chosen, out_size, reinterpret_cast<const unsigned char*>(ours.data()),
                                           static_cast<unsigned>(ours.size()), offered, offered_size);
  *out = chosen;
  return result == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

// Refuses a client that names no protocol, which OpenSSL itself would not ask for one.
int OnClientHello(SSL* ssl, int* alert, void*) {
  const unsigned char* ignored = nullptr;
  size_t ignored_size = 0;
  constexpr unsigned kAlpn = TLSEXT_TYPE_application_layer_protocol_negotiation;
  if (SSL_client_hello_get0_ext(ssl, kAlpn, &ignored, &ignored_size) == 1) return SSL_CLIENT_HELLO_SUCCESS;
  ERR_raise(ERR_LIB_SSL, SSL_R_NO_APPLICATION_PROTOCOL);
  *alert = SSL_AD_NO_APPLICATION_PROTOCOL;
  return SSL_CLIENT_HELLO_ERROR;
}

void FreeText(void*, void* text, CRYPTO_EX_DATA*, int, long, void*) { delete static_cast<std::string*>(text); }

bool SetAlpn(SSL_CTX* ssl, const TlsOptions& options) {
  const std::string ours = AlpnOf(options.protocol);
  if (options.side == TlsOptions::Side::kClient) {
    const auto* const bytes = reinterpret_cast<const unsigned char*>(ours.data());
    return SSL_CTX_set_alpn_protos(ssl, bytes, static_cast<unsigned>(ours.size())) == 0;
  }
  static const int index = SSL_CTX_get_ex_new_index(0, nullptr, nullptr, nullptr, FreeText);
  auto* const kept = new std::string(ours);
  SSL_CTX_set_ex_data(ssl, index, kept);
  SSL_CTX_set_alpn_select_cb(ssl, OnAlpn, kept);
  if (options.protocol_required) SSL_CTX_set_client_hello_cb(ssl, OnClientHello, nullptr);
  return true;
}

bool SetRules(SSL_CTX* ssl, const TlsOptions& options) {
  const bool is_server = options.side == TlsOptions::Side::kServer;
  SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  // Read-ahead: one system call for a record instead of two. No automatic retries: a peer that sends what is no data
  // must not keep us in one call.
  SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_clear_mode(ssl, SSL_MODE_AUTO_RETRY);
  SSL_CTX_set_read_ahead(ssl, 1);
  SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_max_cert_list(ssl, kPeerChainBytesMax);
  const bool verifies = !is_server || !options.ca_file.empty();
  SSL_CTX_set_verify(ssl, verifies ? SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT : SSL_VERIFY_NONE, nullptr);
  const bool no_tickets = is_server && verifies;
  if (no_tickets) SSL_CTX_set_options(ssl, SSL_OP_NO_TICKET);
  X509_VERIFY_PARAM* const rules = SSL_CTX_get0_param(ssl);
  // Names are alternative names, never the subject's common name. A name that all peers have in common is a role, and a
  // certificate for *.toolwire.internal would have every one.
  const unsigned stars =
      options.peer_name.empty() ? X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS : X509_CHECK_FLAG_NO_WILDCARDS;
  X509_VERIFY_PARAM_set_hostflags(rules, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | stars);
  const auto* const context_id = reinterpret_cast<const unsigned char*>(options.port.data());
  const auto context_id_size = static_cast<unsigned>(std::min<size_t>(options.port.size(), SSL_MAX_SID_CTX_LENGTH));
  return SSL_CTX_set_min_proto_version(ssl, TLS1_2_VERSION) == 1 && SSL_CTX_set_cipher_list(ssl, kCiphers) == 1 &&
         SSL_CTX_set_num_tickets(ssl, no_tickets ? 0 : 1) == 1 && SSL_CTX_set_max_early_data(ssl, 0) == 1 &&
         SSL_CTX_set_session_id_context(ssl, context_id, context_id_size) == 1 &&
         (options.peer_name.empty() || X509_VERIFY_PARAM_set1_host(rules, options.peer_name.c_str(), 0) == 1) &&
         (options.protocol.empty() || SetAlpn(ssl, options));
}

}  // namespace

absl::StatusOr<std::shared_ptr<const TlsContext>> MakeTlsContext(const TlsOptions& options, const TlsContents& contents,
                                                                 const TlsFiles::TicketKeys& ticket_keys, int64_t now) {
  auto context = std::make_shared<TlsContext>();
  context->ssl = std::shared_ptr<SSL_CTX>(SSL_CTX_new(TLS_method()), SSL_CTX_free);
  context->checks_name = options.checks_name;
  context->ca_file = options.ca_file;
  context->ca_option = options.ca_option;
  SSL_CTX* const ssl = context->ssl.get();
  if (ssl == nullptr || !SetRules(ssl, options)) {
    return absl::InternalError(absl::StrCat("OpenSSL cannot make a context: ", TakeOpensslError()));
  }
  if (!options.certificate_file.empty()) {
    if (absl::Status status = UseCertificate(options, contents, now, context.get()); !status.ok()) return status;
  }
  if (!options.ca_file.empty()) {
    if (absl::Status status = TrustCa(options, contents.ca, context.get()); !status.ok()) return status;
  } else if (options.side == TlsOptions::Side::kClient) {
    SSL_CTX_set_default_verify_paths(ssl);
  }
  if (options.side == TlsOptions::Side::kServer) {
    auto keys = std::make_unique<TlsFiles::TicketKeys>(ticket_keys);
    if (!options.ticket_keys_file.empty()) {
      auto parsed = ParseTicketKeys(options.ticket_keys_file, contents.ticket_keys);
      if (!parsed.ok()) return parsed.status();
      *keys = *std::move(parsed);
    }
    SSL_CTX_set_ex_data(ssl, TicketKeysIndex(), keys.release());
    SSL_CTX_set_tlsext_ticket_key_evp_cb(ssl, OnTicket);
  }
  ERR_clear_error();
  return context;
}

}  // namespace toolwire
