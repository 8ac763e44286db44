// Names of hosts, looked up without a thread of ours that waits for it.
#ifndef TOOLWIRE_COMMON_REGISTRY_NAME_LOOKUP_H_
#define TOOLWIRE_COMMON_REGISTRY_NAME_LOOKUP_H_

#include <asio.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace toolwire {

// One look-up at a time, on a thread of its own: a name server that is gone delays nobody else, and not the end of the
// process either. Loop thread only.
class NameLookup {
 public:
  using Endpoints = std::vector<asio::ip::tcp::endpoint>;
  // At least one, in the order in which to try them; UNAVAILABLE if there is none.
  using Done = std::function<void(absl::StatusOr<Endpoints> endpoints)>;

  explicit NameLookup(asio::io_context& io) : io_(io) {}
  // No `done` after this.
  ~NameLookup() { Cancel(); }

  // Not while one is running. An IP address needs no thread: its `done` is called before this returns.
  void Start(const std::string& host, int port, Done done);
  void Cancel();
  bool is_running() const { return running_ != nullptr; }

 private:
  struct Running;

  asio::io_context& io_;
  std::shared_ptr<Running> running_;
};

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_REGISTRY_NAME_LOOKUP_H_
