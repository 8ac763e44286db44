// The bytes of one connection to a Redis server, inside TLS where that is asked for.
#ifndef TOOLWIRE_COMMON_REGISTRY_REDIS_SOCKET_H_
#define TOOLWIRE_COMMON_REGISTRY_REDIS_SOCKET_H_

#include <asio.hpp>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/tls/tls_files.h"
#include "common/tls/tls_stream.h"

namespace toolwire {

// Loop thread only; SIGPIPE must be ignored. Each `done` is called once, later, also after Close, and must keep the
// socket alive until then. UNAVAILABLE: the connection cannot be made or was lost. FAILED_PRECONDITION: TLS failed,
// which an operator must mend.
class RedisSocket {
 public:
  using Done = std::function<void(const absl::Status& status)>;
  using ReadDone = std::function<void(const absl::Status& status, size_t bytes)>;

  // `tls` null: without TLS. Else nothing is written before the handshake is done.
  RedisSocket(asio::io_context& io, TlsFiles* tls);
  // No `done` is pending.
  ~RedisSocket();

  // Connects to one of these, and makes the handshake, for which the server must show that it is `name`. Call once.
  // Each address has a head start over the next one, so that one which swallows everything delays little.
  static constexpr std::chrono::milliseconds kHeadStart{250};
  void Dial(std::vector<asio::ip::tcp::endpoint> endpoints, const std::string& name, Done done);
  // With OK: at least one byte. One read at a time.
  void Read(char* buffer, size_t size, ReadDone done);
  // Writes all of `bytes`, which stay as they are until `done`. One write at a time. `moved` is called whenever the
  // kernel has taken a part.
  using Moved = std::function<void(size_t bytes)>;
  void Write(const std::string& bytes, Moved moved, Done done);
  // Something has come that was not read.
  bool HasUnread();
  // What the kernel has and the server has not acknowledged; 0 if that is not known.
  size_t Unacknowledged();
  // May be called twice. What is pending ends with an error.
  void Close();

  // Dial has got as far as the handshake.
  bool is_shaking() const { return stream_ != nullptr && !is_open_; }
  // The server is on this machine. Once Dial is done.
  bool is_loopback() const;

 private:
  struct Dialling;
  void DialNext(const std::shared_ptr<Dialling>& dialling);
  void Connected(const std::shared_ptr<Dialling>& dialling, asio::ip::tcp::socket& socket);
  void Shake(const Done& done);
  void ReadTls(char* buffer, size_t size, const ReadDone& done);
  void WritePlain(const std::string& bytes, size_t written, const Moved& moved, const Done& done);
  void WriteTls(const std::string& bytes, size_t written, const Moved& moved, const Done& done);
  // Calls `step` when the descriptor is as a step of `stream_` wants it, or `failed` if that never comes.
  void StepWhen(TlsStream::Status wants, std::function<void()> step, Done failed);
  absl::Status TlsError(TlsStream::Status status);

  TlsFiles* const tls_;
  asio::io_context& io_;
  asio::ip::tcp::socket socket_;
  std::shared_ptr<Dialling> dialling_;
  std::unique_ptr<TlsStream> stream_;
  bool is_open_ = false;
  bool is_closed_ = false;
};

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_REGISTRY_REDIS_SOCKET_H_
