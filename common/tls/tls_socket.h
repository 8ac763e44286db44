// The TLS of one socket on its loop: handshake, reads and writes with a handler for each, as asio has them without TLS.
#ifndef TOOLWIRE_COMMON_TLS_TLS_SOCKET_H_
#define TOOLWIRE_COMMON_TLS_TLS_SOCKET_H_

#include <asio.hpp>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "common/tls/tls_files.h"
#include "common/tls/tls_handshakes.h"
#include "common/tls/tls_stream.h"

namespace toolwire {

// One line about a peer of a port with whom TLS failed: of each thread one a second, however many there are.
void LogTlsFailure(const std::string& port, const std::string& address, const std::string& error);

// Loop thread only. Handlers are called by the loop, never inside the call that takes them, and hold whoever owns this
// and the socket. After the socket is closed they get operation_aborted.
class TlsSocket {
 public:
  using Handler = std::function<void(const asio::error_code& ec, size_t bytes)>;
  // What of a handshake concerns its socket.
  enum class Shaken {
    kOpen,
    kFailed,  // The peer may have been told why, so it is to be read dry.
    kNobody,  // The peer ended it, or speaks no TLS: there is nothing to say.
  };
  using OnShaken = std::function<void(Shaken shaken)>;

  // The server's side: its handshakes run where `handshakes` says. `address`: of the peer.
  TlsSocket(asio::io_context& io, asio::ip::tcp::socket& socket, TlsHandshakes& handshakes, const std::string& address);
  // The client's side, which handshakes on the loop.
  TlsSocket(asio::io_context& io, asio::ip::tcp::socket& socket, std::unique_ptr<TlsStream> stream);

  // Whose turn the handshake is: before it.
  void set_address(const std::string& address) { address_ = address; }
  void Handshake(OnShaken done);
  void Read(char* buffer, size_t size, Handler handler);
  // All of `buffers`, whose bytes stay where they are until `handler` is called. One write at a time.
  void Write(std::vector<asio::const_buffer> buffers, Handler handler);
  // Nothing is read or written any more: the peer gets a close_notify, if the kernel takes it at once.
  void CloseNotify();
  // Whether the peer has sent what is not handled yet: bytes, or to begin with a whole message.
  bool HasUnread() const;
  // Once the handshake is done: the connection, for another owner, who reads it first: bytes may be buffered. This is
  // of no use after it.
  std::unique_ptr<TlsStream> Release() { return std::move(stream_); }
  // True if no other thread touches the socket, which so may be closed; else `then` is called when it is so.
  bool LetGo(std::function<void()> then);
  // Why the handshake failed, for people. Empty, and not worth a line: the peer ended the connection before its first
  // message.
  std::string error() const { return stream_ == nullptr ? begin_error_ : stream_->error(); }
  // Before it: its owner logs failures.
  void LogNoFailures() { logs_failures_ = false; }

 private:
  struct Writing;
  bool HasBuffered() const { return open_ && stream_->HasBuffered(); }
  struct Hello;
  Hello PeekHello() const;
  void AwaitHello(int bytes, OnShaken done);
  void OnHello(OnShaken done);
  void Step(OnShaken done);
  void OnStep(TlsStream::Status status, OnShaken done);
  void CountFailure();
  void AwaitReadable(std::function<void()> then);
  void AwaitWritable(std::function<void()> then);
  void ReadNow(char* buffer, size_t size, const Handler& handler);
  void WriteNow(const std::shared_ptr<Writing>& writing, bool inside_write);
  static void Finish(asio::io_context& io, const std::shared_ptr<Writing>& writing, const asio::error_code& ec,
                     bool inside_write);

  asio::io_context& io_;
  asio::ip::tcp::socket& socket_;
  TlsHandshakes* const handshakes_;    // Null: the client's side.
  std::string address_;                // For turns and log lines; empty at the client's side.
  std::unique_ptr<TlsStream> stream_;  // At the server from the peer's first byte on.
  std::weak_ptr<HandshakeTurn> turn_;
  std::string begin_error_;  // While there is none.
  bool logs_failures_ = true;
  bool open_ = false;
  bool over_ = false;  // CloseNotify was called.
};

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_TLS_TLS_SOCKET_H_
