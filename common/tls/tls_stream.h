// One TLS connection on a descriptor that does not block, as steps that return at once.
#ifndef TOOLWIRE_COMMON_TLS_TLS_STREAM_H_
#define TOOLWIRE_COMMON_TLS_TLS_STREAM_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "common/tls/tls_files.h"

struct ssl_st;  // OpenSSL's SSL.

namespace toolwire {

// For agents' sockets, links and Redis alike, at either end. It has no thread and no loop: whoever owns the descriptor
// waits until it is readable or writable, as the last step said, and makes the step again. One thread at a time, not
// always the same. SIGPIPE must be ignored. Idle it takes about 15 kB; a record's buffers are there only while one is
// being read or written.
class TlsStream {
 public:
  enum class Status {
    kDone,
    kWantsRead,   // Again once the descriptor is readable; also a write may say so,
    kWantsWrite,  // and a read this.
    kClosed,      // The peer has ended the connection, by its close_notify or without one, or it was lost.
    kFailed,      // See failure() and error(). No further step is of use.
  };
  struct Moved {
    Status status;
    size_t bytes = 0;  // With kDone: at least one.
  };

  // Made from what is current in the files; null if there is no memory. `fd` is not blocking, and outlives it.
  static std::unique_ptr<TlsStream> Accept(const TlsContext& context, int fd);
  // `name` is what the peer's certificate must name, a DNS name or an IP address, which a DNS name also asks for (SNI).
  // With `peer_name` in the options of `context` that one counts, and `name` may be empty; without `checks_name` none
  // does.
  static std::unique_ptr<TlsStream> Connect(const TlsContext& context, int fd, const std::string& name);
  ~TlsStream();
  TlsStream(const TlsStream&) = delete;
  TlsStream& operator=(const TlsStream&) = delete;

  // First, until it is done: half a millisecond of CPU time in all, at the server most of it in the first step.
  Status Handshake();
  // Read until it wants to read: what is decrypted already is not in the kernel, and no wait would notice it.
  Moved Read(void* buffer, size_t size);
  // Writes one record, of 16 KiB at most. After kWantsWrite or kWantsRead the next write must begin with the same
  // bytes, and have no fewer, wherever they are now. After kClosed what the peer has sent before can still be read.
  Moved Write(const void* data, size_t size);
  // Tells the peer that no more is written, if the kernel takes it. Does not wait for the peer's answer; the descriptor
  // may be shut down and closed after it. Nothing if the handshake is not done.
  void CloseNotify();

  // Bytes are here that Read may return without waiting.
  bool HasBuffered() const;
  // A ticket of an earlier connection made the handshake shorter.
  bool resumed() const;
  // When the peer's certificate expires, Unix time in seconds. Empty: it has shown none.
  std::optional<int64_t> peer_expires_at() const;
  // After kFailed: why, and a sentence of it for people, without whom it happened to.
  TlsFailure failure() const { return failure_; }
  const std::string& error() const { return error_; }

 private:
  TlsStream(ssl_st* ssl, const TlsContext& context, bool is_server);
  Status StatusOf(int returned, bool in_handshake);
  Status Fail(TlsFailure failure, std::string error);
  Status Lost(std::string error, bool in_handshake);
  std::string PeerCertificateError() const;
  // OpenSSL's: a message of TLS itself has come or is leaving.
  static void OnMessage(int is_out, int version, int type, const void* data, size_t size, ssl_st* ssl, void* stream);

  ssl_st* const ssl_;
  TlsFailure failure_ = TlsFailure::kNone;
  bool open_ = false;           // The handshake is done.
  uint16_t peer_messages_ = 0;  // One less for each 65,536 reads of data, which the next counts:
  uint16_t reads_ = 0;
  const bool is_server_;
  std::string error_;
  const std::string trusted_;  // Whom a client trusts, for messages.
};

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_TLS_TLS_STREAM_H_
