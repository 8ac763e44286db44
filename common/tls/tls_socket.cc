// OpenSSL reads and writes the descriptor itself; the loop only waits for it. A read that finds no data leaves its
// buffers, 16 KiB, to nobody: they are there for a record, not for a connection. Nothing that a handler holds is held
// by this object, or a connection whose loop has ended would never be destroyed.
#include "common/tls/tls_socket.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <utility>

#include "common/base/log.h"
#include "common/base/summed_line.h"

namespace toolwire {
namespace {

using Status = TlsStream::Status;

constexpr size_t kRecordBytes = 16384;
// After so much the others of the loop have their turn.
constexpr size_t kWriteAtOnceMax = 256u << 10;
constexpr unsigned char kHandshakeRecord = 0x16;  // The first byte of every TLS connection.
constexpr int kRecordHeaderBytes = 5;             // The last two of which are the length of what follows.
constexpr int kHelloBytesMax = 16384;             // As the protocol has it; a client's first message has 0.3 to 2 kB.

// For writes gathered from several buffers. TLS has no vectors.
char* Scratch() {
  thread_local std::array<char, kRecordBytes> scratch;
  return scratch.data();
}

}  // namespace

void LogTlsFailure(const std::string& port, const std::string& address, const std::string& error) {
  thread_local SummedLine line(std::chrono::seconds(1));
  if (const auto others = line.Take(std::chrono::steady_clock::now())) {
    log::Info("TLS failed", {{"port", port}, {"address", address}, {"why", error}, {"others", *others}});
  }
}

struct TlsSocket::Writing {
  std::vector<asio::const_buffer> buffers;
  Handler handler;
  size_t index = 0;   // The buffer,
  size_t offset = 0;  // and what of it is written.
  size_t written = 0;

  // At most one record from the position on; nothing if all is written. The same bytes each time until Skip.
  asio::const_buffer Next() {
    while (index < buffers.size() && offset == buffers[index].size()) {
      ++index;
      offset = 0;
    }
    if (index == buffers.size()) return {};
    const auto at = [this](size_t i) { return buffers[i] + (i == index ? offset : 0); };
    if (at(index).size() >= kRecordBytes || index + 1 == buffers.size()) return asio::buffer(at(index), kRecordBytes);
    char* const scratch = Scratch();
    size_t size = 0;
    for (size_t i = index; i < buffers.size() && size < kRecordBytes; ++i) {
      size += asio::buffer_copy(asio::buffer(scratch + size, kRecordBytes - size), at(i));
    }
    return {scratch, size};
  }
  void Skip(size_t bytes) {
    written += bytes;
    while (bytes > 0) {
      const size_t here = std::min(bytes, buffers[index].size() - offset);
      offset += here;
      bytes -= here;
      if (offset < buffers[index].size()) return;
      ++index;
      offset = 0;
    }
  }
};

TlsSocket::TlsSocket(asio::io_context& io, asio::ip::tcp::socket& socket, TlsHandshakes& handshakes,
                     const std::string& address)
    : io_(io), socket_(socket), handshakes_(&handshakes), address_(address) {}

TlsSocket::TlsSocket(asio::io_context& io, asio::ip::tcp::socket& socket, std::unique_ptr<TlsStream> stream)
    : io_(io), socket_(socket), handshakes_(nullptr), stream_(std::move(stream)) {}

// --- the handshake ---------------------------------------------------------------------------------------------------

void TlsSocket::Handshake(OnShaken done) {
  if (handshakes_ != nullptr) return AwaitHello(kRecordHeaderBytes, std::move(done));
  asio::post(io_, [this, done = std::move(done)] { Step(done); });
}

// Waits for so many bytes, or the peer's end. Who only looks whether the port is open, speaks another protocol, or
// sends half a message costs no TLS and no turn.
void TlsSocket::AwaitHello(int bytes, OnShaken done) {
  setsockopt(socket_.native_handle(), SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof bytes);
  AwaitReadable([this, done = std::move(done)] { OnHello(done); });
}

// What has come of a client's first message.
struct TlsSocket::Hello {
  bool is_empty;     // Nothing,
  bool is_tls;       // or the begin of one,
  bool is_whole;     // or all of it.
  int bytes_wanted;  // To know more.
};

TlsSocket::Hello TlsSocket::PeekHello() const {
  asio::error_code ec;
  const auto available = static_cast<int>(socket_.available(ec));
  unsigned char header[kRecordHeaderBytes] = {};
  const ssize_t got = recv(socket_.native_handle(), header, sizeof header, MSG_PEEK | MSG_DONTWAIT);
  const int record = kRecordHeaderBytes + header[3] * 256 + header[4];
  const bool is_tls = got > 0 && header[0] == kHandshakeRecord && record <= kRecordHeaderBytes + kHelloBytesMax;
  const bool has_header = got == kRecordHeaderBytes;
  return {got <= 0, is_tls, is_tls && has_header && available >= record, has_header ? record : kRecordHeaderBytes};
}

void TlsSocket::OnHello(OnShaken done) {
  if (!socket_.is_open()) return;
  const Hello hello = PeekHello();
  if (hello.is_whole) {
    const int one = 1;
    setsockopt(socket_.native_handle(), SOL_SOCKET, SO_RCVLOWAT, &one, sizeof one);
    return Step(std::move(done));
  }
  pollfd state{socket_.native_handle(), POLLRDHUP, 0};
  const bool ended = poll(&state, 1, 0) != 0;
  if (!ended && (hello.is_tls || hello.is_empty)) return AwaitHello(hello.bytes_wanted, std::move(done));
  const bool not_tls = !hello.is_empty && !hello.is_tls;
  if (not_tls) begin_error_ = "the other side does not speak TLS";
  handshakes_->files().counters().Failed(not_tls ? TlsFailure::kNotTls : TlsFailure::kEnded);
  done(Shaken::kNobody);
}

bool TlsSocket::HasUnread() const {
  if (!turn_.expired()) return true;  // Another thread has the stream.
  if (stream_ == nullptr) return socket_.is_open() && PeekHello().is_whole;
  asio::error_code ec;
  return socket_.available(ec) > 0 || HasBuffered();
}

void TlsSocket::Step(OnShaken done) {
  if (!socket_.is_open()) return;
  if (handshakes_ == nullptr) return OnStep(stream_->Handshake(), std::move(done));
  const bool begins = stream_ == nullptr;
  const int fd = socket_.native_handle();
  auto turn = std::make_shared<HandshakeTurn>(
      io_,
      [this, fd] {
        if (stream_ == nullptr) stream_ = TlsStream::Accept(*handshakes_->files().Current(), fd);
        return stream_ == nullptr ? Status::kFailed : stream_->Handshake();
      },
      [this, done = std::move(done)](Status status) { OnStep(status, done); });
  turn_ = turn;
  if (begins) return handshakes_->Begin(address_, std::move(turn));
  handshakes_->GoOn(std::move(turn));
}

void TlsSocket::OnStep(Status status, OnShaken done) {
  switch (status) {
    case Status::kDone:
      open_ = true;
      if (handshakes_ != nullptr) {
        handshakes_->files().counters().handshakes.Add();
        if (stream_->resumed()) handshakes_->files().counters().resumed.Add();
      }
      return done(Shaken::kOpen);
    case Status::kWantsRead:
      return AwaitReadable([this, done = std::move(done)] { Step(done); });
    case Status::kWantsWrite:
      return AwaitWritable([this, done = std::move(done)] { Step(done); });
    case Status::kClosed:
    case Status::kFailed: {
      CountFailure();
      const bool nobody = stream_ == nullptr || stream_->failure() == TlsFailure::kEnded;
      return done(nobody ? Shaken::kNobody : Shaken::kFailed);
    }
  }
}

void TlsSocket::CountFailure() {
  if (handshakes_ == nullptr || stream_ == nullptr) return;
  handshakes_->files().counters().Failed(stream_->failure());
  if (stream_->failure() == TlsFailure::kEnded || !logs_failures_) return;
  LogTlsFailure(handshakes_->files().options().port, address_, stream_->error());
}

bool TlsSocket::LetGo(std::function<void()> then) {
  const std::shared_ptr<HandshakeTurn> turn = turn_.lock();
  return turn == nullptr || turn->Cancel(std::move(then));
}

void TlsSocket::CloseNotify() {
  if (open_) stream_->CloseNotify();
  over_ = true;  // What still comes is read of the socket itself, and is no TLS any more.
}

// --- waiting, reading, writing ---------------------------------------------------------------------------------------

void TlsSocket::AwaitReadable(std::function<void()> then) {
  socket_.async_wait(asio::socket_base::wait_read, [then = std::move(then)](const asio::error_code&) { then(); });
}

void TlsSocket::AwaitWritable(std::function<void()> then) {
  socket_.async_wait(asio::socket_base::wait_write, [then = std::move(then)](const asio::error_code&) { then(); });
}

void TlsSocket::Read(char* buffer, size_t size, Handler handler) {
  auto read = [this, buffer, size, handler = std::move(handler)] { ReadNow(buffer, size, handler); };
  // What is buffered here no wait would notice.
  if (HasBuffered()) return asio::post(io_, std::move(read));
  AwaitReadable(std::move(read));
}

void TlsSocket::ReadNow(char* buffer, size_t size, const Handler& handler) {
  if (over_ || !socket_.is_open()) return handler(asio::error::operation_aborted, 0);
  const TlsStream::Moved moved = stream_->Read(buffer, size);
  switch (moved.status) {
    case Status::kDone:
      return handler({}, moved.bytes);
    case Status::kWantsRead:
      return AwaitReadable([this, buffer, size, handler] { ReadNow(buffer, size, handler); });
    case Status::kWantsWrite:
      return AwaitWritable([this, buffer, size, handler] { ReadNow(buffer, size, handler); });
    case Status::kClosed:
      return handler(asio::error::eof, 0);
    case Status::kFailed:
      CountFailure();
      return handler(asio::error::connection_aborted, 0);
  }
}

void TlsSocket::Write(std::vector<asio::const_buffer> buffers, Handler handler) {
  auto writing = std::make_shared<Writing>();
  writing->buffers = std::move(buffers);
  writing->handler = std::move(handler);
  WriteNow(writing, /*inside_write=*/true);
}

void TlsSocket::WriteNow(const std::shared_ptr<Writing>& writing, bool inside_write) {
  if (over_ || !socket_.is_open()) return Finish(io_, writing, asio::error::operation_aborted, inside_write);
  const size_t before = writing->written;
  const auto go_on = [this, writing] { WriteNow(writing, /*inside_write=*/false); };
  while (true) {
    const asio::const_buffer next = writing->Next();
    if (next.size() == 0) return Finish(io_, writing, {}, inside_write);
    if (writing->written - before >= kWriteAtOnceMax) return AwaitWritable(go_on);
    const TlsStream::Moved moved = stream_->Write(next.data(), next.size());
    switch (moved.status) {
      case Status::kDone:
        writing->Skip(moved.bytes);
        break;
      case Status::kWantsRead:
        return AwaitReadable(go_on);
      case Status::kWantsWrite:
        return AwaitWritable(go_on);
      case Status::kClosed:
      case Status::kFailed:
        return Finish(io_, writing, asio::error::broken_pipe, inside_write);
    }
  }
}

void TlsSocket::Finish(asio::io_context& io, const std::shared_ptr<Writing>& writing, const asio::error_code& ec,
                       bool inside_write) {
  if (!inside_write) return writing->handler(ec, writing->written);
  asio::post(io, [writing, ec] { writing->handler(ec, writing->written); });
}

}  // namespace toolwire
