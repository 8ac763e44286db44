// The header of the PROXY protocol, versions 1 and 2: what a proxy that passes bytes on sends before them, to name its
// client. Without I/O.
#ifndef TOOLWIRE_EDGE_PROXY_PROTOCOL_H_
#define TOOLWIRE_EDGE_PROXY_PROTOCOL_H_

#include <cstddef>
#include <string>
#include <string_view>

#include "common/base/counter.h"

namespace toolwire {

struct ProxyHeaderCounters : CounterSet {
  static constexpr char kRefused[] = "toolwire_edge_proxy_headers_refused_total";
  static constexpr char kRefusedHelp[] =
      "Connections of trusted proxies refused for want of a good header of the PROXY protocol, by reason.";

  Counter read{this, "toolwire_edge_proxy_headers_total", "Headers of the PROXY protocol that were read."};
  Counter missing{this, kRefused, kRefusedHelp, "reason", "missing"};  // Requests, but those for /health.
  Counter invalid{this, kRefused, kRefusedHelp, "reason", "invalid"};
  Counter ended{this, kRefused, kRefusedHelp, "reason", "ended"};  // Within the header.
};

// Of version 2, with what it adds to the addresses: ten times what load balancers send, and room for a client's
// certificate. One of version 1 has at most 107.
inline constexpr size_t kProxyHeaderBytesMax = 4096;

struct ProxyProtocolHeader {
  enum class State {
    kPartial,   // So far it is one. `bytes`: with fewer than these it is not complete; more than there are.
    kComplete,  // `bytes`: its length.
    kMissing,   // The connection begins with something else.
    kInvalid,
  };
  State state;
  size_t bytes = 0;
  // Of a complete one: the client's address, as ClientAddress writes it. Empty: the connection is the proxy's own, or
  // the proxy does not know, or it is no address of IP.
  std::string client;
  const char* error = "";  // Of an invalid one, for people.
};

// Reads the first bytes of a connection: all that have come, or kProxyHeaderBytesMax of them.
ProxyProtocolHeader ReadProxyProtocol(std::string_view bytes);

}  // namespace toolwire

#endif  // TOOLWIRE_EDGE_PROXY_PROTOCOL_H_
