#include "tests/support/faulty_calls.h"

#include <dlfcn.h>
#include <netdb.h>
#include <sys/socket.h>

#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <map>
#include <mutex>
#include <string_view>
#include <utility>

namespace toolwire {
namespace {

// Of the one FaultyResolver that lives.
struct Names {
  std::mutex mu;
  std::condition_variable changed;
  std::map<std::string, std::vector<std::string>, std::less<>> known;
  bool released = true;
  int waiting = 0;
};
Names& names() {
  static Names* const all = new Names;
  return *all;
}

std::atomic<int> fail_writes{0}, write_error{0};

bool WriteFails() {
  int left = fail_writes.load();
  while (left > 0) {
    if (!fail_writes.compare_exchange_weak(left, left - 1)) continue;
    errno = write_error;
    return true;
  }
  return false;
}

template <typename Function>
Function* RealOne(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

}  // namespace

FaultyResolver::FaultyResolver() {
  std::lock_guard<std::mutex> lock(names().mu);
  names().released = false;
}

FaultyResolver::~FaultyResolver() {
  Release();
  std::unique_lock<std::mutex> lock(names().mu);
  names().changed.wait(lock, [] { return names().waiting == 0; });
  names().known.clear();
}

void FaultyResolver::Knows(const std::string& name, std::vector<std::string> addresses) {
  std::lock_guard<std::mutex> lock(names().mu);
  names().known[name] = std::move(addresses);
}

void FaultyResolver::Release() {
  std::lock_guard<std::mutex> lock(names().mu);
  names().released = true;
  names().changed.notify_all();
}

int FaultyResolver::waiting() const {
  std::lock_guard<std::mutex> lock(names().mu);
  return names().waiting;
}

void FailWrites(int writes, int error) {
  write_error = error;
  fail_writes = writes;
}

int writes_to_fail() { return fail_writes; }

}  // namespace toolwire

extern "C" {

int getaddrinfo(const char* node, const char* service, const addrinfo* hints, addrinfo** result) {
  static const auto real = toolwire::RealOne<decltype(getaddrinfo)>("getaddrinfo");
  constexpr std::string_view kEnding = ".test";
  const std::string_view name = node != nullptr ? node : "";
  if (name.size() < kEnding.size() || name.substr(name.size() - kEnding.size()) != kEnding) {
    return real(node, service, hints, result);
  }
  std::vector<std::string> addresses;
  {
    toolwire::Names& names = toolwire::names();
    std::unique_lock<std::mutex> lock(names.mu);
    if (const auto known = names.known.find(name); known != names.known.end()) {
      addresses = known->second;
    } else {
      ++names.waiting;
      names.changed.wait(lock, [&] { return names.released; });
      --names.waiting;
      names.changed.notify_all();
    }
  }
  addrinfo** end = result;
  *end = nullptr;
  for (const std::string& address : addresses) {
    if (const int error = real(address.c_str(), service, hints, end); error != 0) return error;
    while (*end != nullptr) end = &(*end)->ai_next;
  }
  return addresses.empty() ? EAI_NONAME : 0;
}

ssize_t sendmsg(int fd, const msghdr* message, int flags) {
  static const auto real = toolwire::RealOne<decltype(sendmsg)>("sendmsg");
  return toolwire::WriteFails() ? -1 : real(fd, message, flags);
}

ssize_t send(int fd, const void* bytes, size_t count, int flags) {
  static const auto real = toolwire::RealOne<decltype(send)>("send");
  return toolwire::WriteFails() ? -1 : real(fd, bytes, count, flags);
}

}  // extern "C"
