// Reading: bytes gather in one buffer, which grows with the longest message, and MessageReader takes messages out of
// it. Writing: the thread that sends writes until the kernel takes no more; the rest of one message is kept, and the
// loop says when the kernel takes more. TCP_NOTSENT_LOWAT keeps the kernel's queue short, so that what is urgent is not
// behind megabytes there. With TLS both go through the stream, whose handshake comes before all else; what is written
// until then, and what the stream does not take, is kept as a rest, too.
#include "common/link/connection.h"

#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace toolwire {
namespace {

constexpr size_t kLengthBytes = 4;
// Unsent bytes with which the kernel counts as full.
constexpr int kNotSentMax = 64 << 10;
// No turn of the loop for so long: this process, or its machine, stood still.
constexpr Duration kStoodStill = std::chrono::milliseconds(750);
// Of one turn of the loop: others have theirs.
constexpr size_t kTlsReadAtOnce = 256u << 10;
// After a write that failed: as much as the kernel may hold of a connection.
constexpr int kLastReadsMax = 64;
// Of a write that failed for want of memory.
constexpr Duration kWriteAgainAfter = std::chrono::milliseconds(20);

uint32_t LoadLength(const char* from) {
  unsigned char bytes[kLengthBytes];
  std::memcpy(bytes, from, kLengthBytes);
  return bytes[0] | bytes[1] << 8 | bytes[2] << 16 | static_cast<uint32_t>(bytes[3]) << 24;
}

void StoreLength(uint32_t length, char* to) {
  for (size_t i = 0; i < kLengthBytes; ++i) to[i] = static_cast<char>(length >> 8 * i);
}

}  // namespace

// --- reading ---------------------------------------------------------------------------------------------------------

asio::mutable_buffer MessageReader::Space() {
  if (begin_ == end_) begin_ = end_ = 0;
  if (begin_ > 0 && buffer_.size() - end_ < buffer_.size() / 2) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  if (end_ == buffer_.size()) buffer_.resize(std::min(2 * buffer_.size(), kLengthBytes + kMessageBytesMax));
  return asio::buffer(buffer_.data() + end_, buffer_.size() - end_);
}

MessageReader::Got MessageReader::Next(std::string_view* message) {
  if (!preface_seen_) {
    if (const Got got = Preface(); got != Got::kMessage) return got;
  }
  if (end_ - begin_ < kLengthBytes) return Got::kNothing;
  const uint32_t length = LoadLength(buffer_.data() + begin_);
  if (length > kMessageBytesMax) {
    error_ = "a message is too long";
    return Got::kBroken;
  }
  if (end_ - begin_ < kLengthBytes + length) return Got::kNothing;
  *message = {buffer_.data() + begin_ + kLengthBytes, length};
  begin_ += kLengthBytes + length;
  return Got::kMessage;
}

// All but the last byte is the protocol's name, the last one its version.
MessageReader::Got MessageReader::Preface() {
  const size_t known = std::min(end_ - begin_, kLinkPrefaceBytes);
  const std::string_view came(buffer_.data() + begin_, known), ours(kLinkPreface, known);
  if (came != ours) {
    const bool same_name = known == kLinkPrefaceBytes && came.substr(0, known - 1) == ours.substr(0, known - 1);
    error_ = same_name ? std::string("the peer speaks version ") + came.back() +
                             " of the links' protocol, this program version " + ours.back()
                       : "the peer does not speak the links' protocol";
    return Got::kBroken;
  }
  if (known < kLinkPrefaceBytes) return Got::kNothing;
  begin_ += kLinkPrefaceBytes;
  preface_seen_ = true;
  return Got::kMessage;
}

Connection::Connection(asio::ip::tcp::socket socket, const Options& options, Tls tls)
    : options_(options),
      socket_(std::move(socket)),
      tls_(std::move(tls)),
      ticker_(socket_.get_executor()),
      waker_(socket_.get_executor()) {
  if (options.greeted) reader_.SkipPreface();
}

void Connection::Start(Events events) {
  Become(std::move(events));
  asio::error_code ec;
  socket_.set_option(asio::ip::tcp::no_delay(true), ec);
  socket_.non_blocking(true, ec);
  setsockopt(socket_.native_handle(), IPPROTO_TCP, TCP_NOTSENT_LOWAT, &kNotSentMax, sizeof kNotSentMax);
  last_turn_ = std::chrono::steady_clock::now();
  Tick();
  if (!options_.greeted) rest_.assign(kLinkPreface, kLinkPrefaceBytes);
  // Not from here, since they may call `closed`.
  if (tls_.stream) {
    return asio::post(socket_.get_executor(), [self = shared_from_this()] {
      if (self->closed_) return;
      return self->tls_.shaken ? self->Shaken() : self->Shake();
    });
  }
  if (options_.greeted) return Read();
  WriteRest();
  Read();
}

// The stream is this thread's alone until it is done: there is a rest, so nobody else writes.
void Connection::Shake() {
  const TlsStream::Status status = tls_.stream->Handshake();
  if (status == TlsStream::Status::kFailed) {
    tls_.counters->Failed(tls_.stream->failure());
    return CloseOnLoop(tls_.stream->error(), false);
  }
  if (status == TlsStream::Status::kDone) {
    tls_.shaken = true;
    tls_.counters->handshakes.Add();
    if (tls_.stream->resumed()) tls_.counters->resumed.Add();
    return Shaken();
  }
  const auto what =
      status == TlsStream::Status::kWantsRead ? asio::socket_base::wait_read : asio::socket_base::wait_write;
  socket_.async_wait(what, [self = shared_from_this()](const asio::error_code& ec) {
    if (!ec && !self->closed_) self->Shake();
  });
}

void Connection::Shaken() {
  if (!options_.greeted) GoOnWriting();
  if (!closed_) ReadTls();
}

void Connection::Read() {
  socket_.async_read_some(reader_.Space(), [self = shared_from_this()](const asio::error_code& ec, size_t bytes) {
    if (ec == asio::error::operation_aborted || self->closed_) return;
    if (ec) return self->CloseOnLoop(ec == asio::error::eof ? kPeerEnded : ec.message(), false);
    if (self->StoodStill() && self->EndedByPeer()) return self->CloseOnLoop(kPeerEnded, false);
    self->silent_ticks_ = 0;
    self->reader_.Added(bytes);
    if (!self->Give()) return;
    const std::shared_ptr<Events> events = self->events_;
    if (events->read) events->read();
    if (!self->closed_) self->Read();
  });
}

void Connection::ReadTls() {
  if (StoodStill() && EndedByPeer()) return CloseOnLoop(kPeerEnded, false);
  std::string why;
  const std::optional<TlsStream::Status> status = ReadSomeTls(&why);
  if (status) ReadTlsWhen(*status, why);
}

std::optional<TlsStream::Status> Connection::ReadSomeTls(std::string* why) {
  size_t came = 0;
  TlsStream::Status status = TlsStream::Status::kDone;
  while (came < kTlsReadAtOnce) {
    const asio::mutable_buffer space = reader_.Space();
    TlsStream::Moved moved{};
    {
      MutexLock lock(tls_mu_);
      moved = tls_.stream->Read(space.data(), space.size());
      if (moved.status == TlsStream::Status::kFailed) {
        *why = tls_.stream->error();
        tls_.counters->Failed(tls_.stream->failure());
      }
    }
    status = moved.status;
    if (status != TlsStream::Status::kDone) break;
    came += moved.bytes;
    reader_.Added(moved.bytes);
    if (!Give()) return std::nullopt;
  }
  if (came == 0) return status;
  silent_ticks_ = 0;
  const std::shared_ptr<Events> events = events_;
  if (events->read) events->read();
  return closed_ ? std::nullopt : std::optional(status);
}

void Connection::ReadTlsWhen(TlsStream::Status wants, const std::string& why) {
  const auto go_on = [self = shared_from_this()](const asio::error_code& ec = {}) {
    if (ec == asio::error::operation_aborted || self->closed_) return;
    self->ReadTls();
  };
  switch (wants) {
    case TlsStream::Status::kDone:
      return asio::post(socket_.get_executor(), [go_on] { go_on(); });
    case TlsStream::Status::kWantsRead:
      return socket_.async_wait(asio::socket_base::wait_read, go_on);
    case TlsStream::Status::kWantsWrite:
      return socket_.async_wait(asio::socket_base::wait_write, go_on);
    case TlsStream::Status::kClosed:
      return CloseOnLoop(kPeerEnded, false);
    case TlsStream::Status::kFailed:
      return CloseOnLoop(why, false);
  }
}

bool Connection::Give() {
  std::string_view message;
  while (!closed_) {
    const std::shared_ptr<Events> events = events_;  // A message may change them.
    switch (reader_.Next(&message)) {
      case MessageReader::Got::kNothing:
        return true;
      case MessageReader::Got::kMessage:
        if (events->message(message)) break;
        CloseOnLoop("refused", false);
        return false;
      case MessageReader::Got::kBroken:
        CloseOnLoop(reader_.error(), false);
        return false;
    }
  }
  return false;
}

bool Connection::StoodStill() {
  const MonoTime now = std::chrono::steady_clock::now();
  return now - std::exchange(last_turn_, now) > kStoodStill;
}

bool Connection::EndedByPeer() {
  if (!options_.drops_what_ended) return false;
  tcp_info info{};
  socklen_t size = sizeof info;
  if (getsockopt(socket_.native_handle(), IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return true;
  return info.tcpi_state != TCP_ESTABLISHED;
}

void Connection::Tick() {
  ticker_.expires_after(kTick);
  ticker_.async_wait([self = shared_from_this()](const asio::error_code& ec) {
    if (ec || self->closed_) return;
    if (self->StoodStill() && self->EndedByPeer()) return self->CloseOnLoop(kPeerEnded, false);
    if (++self->silent_ticks_ * Duration(kTick) > self->options_.silence_max) {
      return self->CloseOnLoop("the peer is silent", true);
    }
    const std::shared_ptr<Events> events = self->events_;
    if (events->tick) events->tick();
    if (!self->closed_) self->Tick();
  });
}

void Connection::WakeIn(Duration duration) {
  if (std::exchange(waking_, true)) return;
  waker_.expires_after(duration);
  waker_.async_wait([self = shared_from_this()](const asio::error_code& ec) {
    self->waking_ = false;
    const std::shared_ptr<Events> events = self->events_;
    if (!ec && !self->closed_ && events->woken) events->woken();
  });
}

Connection::Released Connection::Release() {
  closed_ = true;
  ticker_.cancel();
  waker_.cancel();
  events_.reset();
  asio::error_code ec;
  if (!reader_.empty() || !rest_.empty() || (tls_.stream && tls_.stream->HasBuffered())) {
    socket_.close(ec);
    return {};
  }
  const int fd = socket_.release(ec);
  if (ec) return {};
  return {fd, std::move(tls_)};
}

// --- writing ---------------------------------------------------------------------------------------------------------

void Connection::Write(std::string_view message) {
  char length[kLengthBytes];
  StoreLength(static_cast<uint32_t>(message.size()), length);
  if (!writable() || tls_.stream) {
    const bool first = writable();
    rest_.append(length, kLengthBytes).append(message);
    if (first) WriteRest();
    return;
  }
  iovec parts[] = {{length, kLengthBytes}, {const_cast<char*>(message.data()), message.size()}};
  msghdr header{};
  header.msg_iov = parts;
  header.msg_iovlen = 2;
  ssize_t sent = 0;
  do {
    sent = sendmsg(socket_.native_handle(), &header, MSG_NOSIGNAL | MSG_DONTWAIT);
  } while (sent < 0 && errno == EINTR);
  size_t taken = sent > 0 ? static_cast<size_t>(sent) : 0;
  if (taken == kLengthBytes + message.size()) return;
  if (taken < kLengthBytes) {
    rest_.assign(length + taken, kLengthBytes - taken);
    taken = kLengthBytes;
  }
  rest_.append(message.substr(taken - kLengthBytes));
  AwaitWritable(asio::socket_base::wait_write, sent < 0 ? errno : 0);
}

bool Connection::WriteRest() {
  if (tls_.stream) return WriteRestTls();
  while (rest_sent_ < rest_.size()) {
    const ssize_t sent = send(socket_.native_handle(), rest_.data() + rest_sent_, rest_.size() - rest_sent_,
                              MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) {
      rest_sent_ += static_cast<size_t>(sent);
    } else if (errno != EINTR) {
      AwaitWritable(asio::socket_base::wait_write, errno);
      return false;
    }
  }
  rest_.clear();
  rest_sent_ = 0;
  return true;
}

// What it did not take it wants to see again, from the same byte on: so from `rest_sent_` on.
bool Connection::WriteRestTls() {
  TlsStream::Moved moved{TlsStream::Status::kDone};
  std::string why;
  {
    MutexLock lock(tls_mu_);
    while (rest_sent_ < rest_.size()) {
      moved = tls_.stream->Write(rest_.data() + rest_sent_, rest_.size() - rest_sent_);
      if (moved.status != TlsStream::Status::kDone) break;
      rest_sent_ += moved.bytes;
    }
    why = tls_.stream->error();
  }
  switch (moved.status) {
    case TlsStream::Status::kDone:
      rest_.clear();
      rest_sent_ = 0;
      return true;
    case TlsStream::Status::kWantsWrite:
      AwaitWritable(asio::socket_base::wait_write, 0);
      return false;
    case TlsStream::Status::kWantsRead:
      AwaitWritable(asio::socket_base::wait_read, 0);
      return false;
    case TlsStream::Status::kClosed:
    case TlsStream::Status::kFailed:
      CloseOnceRead(why.empty() ? kPeerEnded : why);
      return false;
  }
  return false;
}

// Nothing can be written any more. What the peer has said before it ended the connection still counts, as it does
// without TLS.
void Connection::CloseOnceRead(const std::string& why) {
  asio::post(socket_.get_executor(), [self = shared_from_this(), why] {
    if (self->closed_) return;
    const bool is_given = !(self->StoodStill() && self->EndedByPeer());
    std::string ignored;
    for (int i = 0; is_given && i < kLastReadsMax; ++i) {
      const auto status = self->ReadSomeTls(&ignored);
      if (!status) return;
      if (*status != TlsStream::Status::kDone) break;
    }
    self->CloseOnLoop(why, false);
  });
}

void Connection::GoOnWriting() {
  const std::shared_ptr<Events> events = events_;
  if (events->writable) events->writable();
}

// The kernel says when it takes more, but not when it has memory again: a timer asks for that. That the connection is
// broken the reader finds, too.
void Connection::AwaitWritable(asio::socket_base::wait_type what, int error) {
  const bool no_memory = error == ENOBUFS || error == ENOMEM;
  if (error != 0 && error != EAGAIN && error != EWOULDBLOCK && !no_memory) return;
  asio::post(socket_.get_executor(), [self = shared_from_this(), what, no_memory] {
    if (self->closed_) return;
    const auto go_on = [self](const asio::error_code& ec) {
      if (!ec && !self->closed_) self->GoOnWriting();
    };
    if (no_memory) {
      const auto timer = std::make_shared<asio::steady_timer>(self->socket_.get_executor(), kWriteAgainAfter);
      return timer->async_wait([timer, go_on](const asio::error_code& ec) { go_on(ec); });
    }
    self->socket_.async_wait(what, go_on);
  });
}

// --- ending ----------------------------------------------------------------------------------------------------------

void Connection::Close(const std::string& why, bool reset) {
  asio::post(socket_.get_executor(), [self = shared_from_this(), why, reset] { self->CloseOnLoop(why, reset); });
}

void Connection::CloseOnLoop(const std::string& why, bool reset) {
  if (std::exchange(closed_, true)) return;
  ticker_.cancel();
  waker_.cancel();
  // The handlers may own what owns this: they go when this returns.
  const std::shared_ptr<Events> events = std::move(events_);
  if (events->closed) events->closed(why);
  if (tls_.stream && !reset) {
    MutexLock lock(tls_mu_);
    tls_.stream->CloseNotify();
  }
  asio::error_code ignored;
  if (reset) socket_.set_option(asio::socket_base::linger(true, 0), ignored);
  socket_.close(ignored);
}

}  // namespace toolwire
