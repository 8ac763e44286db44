// Whose address counts for a connection that came through a proxy.
#ifndef TOOLWIRE_EDGE_CLIENT_ADDRESS_H_
#define TOOLWIRE_EDGE_CLIENT_ADDRESS_H_

#include <cstddef>
#include <string>
#include <string_view>

#include "edge/networks.h"

namespace toolwire {

// How trusted proxies name the client. One way only: a proxy that sets one header passes the other on as the client
// has sent it.
enum class ProxyHeader { kXForwardedFor, kForwarded, kNone };

struct TrustedProxies {
  Networks networks;  // Empty: no request is asked who sent it.
  ProxyHeader header = ProxyHeader::kXForwardedFor;
  // Each connection of theirs begins with the header of the PROXY protocol (proxy_protocol.h). Whom that names counts
  // as the peer, whose header of a request is believed as that of any other peer.
  bool protocol = false;

  // Of the header to read; empty: none.
  std::string header_name() const;
};

// The client of a request that came from `peer` with this value of the header, which is X-Forwarded-For or Forwarded
// (RFC 7239). Each proxy adds on the right whom it was dialled by, so what counts is the first from the right that is
// no trusted proxy: what is left of it anybody may have written. `peer` itself if it is not trusted, or names nobody;
// the last trusted proxy if what it names is no address. Of long values the last kProxiesMax names are looked at.
std::string ClientAddress(const std::string& peer, std::string_view header, const TrustedProxies& trusted);
inline constexpr size_t kProxiesMax = 32;

}  // namespace toolwire

#endif  // TOOLWIRE_EDGE_CLIENT_ADDRESS_H_
