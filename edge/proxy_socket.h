// The header of the PROXY protocol at the begin of one socket, on its loop.
#ifndef TOOLWIRE_EDGE_PROXY_SOCKET_H_
#define TOOLWIRE_EDGE_PROXY_SOCKET_H_

#include <asio.hpp>
#include <cstddef>
#include <functional>
#include <string>
#include <utility>

#include "edge/proxy_protocol.h"

namespace toolwire {

// Loop thread only. Takes the header, and leaves what follows in the kernel, for whoever reads the socket next.
class ProxySocket {
 public:
  // `proxy`: where the peer is, for the log.
  ProxySocket(asio::ip::tcp::socket& socket, std::string proxy, ProxyHeaderCounters& counters)
      : socket_(socket), proxy_(std::move(proxy)), counters_(counters) {}

  enum class Outcome {
    kHeader,
    kNoHeader,  // The connection begins with something else.
    kClosing,   // It has ended, or the header is a wrong one.
  };
  // `client`: as ProxyProtocolHeader's. It may destroy this object.
  using Done = std::function<void(Outcome outcome, const std::string& client)>;
  // Once. `done` is called by the loop, never inside, and holds whoever owns this and the socket; after the socket is
  // closed it is not called.
  void Read(Done done) { Await(1, std::move(done)); }
  // Whether what has come decides, so that `done` is called soon.
  bool HasUnread() const;

 private:
  void Await(size_t bytes, Done done);
  void Look(const Done& done);
  ProxyProtocolHeader Peek(size_t* bytes) const;
  bool Ended() const;
  void Refuse(const char* why);

  asio::ip::tcp::socket& socket_;
  const std::string proxy_;
  ProxyHeaderCounters& counters_;
};

}  // namespace toolwire

#endif  // TOOLWIRE_EDGE_PROXY_SOCKET_H_
