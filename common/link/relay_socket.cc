// Reading: bytes gather in one buffer that grows with the longest frame, and RelayReader takes whole frames out of it,
// fragments put together. Writing: the thread that sends writes until the kernel takes no more, then the loop goes on
// when the socket is writable; one frame at a time is serialized, so that what waits can still be merged and taken
// back. A ticker probes a peer that sends nothing, and cuts it if that stays so.
#include "common/link/relay_socket.h"

#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace toolwire {
namespace {

constexpr size_t kLengthBytes = 4;
constexpr uint32_t kProbe = 0;
constexpr uint32_t kProbeAnswer = 0xffffffff;
constexpr std::chrono::milliseconds kTick(250);
// Ticks without a byte before the peer is probed, so that a link in use carries no probes.
constexpr int kQuietTicks = 2;

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

template <typename Frame>
asio::mutable_buffer RelayReader<Frame>::Space() {
  if (begin_ == end_) begin_ = end_ = 0;
  if (begin_ > 0 && buffer_.size() - end_ < buffer_.size() / 2) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  if (end_ == buffer_.size()) buffer_.resize(std::min(2 * buffer_.size(), kLengthBytes + kPieceBytesMax));
  return asio::buffer(buffer_.data() + end_, buffer_.size() - end_);
}

template <typename Frame>
typename RelayReader<Frame>::Got RelayReader<Frame>::Next(Frame* frame) {
  if (!preface_seen_) {
    const size_t known = std::min(end_ - begin_, kRelayPrefaceBytes);
    if (std::memcmp(buffer_.data() + begin_, kRelayPreface, known) != 0) return Got::kBroken;
    if (known < kRelayPrefaceBytes) return Got::kNothing;
    begin_ += kRelayPrefaceBytes;
    preface_seen_ = true;
    return Got::kPreface;
  }
  while (end_ - begin_ >= kLengthBytes) {
    const uint32_t length = LoadLength(buffer_.data() + begin_);
    if (length == kProbe || length == kProbeAnswer) {
      begin_ += kLengthBytes;
      if (length == kProbe) return Got::kProbe;
      continue;
    }
    if (length > kPieceBytesMax) return Got::kBroken;
    if (end_ - begin_ < kLengthBytes + length) return Got::kNothing;
    const char* const begin = buffer_.data() + begin_ + kLengthBytes;
    begin_ += kLengthBytes + length;
    if (!frame->ParseFromArray(begin, static_cast<int>(length))) return Got::kBroken;
    if (!frame->has_fragment()) return Got::kFrame;
    switch (assembler_.Add(frame)) {
      case FrameAssembler<Frame>::Added::kBroken:
        return Got::kBroken;
      case FrameAssembler<Frame>::Added::kComplete:
        return Got::kFrame;
      case FrameAssembler<Frame>::Added::kMore:
        break;
    }
  }
  return Got::kNothing;
}

template <typename Out, typename In>
RelaySocket<Out, In>::RelaySocket(asio::ip::tcp::socket socket, const Options& options)
    : options_(options),
      socket_(std::move(socket)),
      ticker_(socket_.get_executor()),
      reader_(options.unfinished_bytes_max),
      outbox_(options.outbox_bytes_max, options.unfinished_bytes_max) {}

template <typename Out, typename In>
void RelaySocket<Out, In>::Start(Events events) {
  events_ = std::move(events);
  asio::error_code ec;
  socket_.set_option(asio::ip::tcp::no_delay(true), ec);
  socket_.non_blocking(true, ec);
  {
    MutexLock lock(mu_);
    bytes_.assign(kRelayPreface, kRelayPrefaceBytes);
    WriteLocked();
  }
  Tick();
  Read();
}

template <typename Out, typename In>
void RelaySocket<Out, In>::Read() {
  socket_.async_read_some(reader_.Space(), [self = this->shared_from_this()](const asio::error_code& ec, size_t bytes) {
    if (ec == asio::error::operation_aborted) return;
    if (ec) return self->CloseOnLoop(ec == asio::error::eof ? "the peer ended it" : ec.message());
    self->silent_ticks_ = 0;
    self->reader_.Added(bytes);
    if (self->HandleAll()) self->Read();
  });
}

template <typename Out, typename In>
bool RelaySocket<Out, In>::HandleAll() {
  using Got = typename RelayReader<In>::Got;
  while (socket_.is_open()) {
    switch (reader_.Next(&incoming_)) {
      case Got::kNothing:
        return true;
      case Got::kPreface:
        events_.opened();
        break;
      case Got::kProbe:
        SendControlWord(kProbeAnswer);
        break;
      case Got::kFrame:
        if (!events_.frame(std::move(incoming_))) {
          CloseOnLoop("refused");
          return false;
        }
        incoming_.Clear();
        break;
      case Got::kBroken:
        CloseOnLoop("the peer does not speak the relay's protocol");
        return false;
    }
  }
  return false;
}

// Counts ticks, not time: after a pause of this process, what the peer has sent meanwhile is read first.
template <typename Out, typename In>
void RelaySocket<Out, In>::Tick() {
  ticker_.expires_after(kTick);
  ticker_.async_wait([self = this->shared_from_this()](const asio::error_code& ec) {
    if (ec || !self->socket_.is_open()) return;
    if (++self->silent_ticks_ * Duration(kTick) > self->options_.silence_max)
      return self->CloseOnLoop("the peer is silent");
    if (self->silent_ticks_ >= kQuietTicks) self->SendControlWord(kProbe);
    self->Tick();
  });
}

// --- writing ---------------------------------------------------------------------------------------------------------

template <typename Out, typename In>
bool RelaySocket<Out, In>::Send(Out&& frame) {
  MutexLock lock(mu_);
  if (closed_ || ending_ || !outbox_.Push(std::move(frame))) return false;
  WriteLocked();
  return true;
}

template <typename Out, typename In>
void RelaySocket<Out, In>::SendControlWord(uint32_t word) {
  MutexLock lock(mu_);
  // None for a peer that does not read: what waits for it will show it that this side lives.
  if (closed_ || ending_ || waiting_writable_) return;
  char length[kLengthBytes];
  StoreLength(word, length);
  bytes_.append(length, kLengthBytes);
  WriteLocked();
}

template <typename Out, typename In>
void RelaySocket<Out, In>::WriteLocked() {
  if (closed_ || waiting_writable_) return;
  while (true) {
    if (written_ == bytes_.size()) {
      bytes_.clear();
      written_ = 0;
      if (!outbox_.Next(&outgoing_)) break;
      const size_t length = outgoing_.ByteSizeLong();
      bytes_.resize(kLengthBytes + length);
      StoreLength(static_cast<uint32_t>(length), bytes_.data());
      outgoing_.SerializeWithCachedSizesToArray(reinterpret_cast<uint8_t*>(bytes_.data() + kLengthBytes));
    }
    const ssize_t sent =
        send(socket_.native_handle(), bytes_.data() + written_, bytes_.size() - written_, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) {
      written_ += static_cast<size_t>(sent);
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      return AwaitWritableLocked();
    } else if (errno != EINTR) {
      // The reader finds it too, and ends the link.
      ending_ = true;
      return;
    }
  }
  if (ending_) shutdown(socket_.native_handle(), SHUT_WR);
}

template <typename Out, typename In>
void RelaySocket<Out, In>::AwaitWritableLocked() {
  waiting_writable_ = true;
  asio::post(socket_.get_executor(), [self = this->shared_from_this()] {
    self->socket_.async_wait(asio::ip::tcp::socket::wait_write, [self](const asio::error_code& ec) {
      if (ec) return;
      MutexLock lock(self->mu_);
      self->waiting_writable_ = false;
      self->WriteLocked();
    });
  });
}

// --- ending ----------------------------------------------------------------------------------------------------------

template <typename Out, typename In>
void RelaySocket<Out, In>::EndWhenWritten() {
  MutexLock lock(mu_);
  if (closed_ || std::exchange(ending_, true)) return;
  WriteLocked();
}

template <typename Out, typename In>
void RelaySocket<Out, In>::Close(const std::string& why) {
  asio::post(socket_.get_executor(), [self = this->shared_from_this(), why] { self->CloseOnLoop(why); });
}

template <typename Out, typename In>
void RelaySocket<Out, In>::CloseOnLoop(const std::string& why) {
  {
    MutexLock lock(mu_);
    if (std::exchange(closed_, true)) return;
    asio::error_code ignored;
    socket_.close(ignored);
  }
  ticker_.cancel();
  // The handlers may own what owns this socket: they go when this returns.
  const Events events = std::move(events_);
  events_ = Events();
  events.closed(why);
}

template <typename Out, typename In>
std::vector<Out> RelaySocket<Out, In>::TakeUnsent() {
  MutexLock lock(mu_);
  return outbox_.TakeUnsent();
}

template class RelayReader<v1::ControlFrame>;
template class RelayReader<v1::EdgeFrame>;
template class RelaySocket<v1::ControlFrame, v1::EdgeFrame>;
template class RelaySocket<v1::EdgeFrame, v1::ControlFrame>;

}  // namespace toolwire
