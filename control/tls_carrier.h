// Carries the bytes of callers' TLS connections to gRPC and back, on a thread of its own.
#ifndef TOOLWIRE_CONTROL_TLS_CARRIER_H_
#define TOOLWIRE_CONTROL_TLS_CARRIER_H_

#include <memory>
#include <string>

#include "common/base/clock.h"
#include "common/tls/tls_files.h"
#include "common/tls/tls_stream.h"

namespace toolwire {

// gRPC has one end of a pair of local sockets, the carrier the other end and the caller's socket. What either side does
// not take is held in bounds, and then no more is read for it. The end of one side ends the other, behind what was
// sent before. Thread-safe.
class TlsCarrier {
 public:
  // Of one connection, for each way, beside what the kernel holds: a few records.
  static constexpr size_t kHeldBytesMax = 64u << 10;
  // Of one connection on their way to gRPC, in the kernel, as the memory that they take. gRPC reads on when a caller
  // has been cut until these are over.
  static constexpr int kToGrpcBytesMax = 64 << 10;

  // Descriptors that do not block, taken over.
  struct Connection {
    int caller_fd = -1;
    std::unique_ptr<TlsStream> tls;  // On caller_fd; its handshake is done.
    int grpc_fd = -1;                // The end of the pair that is not gRPC's.
    std::string first;               // What was read of the caller already.
    std::string address;             // Of the caller, for log lines.
  };

  // Failures count in those of `files`.
  explicit TlsCarrier(TlsFiles& files);
  // Stops like Stop(now).
  ~TlsCarrier();

  // A pair of local sockets, of which gRPC's names the other one's `name` as its peer; false, with errno, if there is
  // none. Of use on Linux, where a socket of a pair can have a name.
  static bool MakePair(const std::string& name, int* grpc_end, int* our_end);

  void Carry(Connection connection);
  // Waits until gRPC has ended all connections and callers have its last bytes; what is left at `until` is cut. Carry
  // is not called any more.
  void Stop(MonoTime until);

 private:
  struct Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace toolwire

#endif  // TOOLWIRE_CONTROL_TLS_CARRIER_H_
