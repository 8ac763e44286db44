#include "common/registry/name_lookup.h"

#include <netdb.h>
#include <sys/socket.h>

#include <cstring>
#include <system_error>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "common/base/mutex.h"

namespace toolwire {
namespace {

// Blocks for as long as the resolver takes.
absl::StatusOr<NameLookup::Endpoints> LookUp(const std::string& host, int port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (error != 0) return absl::UnavailableError(gai_strerror(error));
  NameLookup::Endpoints endpoints;
  for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
    asio::ip::tcp::endpoint endpoint;
    if (one->ai_addrlen > endpoint.capacity()) continue;
    endpoint.resize(one->ai_addrlen);
    std::memcpy(endpoint.data(), one->ai_addr, one->ai_addrlen);
    endpoints.push_back(endpoint);
  }
  freeaddrinfo(found);
  if (endpoints.empty()) return absl::UnavailableError("no address");
  return endpoints;
}

}  // namespace

// What the look-up and its thread share.
struct NameLookup::Running {
  Mutex mu;
  asio::io_context* io ABSL_GUARDED_BY(mu) = nullptr;  // Null once it was cancelled.
  Done done;                                           // The loop's.
};

void NameLookup::Start(const std::string& host, int port, Done done) {
  asio::error_code is_name;
  const asio::ip::address address = asio::ip::make_address(host, is_name);
  if (!is_name) return done(Endpoints{{address, static_cast<uint16_t>(port)}});
  running_ = std::make_shared<Running>();
  running_->done = std::move(done);
  {
    MutexLock lock(running_->mu);
    running_->io = &io_;
  }
  const auto look_up = [this, running = running_, host, port] {
    absl::StatusOr<Endpoints> endpoints = LookUp(host, port);
    MutexLock lock(running->mu);
    if (running->io == nullptr) return;
    asio::post(*running->io, [this, running, endpoints = std::move(endpoints)] {
      {
        // Until the thread is done with the loop, which may be gone once the look-up has ended.
        MutexLock until_posted(running->mu);
      }
      // Cancelled meanwhile: `this` may be gone.
      if (running->done == nullptr) return;
      running_ = nullptr;
      running->done(endpoints);
    });
  };
  try {
    std::thread(look_up).detach();
  } catch (const std::system_error& error) {
    const std::shared_ptr<Running> failed = std::exchange(running_, nullptr);
    failed->done(absl::UnavailableError(error.what()));
  }
}

void NameLookup::Cancel() {
  if (running_ == nullptr) return;
  running_->done = nullptr;
  MutexLock lock(running_->mu);
  running_->io = nullptr;
  lock.Unlock();
  running_ = nullptr;
}

}  // namespace toolwire
