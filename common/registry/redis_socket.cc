// Addresses are dialled one after the other with a head start each, and the first that answers is taken. Without TLS
// asio reads and writes. With it each operation is a step of the TlsStream, made again once the descriptor
// is as the step before wanted it. A read first waits until there is something, unless decrypted bytes are here
// already; a long write lets others of the loop have their turn in between.

#include "common/registry/redis_socket.h"

#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace toolwire {
namespace {

// A megabyte: some milliseconds of encryption.
constexpr size_t kWrittenInOneTurn = 1u << 20;

// The kernel notices a peer that is gone without closing: on an idle connection after 5 s + 3 × 2 s, on a busy one
// after 6 s.
void SetSocketOptions(asio::ip::tcp::socket& socket) {
  asio::error_code ignored;
  socket.set_option(asio::ip::tcp::no_delay(true), ignored);
  socket.set_option(asio::socket_base::keep_alive(true), ignored);
  const auto set = [&](int option, int value) {
    setsockopt(socket.native_handle(), IPPROTO_TCP, option, &value, sizeof value);
  };
  set(TCP_KEEPIDLE, 5);
  set(TCP_KEEPINTVL, 2);
  set(TCP_KEEPCNT, 3);
  set(TCP_USER_TIMEOUT, 6000);
}

absl::Status ErrorOf(const asio::error_code& ec) {
  if (!ec) return absl::OkStatus();
  return absl::UnavailableError(ec == asio::error::eof ? "connection closed" : ec.message());
}

absl::Status ClosedByUs() { return absl::UnavailableError("closed"); }

}  // namespace

// Until one attempt has succeeded or all have failed.
struct RedisSocket::Dialling {
  explicit Dialling(asio::io_context& io) : head_start(io) {}
  std::vector<asio::ip::tcp::endpoint> endpoints;
  size_t begun = 0;
  size_t failed = 0;
  bool is_over = false;
  asio::steady_timer head_start;
  std::vector<std::unique_ptr<asio::ip::tcp::socket>> attempts;
  std::string name;
  Done done;

  void End(const absl::Status& status) {
    is_over = true;
    head_start.cancel();
    attempts.clear();
    std::exchange(done, nullptr)(status);
  }
};

RedisSocket::RedisSocket(asio::io_context& io, TlsFiles* tls) : tls_(tls), io_(io), socket_(io) {}

RedisSocket::~RedisSocket() = default;

void RedisSocket::Dial(std::vector<asio::ip::tcp::endpoint> endpoints, const std::string& name, Done done) {
  dialling_ = std::make_shared<Dialling>(io_);
  dialling_->endpoints = std::move(endpoints);
  dialling_->name = name;
  dialling_->done = std::move(done);
  DialNext(dialling_);
}

void RedisSocket::DialNext(const std::shared_ptr<Dialling>& dialling) {
  if (dialling->is_over || dialling->begun == dialling->endpoints.size()) return;
  const asio::ip::tcp::endpoint& to = dialling->endpoints[dialling->begun++];
  asio::ip::tcp::socket& socket = *dialling->attempts.emplace_back(std::make_unique<asio::ip::tcp::socket>(io_));
  socket.async_connect(to, [this, dialling, &socket](const asio::error_code& ec) {
    if (dialling->is_over || dialling->attempts.empty()) return;  // Another one was quicker.
    if (!ec) return Connected(dialling, socket);
    if (++dialling->failed == dialling->endpoints.size()) return dialling->End(ErrorOf(ec));
    DialNext(dialling);
  });
  dialling->head_start.expires_after(kHeadStart);
  dialling->head_start.async_wait([this, dialling](const asio::error_code& ec) {
    if (!ec) DialNext(dialling);
  });
}

void RedisSocket::Connected(const std::shared_ptr<Dialling>& dialling, asio::ip::tcp::socket& socket) {
  socket_ = std::move(socket);
  dialling->head_start.cancel();
  dialling->attempts.clear();
  SetSocketOptions(socket_);
  if (tls_ == nullptr) return dialling->End(absl::OkStatus());
  asio::error_code refused;
  socket_.non_blocking(true, refused);
  if (!refused) stream_ = TlsStream::Connect(*tls_->Current(), socket_.native_handle(), dialling->name);
  if (stream_ == nullptr) {
    return dialling->End(absl::UnavailableError("no memory for TLS, or a name that it does not take"));
  }
  Shake([dialling](const absl::Status& status) {
    if (!dialling->is_over) dialling->End(status);
  });
}

void RedisSocket::Shake(const Done& done) {
  if (is_closed_) return done(ClosedByUs());
  const TlsStream::Status status = stream_->Handshake();
  if (status != TlsStream::Status::kDone) {
    return StepWhen(
        status, [this, done] { Shake(done); }, done);
  }
  is_open_ = true;
  tls_->counters().handshakes.Add();
  if (stream_->resumed()) tls_->counters().resumed.Add();
  done(absl::OkStatus());
}

void RedisSocket::Read(char* buffer, size_t size, ReadDone done) {
  if (stream_ == nullptr) {
    return socket_.async_read_some(
        asio::buffer(buffer, size),
        [done = std::move(done)](const asio::error_code& ec, size_t bytes) { done(ErrorOf(ec), bytes); });
  }
  auto step = [this, buffer, size, done] { ReadTls(buffer, size, done); };
  if (stream_->HasBuffered()) return asio::post(socket_.get_executor(), std::move(step));
  StepWhen(TlsStream::Status::kWantsRead, std::move(step), [done](const absl::Status& status) { done(status, 0); });
}

void RedisSocket::ReadTls(char* buffer, size_t size, const ReadDone& done) {
  if (is_closed_) return done(ClosedByUs(), 0);
  const TlsStream::Moved moved = stream_->Read(buffer, size);
  if (moved.status == TlsStream::Status::kDone) return done(absl::OkStatus(), moved.bytes);
  StepWhen(
      moved.status, [this, buffer, size, done] { ReadTls(buffer, size, done); },
      [done](const absl::Status& status) { done(status, 0); });
}

void RedisSocket::Write(const std::string& bytes, Moved moved, Done done) {
  if (stream_ != nullptr) return WriteTls(bytes, 0, moved, done);
  WritePlain(bytes, 0, moved, done);
}

void RedisSocket::WritePlain(const std::string& bytes, size_t written, const Moved& moved, const Done& done) {
  socket_.async_write_some(asio::buffer(bytes.data() + written, std::min(bytes.size() - written, kWrittenInOneTurn)),
                           [this, &bytes, written, moved, done](const asio::error_code& ec, size_t taken) {
                             if (!ec) moved(taken);
                             if (ec || written + taken == bytes.size()) return done(ErrorOf(ec));
                             WritePlain(bytes, written + taken, moved, done);
                           });
}

void RedisSocket::WriteTls(const std::string& bytes, size_t written, const Moved& on_moved, const Done& done) {
  if (is_closed_) return done(ClosedByUs());
  TlsStream::Moved moved{TlsStream::Status::kDone};
  const size_t turn_begins = written;
  while (written < bytes.size() && written < turn_begins + kWrittenInOneTurn &&
         moved.status == TlsStream::Status::kDone) {
    moved = stream_->Write(bytes.data() + written, bytes.size() - written);
    if (moved.status == TlsStream::Status::kDone) written += moved.bytes;
  }
  if (written > turn_begins) on_moved(written - turn_begins);
  const auto go_on = [this, &bytes, written, on_moved, done] { WriteTls(bytes, written, on_moved, done); };
  if (moved.status != TlsStream::Status::kDone) return StepWhen(moved.status, go_on, done);
  if (written < bytes.size()) return asio::post(socket_.get_executor(), go_on);
  asio::post(socket_.get_executor(), [done] { done(absl::OkStatus()); });
}

bool RedisSocket::HasUnread() {
  asio::error_code ignored;
  return (stream_ != nullptr && stream_->HasBuffered()) || socket_.available(ignored) > 0;
}

size_t RedisSocket::Unacknowledged() {
  int bytes = 0;
  return ioctl(socket_.native_handle(), SIOCOUTQ, &bytes) == 0 ? static_cast<size_t>(bytes) : 0;
}

void RedisSocket::StepWhen(TlsStream::Status wants, std::function<void()> step, Done failed) {
  if (wants != TlsStream::Status::kWantsRead && wants != TlsStream::Status::kWantsWrite) {
    return asio::post(socket_.get_executor(), [failed, status = TlsError(wants)] { failed(status); });
  }
  const auto what =
      wants == TlsStream::Status::kWantsRead ? asio::socket_base::wait_read : asio::socket_base::wait_write;
  socket_.async_wait(what, [step = std::move(step), failed = std::move(failed)](const asio::error_code& ec) {
    if (ec) return failed(ErrorOf(ec));
    step();
  });
}

absl::Status RedisSocket::TlsError(TlsStream::Status status) {
  const TlsFailure failure = stream_->failure();
  if (is_open_ && (status == TlsStream::Status::kClosed || failure == TlsFailure::kEnded)) {
    return absl::UnavailableError("connection closed");
  }
  tls_->counters().Failed(failure);
  if (failure == TlsFailure::kEnded) return absl::UnavailableError(absl::StrCat("TLS: ", stream_->error()));
  return absl::FailedPreconditionError(absl::StrCat("TLS: ", stream_->error()));
}

void RedisSocket::Close() {
  if (std::exchange(is_closed_, true)) return;
  if (stream_ != nullptr) stream_->CloseNotify();
  if (dialling_ != nullptr && !dialling_->is_over) {
    asio::post(io_, [dialling = dialling_, done = std::exchange(dialling_->done, nullptr)] { done(ClosedByUs()); });
    dialling_->done = [](const absl::Status&) {};
    dialling_->End(ClosedByUs());
  }
  asio::error_code ignored;
  socket_.close(ignored);
}

bool RedisSocket::is_loopback() const {
  asio::error_code ec;
  const asio::ip::tcp::endpoint peer = socket_.remote_endpoint(ec);
  return !ec && peer.address().is_loopback();
}

}  // namespace toolwire
