// The address of a caller in gRPC's name of its connection, which with TLS is the name of a local socket.
#ifndef TOOLWIRE_CONTROL_CALLER_PEER_H_
#define TOOLWIRE_CONTROL_CALLER_PEER_H_

#include <asio/ip/tcp.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace toolwire {

// The name of the local socket behind which `peer` is, in the abstract namespace, without the zero before it. `unique`:
// what no other socket of this machine has.
std::string CallerSocketName(std::string_view unique, const asio::ip::tcp::endpoint& peer);

// The part of a name that gRPC would have given the caller itself: `ipv4:127.0.0.1:80`, `ipv6:%5B::1%5D:80`; all of it
// if it has none. `name`: as ServerContext::peer() or the statistics have it, with or without what is before it:
// `chttp2 ipv4:127.0.0.1:80`, `unix-abstract:tw-1/ipv4:127.0.0.1:80`.
std::string_view CallerInName(std::string_view name);

// The same as an address.
std::optional<asio::ip::tcp::endpoint> PeerInName(std::string_view name);

// The same for all callers of an IPv4 address, or of an IPv6 /64.
std::string AddressOfPeer(std::string_view name);
// The same for people to read: `ipv4:127.0.0.1`, `ipv6:2001:db8::/64`.
std::string AddressTextOfPeer(std::string_view name);

}  // namespace toolwire

#endif  // TOOLWIRE_CONTROL_CALLER_PEER_H_
