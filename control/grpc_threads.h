// How many threads gRPC serves this process's callers with, for which gRPC has no option.
#ifndef TOOLWIRE_CONTROL_GRPC_THREADS_H_
#define TOOLWIRE_CONTROL_GRPC_THREADS_H_

#include <memory>

namespace toolwire {

// gRPC's callback API runs half as many threads as the machine has cores, but 2 to 16, of which one at a time waits for
// the sockets. The one that has found an event first wakes another one to wait in its place, so that with few calls in
// flight each event costs two wake-ups instead of one. While this lives, all but some of these threads are held, each
// in a callback that does not return.
class GrpcThreads {
 public:
  // Leaves `count` threads to gRPC, or all if `count` is 0. Make it once the server runs.
  explicit GrpcThreads(int count);
  // Returns when all threads are gRPC's again.
  ~GrpcThreads();

  // How many are left then: no more than gRPC starts.
  static int Serving(int count);
  // Threads that are held.
  int held() const;

 private:
  struct Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace toolwire

#endif  // TOOLWIRE_CONTROL_GRPC_THREADS_H_
