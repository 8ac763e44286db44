// The certificate, the key and the CA of one port or of one kind of connection that we dial, re-read when they change.
#ifndef TOOLWIRE_COMMON_TLS_TLS_FILES_H_
#define TOOLWIRE_COMMON_TLS_TLS_FILES_H_

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/counter.h"
#include "common/base/mutex.h"
#include "common/base/watched_file.h"

struct ssl_ctx_st;  // OpenSSL's SSL_CTX.

namespace toolwire {

// Why a handshake failed, or a connection after it.
enum class TlsFailure {
  kNone,
  kNotTls,           // The first byte was no TLS record's.
  kEnded,            // The peer closed the connection, or it was lost, before the handshake was done.
  kProtocol,         // No common version or cipher, or the peer broke the protocol.
  kPeerRefuses,      // The peer refused us by an alert, most likely our certificate.
  kPeerCertificate,  // The peer's certificate is missing or not to be trusted, or has another name.
  kTooMuch,          // More bytes in the handshake, or more key updates, than anybody needs.
};

struct TlsCounters : CounterSet {
  static constexpr char kFailed[] = "toolwire_tls_handshakes_failed_total";
  static constexpr char kFailedHelp[] = "TLS handshakes that failed, and connections that broke TLS, by reason.";

  Counter handshakes{this, "toolwire_tls_handshakes_total", "TLS handshakes done."};
  Counter resumed{this, "toolwire_tls_handshakes_resumed_total", "Of those, handshakes that a ticket shortened."};
  Counter not_tls{this, kFailed, kFailedHelp, "reason", "not_tls"};
  Counter ended{this, kFailed, kFailedHelp, "reason", "ended"};
  Counter protocol{this, kFailed, kFailedHelp, "reason", "protocol"};
  Counter peer_refuses{this, kFailed, kFailedHelp, "reason", "peer_refuses"};
  Counter peer_certificate{this, kFailed, kFailedHelp, "reason", "peer_certificate"};
  Counter too_much{this, kFailed, kFailedHelp, "reason", "too_much"};
  Counter reloads{this, "toolwire_tls_reloads_total", "Changed TLS files that are in use."};
  Counter reloads_failed{this, "toolwire_tls_reloads_failed_total",
                         "Changed TLS files that were not taken, each once for its reason; the old ones stay."};

  void Failed(TlsFailure failure);
};

struct TlsOptions {
  enum class Side { kServer, kClient };

  std::string port;  // What it is for, in logs and as the metrics' label: "agents".
  Side side = Side::kServer;
  std::string certificate_file;  // PEM, the chain behind it; may be empty for a client,
  std::string key_file;          // and so may its key, which must not be encrypted.
  std::string ca_file;  // Whom peers must be signed by. Empty: a server asks for none; a client uses the system's.
  std::string ticket_keys_file;    // A server's, of 80 bytes each, the newest first. Empty: made by this process.
  std::string protocol;            // The one that ALPN may name. Empty: ALPN is not spoken.
  bool protocol_required = false;  // A server's: a client that names none is refused, too.
  std::string peer_name;  // What all peers' certificates must name, whatever their addresses are. May be empty.
  // For clients: the certificate of whom we dial must also have the name that we dialled. False: the CA is enough.
  bool checks_name = true;
  std::string ca_option = "--ca";  // How people name the CA file, for messages.
};

// What connections are made from: immutable, shared, and kept by each connection.
struct TlsContext {
  std::shared_ptr<ssl_ctx_st> ssl;
  bool checks_name = true;
  std::string ca_file, ca_option;  // For messages.
  std::string serial;              // Of the certificate, in hex as `openssl x509 -serial` prints it.
  // Unix time in seconds, of what expires first in the chain, or of the last of the CAs if that is before. Empty: there
  // is none of both.
  std::optional<int64_t> expires_at;
};

// A set of files is taken if it can be parsed, the key belongs to the certificate, and every certificate of the chain
// is valid now; else the one before stays, until the next change or until time makes it valid. Versions 1.2 and 1.3
// with forward secrecy; no renegotiation, no compression, no early data; one ticket for each handshake, but none where
// clients show certificates: a ticket would let in whose certificate is no longer to be trusted.
class TlsFiles {
 public:
  // Each ticket key: name, HMAC key, AES key.
  static constexpr size_t kTicketKeyBytes = 80;
  static constexpr size_t kTicketKeysMax = 8;
  using TicketKeys = std::vector<std::array<unsigned char, kTicketKeyBytes>>;

  // Blocks on the file system. INVALID_ARGUMENT, NOT_FOUND or UNAVAILABLE, with the file and what is wrong with it.
  static absl::StatusOr<std::unique_ptr<TlsFiles>> Load(TlsOptions options, const Clock& clock);

  // What new connections use. Any thread.
  std::shared_ptr<const TlsContext> Current() const;
  const TlsOptions& options() const { return options_; }
  // Any thread.
  TlsCounters& counters() { return counters_; }
  // The counters, and the seconds until the certificate expires; each labelled with the port. Any thread.
  void AddSamples(std::vector<Sample>* out) const;

  // Reads files that may have changed, with `now` all, and takes a change at the second look that finds the same, with
  // `now` at once: whoever writes the files in place can finish them. Call about once a second, from one thread; blocks
  // on the file system, and takes some milliseconds if there is something new.
  void Look(bool now = false);

 private:
  TlsFiles(TlsOptions options, const Clock& clock);
  // All contents, in the order of files_. An error if one cannot be read.
  absl::StatusOr<std::vector<std::string>> Read();
  absl::StatusOr<std::shared_ptr<const TlsContext>> Build(const std::vector<std::string>& contents) const;
  void Settled();
  // Reports it, unless it is the first look at it and not `at_once`.
  void NotTaken(const std::string& reason, bool at_once);
  void WarnOfExpiry();

  const TlsOptions options_;
  const Clock& clock_;
  TlsCounters counters_;
  // The looking thread's.
  std::vector<WatchedFile> files_;    // Those of certificate, key, CA and ticket keys that are named.
  TicketKeys own_ticket_keys_;        // If no file has them: kept over reloads.
  std::string digest_;                // Of the contents that are in use.
  std::string changed_;               // Of others, seen once.
  int bad_looks_ = 0;                 // In a row, at contents that were not taken,
  std::string bad_reason_;            // and what was logged of them.
  std::optional<int64_t> warned_at_;  // Of the expiry, Unix time in seconds.

  mutable Mutex mu_;
  std::shared_ptr<const TlsContext> current_ ABSL_GUARDED_BY(mu_);
};

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_TLS_TLS_FILES_H_
