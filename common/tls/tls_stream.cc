// The error queue of OpenSSL belongs to the thread, so it is emptied before each step, and read after a failed one.
// What a peer may send that is no data is bounded: bytes of the handshake, and messages after it (key updates, tries to
// renegotiate), which OpenSSL would answer for as long as they come. At the bound the stream is marked as closed by the
// peer, the one state that ends OpenSSL's loop from inside.
#include "common/tls/tls_stream.h"

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/tls/certificate_name.h"
#include "common/tls/openssl_pointers.h"

namespace toolwire {
namespace {

// A full handshake has 2 to 6 kB, with a client's chain 36 at most.
constexpr uint64_t kHandshakeBytesMax = 64 * 1024;
// At once. Libraries update keys after 2^24 records or 2^37 bytes, which is hours of a busy connection: by then what
// was counted before is forgotten, by one for each 2^16 reads, a record each at most.
constexpr uint16_t kPeerMessagesMax = 32;

void BeginStep() {
  ERR_clear_error();
  errno = 0;
}

TlsFailure KindOf(int reason) {
  switch (reason) {
    case SSL_R_CERTIFICATE_VERIFY_FAILED:
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
      return TlsFailure::kPeerCertificate;
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST:
    case SSL_R_WRONG_VERSION_NUMBER:  // What is no TLS looks like a version that never was.
      return TlsFailure::kNotTls;
    default:
      return reason >= SSL_AD_REASON_OFFSET ? TlsFailure::kPeerRefuses : TlsFailure::kProtocol;
  }
}

}  // namespace

std::unique_ptr<TlsStream> TlsStream::Accept(const TlsContext& context, int fd) {
  SSL* const ssl = SSL_new(context.ssl.get());
  if (ssl == nullptr || SSL_set_fd(ssl, fd) != 1) {
    SSL_free(ssl);
    return nullptr;
  }
  SSL_set_accept_state(ssl);
  return std::unique_ptr<TlsStream>(new TlsStream(ssl, context, /*is_server=*/true));
}

std::unique_ptr<TlsStream> TlsStream::Connect(const TlsContext& context, int fd, const std::string& dialled) {
  const std::string name = WithoutFinalDot(dialled);
  SSL* const ssl = SSL_new(context.ssl.get());
  X509_VERIFY_PARAM* const rules = ssl == nullptr ? nullptr : SSL_get0_param(ssl);
  const bool is_ip = IsIpAddress(name);
  bool right = ssl != nullptr && SSL_set_fd(ssl, fd) == 1;
  if (right && context.checks_name && !name.empty() && X509_VERIFY_PARAM_get0_host(rules, 0) == nullptr) {
    right = is_ip ? X509_VERIFY_PARAM_set1_ip_asc(rules, name.c_str()) == 1
                  : X509_VERIFY_PARAM_set1_host(rules, name.c_str(), 0) == 1;
  }
  if (right && !name.empty() && !is_ip) right = SSL_set_tlsext_host_name(ssl, name.c_str()) == 1;
  if (!right) {
    SSL_free(ssl);
    return nullptr;
  }
  SSL_set_connect_state(ssl);
  return std::unique_ptr<TlsStream>(new TlsStream(ssl, context, /*is_server=*/false));
}

TlsStream::TlsStream(ssl_st* ssl, const TlsContext& context, bool is_server)
    : ssl_(ssl),
      is_server_(is_server),
      trusted_(is_server                 ? "ours"
               : context.ca_file.empty() ? absl::StrCat("one of the system's; name it by ", context.ca_option)
                                         : absl::StrCat("in ", context.ca_file)) {}

TlsStream::~TlsStream() { SSL_free(ssl_); }

TlsStream::Status TlsStream::Handshake() {
  if (failure_ != TlsFailure::kNone) return Status::kFailed;
  BeginStep();
  const Status status = StatusOf(SSL_do_handshake(ssl_), /*in_handshake=*/true);
  if (status == Status::kFailed) return status;
  if (BIO_number_read(SSL_get_rbio(ssl_)) > kHandshakeBytesMax) {
    return Fail(TlsFailure::kTooMuch, "the handshake is too long");
  }
  if (status != Status::kDone) return status;
  open_ = true;
  SSL_set_msg_callback(ssl_, OnMessage);
  SSL_set_msg_callback_arg(ssl_, this);
  return status;
}

// After a write that failed, too: the peer may have said something before it ended the connection.
TlsStream::Moved TlsStream::Read(void* buffer, size_t size) {
  if (failure_ != TlsFailure::kNone && failure_ != TlsFailure::kEnded) return {Status::kFailed};
  BeginStep();
  size_t bytes = 0;
  const int returned = SSL_read_ex(ssl_, buffer, size, &bytes);
  if (returned == 1 && ++reads_ == 0 && peer_messages_ > 0) --peer_messages_;
  return {StatusOf(returned, /*in_handshake=*/false), bytes};
}

TlsStream::Moved TlsStream::Write(const void* data, size_t size) {
  if (failure_ != TlsFailure::kNone) return {Status::kFailed};
  BeginStep();
  size_t bytes = 0;
  const int returned = SSL_write_ex(ssl_, data, std::min<size_t>(size, SSL3_RT_MAX_PLAIN_LENGTH), &bytes);
  return {StatusOf(returned, /*in_handshake=*/false), bytes};
}

void TlsStream::CloseNotify() {
  if (!open_ || failure_ != TlsFailure::kNone) return;
  ERR_clear_error();
  SSL_shutdown(ssl_);
  ERR_clear_error();
}

bool TlsStream::HasBuffered() const { return SSL_has_pending(ssl_) == 1; }

bool TlsStream::resumed() const { return SSL_session_reused(ssl_) == 1; }

std::optional<int64_t> TlsStream::peer_expires_at() const {
  const OpensslPtr<X509> certificate(SSL_get1_peer_certificate(ssl_));
  if (!certificate) return std::nullopt;
  return UnixTime(X509_get0_notAfter(certificate.get()));
}

TlsStream::Status TlsStream::StatusOf(int returned, bool in_handshake) {
  const int system_error = errno;
  if (peer_messages_ > kPeerMessagesMax) return Fail(TlsFailure::kTooMuch, "too many key updates or renegotiations");
  const int error = SSL_get_error(ssl_, returned);
  switch (error) {
    case SSL_ERROR_NONE:
      return Status::kDone;
    case SSL_ERROR_WANT_READ:
      return Status::kWantsRead;
    case SSL_ERROR_WANT_WRITE:
      return Status::kWantsWrite;
    case SSL_ERROR_ZERO_RETURN:
      return in_handshake ? Lost("the connection was closed in the handshake", in_handshake) : Status::kClosed;
    case SSL_ERROR_SYSCALL:
      return Lost(std::generic_category().message(system_error), in_handshake);
    default: {
      const int reason = ERR_GET_REASON(ERR_peek_error());
      if (reason == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
        return Lost("the connection was closed in the handshake", in_handshake);
      }
      const TlsFailure kind = KindOf(reason);
      if (kind == TlsFailure::kPeerCertificate) return Fail(kind, PeerCertificateError());
      if (kind == TlsFailure::kNotTls) return Fail(kind, "the other side does not speak TLS");
      if (reason == SSL_R_NO_APPLICATION_PROTOCOL) {
        return Fail(kind, "the other side does not offer the protocol that is spoken here (ALPN)");
      }
      const std::string text = TakeOpensslError();
      return Fail(kind, kind == TlsFailure::kPeerRefuses ? absl::StrCat("the other side refuses us: ", text) : text);
    }
  }
}

TlsStream::Status TlsStream::Lost(std::string error, bool in_handshake) {
  Fail(TlsFailure::kEnded, std::move(error));
  return in_handshake ? Status::kFailed : Status::kClosed;
}

TlsStream::Status TlsStream::Fail(TlsFailure failure, std::string error) {
  failure_ = failure;
  error_ = std::move(error);
  ERR_clear_error();
  return Status::kFailed;
}

std::string TlsStream::PeerCertificateError() const {
  const char* const whose = is_server_ ? "the client's certificate" : "the server's certificate";
  const long result = SSL_get_verify_result(ssl_);
  switch (result) {
    case X509_V_OK:
      return absl::StrCat(whose, " is missing");
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return absl::StrCat(whose, " has expired");
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return absl::StrCat(whose, " is not valid yet; is this machine's clock right?");
    case X509_V_ERR_INVALID_PURPOSE:
      return absl::StrCat(whose, " is not for ", is_server_ ? "clients" : "servers", ": its extended key usage");
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH: {
      X509_VERIFY_PARAM* const rules = SSL_get0_param(ssl_);
      const char* const host = X509_VERIFY_PARAM_get0_host(rules, 0);
      char* const ip = host == nullptr ? X509_VERIFY_PARAM_get1_ip_asc(rules) : nullptr;
      const std::string text = absl::StrCat(whose, " does not name ",
                                            host != nullptr ? host
                                            : ip != nullptr ? ip
                                                            : "us");
      OPENSSL_free(ip);
      return text;
    }
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
      return absl::StrCat(whose, " is of a CA that is not ", trusted_);
    default:
      return absl::StrCat(whose, ": ", X509_verify_cert_error_string(result));
  }
}

void TlsStream::OnMessage(int is_out, int, int type, const void* data, size_t size, ssl_st* ssl, void* stream) {
  if (is_out != 0 || type != SSL3_RT_HANDSHAKE || size == 0) return;
  const int message = *static_cast<const unsigned char*>(data);
  if (message != SSL3_MT_KEY_UPDATE && message != SSL3_MT_CLIENT_HELLO && message != SSL3_MT_HELLO_REQUEST) return;
  if (++static_cast<TlsStream*>(stream)->peer_messages_ <= kPeerMessagesMax) return;
  SSL_set_shutdown(ssl, SSL_get_shutdown(ssl) | SSL_RECEIVED_SHUTDOWN);
}

}  // namespace toolwire
