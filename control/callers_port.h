// The callers' port: accepts, counts and bounds TCP connections, and hands those that speak to gRPC.
#ifndef TOOLWIRE_CONTROL_CALLERS_PORT_H_
#define TOOLWIRE_CONTROL_CALLERS_PORT_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/counter.h"
#include "common/tls/tls_files.h"
#include "common/tls/tls_handshakes.h"

namespace toolwire {

// gRPC 1.51 never accepts again once open files have run out, and bounds no connections. So control accepts by itself,
// on a thread of its own. A connection is gRPC's once its first bytes are there; until then it costs a descriptor. With
// TLS these are the first bytes after a handshake, in which the caller's certificate was checked if there is a CA for
// it; gRPC has one end of a pair of sockets then, and a TlsCarrier carries the bytes.
class CallersPort {
 public:
  struct Options {
    int connections_max = 0;             // gRPC's and silent ones; more are closed at once. Default: see Validate.
    int address_connections_max = 1024;  // Of one IPv4 address or IPv6 /64, which may be that of a proxy.
    // That have sent nothing yet; past it the address with the most connections loses its oldest of these. With TLS
    // they wait for their handshake, as many as callers that all come back at once.
    int silent_connections_max = 1024;
    Duration connect_timeout = std::chrono::seconds(5);  // For the first bytes, the handshake included.
    int connection_streams_max = 2000;  // Calls and streams of one connection at once; more wait at the caller.
    // That are not over, of one address and of all: gRPC takes 7 to 12 kB for each before anybody is asked for a token,
    // as for a watch of its health service, or while a request has not come completely.
    int address_unfinished_streams_max = 50'000, unfinished_streams_max = 100'000;
    HandshakeQueue::Options handshakes;
  };
  struct Counters : CounterSet {
    Counter accepted{this, "toolwire_control_connections_accepted_total", "Connections accepted on the callers' port."};
    Counter accept_errors{this, "toolwire_control_accept_errors_total",
                          "Accepts that failed for want of files or memory, each followed by a pause."};
    LimitCounter connections_full{this, kControlLimitHits, "connections"};
    LimitCounter address_full{this, kControlLimitHits, "address_connections"};
    LimitCounter silent_full{this, kControlLimitHits, "silent_connections"};
    LimitCounter streams_unfinished{this, kControlLimitHits, "connection_streams"};
    LimitCounter streams_full{this, kControlLimitHits, "unfinished_streams"};
    LimitCounter silent_too_long{this, kControlLimitHits, "connect_time"};
    LimitCounter handshakes_paced{this, kControlLimitHits, "tls_handshakes_per_second"};
  };
  // Takes over the descriptor. On the port's thread.
  using OnConnection = std::function<void(int fd)>;

  // Descriptors that one connection takes, with TLS.
  static constexpr int kTlsFiles = 3;

  // Listens; connects wait in the kernel until Start. INVALID_ARGUMENT or UNAVAILABLE: cannot listen. `tls`: null if
  // the port is plain.
  static absl::StatusOr<std::unique_ptr<CallersPort>> Listen(const std::string& host, int port, const Options& options,
                                                             TlsFiles* tls, OnConnection on_connection);
  // Stops like Stop().
  ~CallersPort();

  void Start();
  // Closes the port and all silent connections; when it returns no more connections are handed over. Those with TLS
  // still need it.
  void Stop();
  // After gRPC has ended its connections: as of TlsCarrier::Stop.
  void EndTls(MonoTime until);
  int port() const;
  // Any thread.
  void AddSamples(std::vector<Sample>* out) const;

 private:
  struct Impl;
  explicit CallersPort(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

}  // namespace toolwire

#endif  // TOOLWIRE_CONTROL_CALLERS_PORT_H_
