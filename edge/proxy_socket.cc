// What has come is looked at without taking it, until it is a whole header; then exactly that is taken. The kernel
// wakes the loop only when as much is there as is missing at least, so that bytes that come one by one cost little. How
// long all this may take is the login's matter.
#include "edge/proxy_socket.h"

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <chrono>
#include <utility>

#include "common/base/log.h"
#include "common/base/summed_line.h"

namespace toolwire {
namespace {

using Buffer = std::array<char, kProxyHeaderBytesMax>;

// A proxy that does it wrong does it always.
constexpr Duration kLineEvery = std::chrono::minutes(1);

void SetWakeAfter(int fd, size_t bytes) {
  const int number = static_cast<int>(bytes);
  setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &number, sizeof number);
}

}  // namespace

void ProxySocket::Await(size_t bytes, Done done) {
  SetWakeAfter(socket_.native_handle(), bytes);
  socket_.async_wait(asio::socket_base::wait_read,
                     [this, done = std::move(done)](const asio::error_code&) { Look(done); });
}

void ProxySocket::Look(const Done& done) {
  if (!socket_.is_open()) return;
  size_t bytes = 0;
  const ProxyProtocolHeader header = Peek(&bytes);
  switch (header.state) {
    case ProxyProtocolHeader::State::kPartial:
      if (!Ended()) return Await(header.bytes, done);
      // Who only looks whether the port is open has done nothing wrong.
      if (bytes > 0) counters_.ended.Add();
      return done(Outcome::kClosing, "");
    case ProxyProtocolHeader::State::kComplete: {
      Buffer taken;
      recv(socket_.native_handle(), taken.data(), header.bytes, MSG_DONTWAIT);
      SetWakeAfter(socket_.native_handle(), 1);
      counters_.read.Add();
      return done(Outcome::kHeader, header.client);
    }
    case ProxyProtocolHeader::State::kMissing:
      SetWakeAfter(socket_.native_handle(), 1);
      return done(Outcome::kNoHeader, "");
    case ProxyProtocolHeader::State::kInvalid:
      Refuse(header.error);
      return done(Outcome::kClosing, "");
  }
}

bool ProxySocket::HasUnread() const {
  size_t bytes = 0;
  return Peek(&bytes).state != ProxyProtocolHeader::State::kPartial;
}

ProxyProtocolHeader ProxySocket::Peek(size_t* bytes) const {
  Buffer buffer;
  const ssize_t got = recv(socket_.native_handle(), buffer.data(), buffer.size(), MSG_PEEK | MSG_DONTWAIT);
  *bytes = got > 0 ? static_cast<size_t>(got) : 0;
  return ReadProxyProtocol({buffer.data(), *bytes});
}

bool ProxySocket::Ended() const {
  pollfd state{socket_.native_handle(), POLLRDHUP, 0};
  return poll(&state, 1, 0) != 0;
}

void ProxySocket::Refuse(const char* why) {
  counters_.invalid.Add();
  thread_local SummedLine line(kLineEvery);
  if (const auto others = line.Take(std::chrono::steady_clock::now())) {
    log::Warn("PROXY header refused", {{"proxy", proxy_}, {"why", why}, {"others", *others}});
  }
}

}  // namespace toolwire
