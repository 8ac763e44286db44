// Waiting in tests for what another thread does: until it is so, or a generous deadline has passed.
#ifndef TOOLWIRE_TESTS_SUPPORT_AWAIT_H_
#define TOOLWIRE_TESTS_SUPPORT_AWAIT_H_

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <future>
#include <memory>
#include <thread>
#include <utility>

namespace toolwire {

// Long, because sanitizer builds on a busy machine are slow; tests that pass never wait for it.
constexpr std::chrono::seconds kAwaitDeadline(30);

// A deadline for what ends long before it.
inline std::chrono::steady_clock::time_point InTime() { return std::chrono::steady_clock::now() + kAwaitDeadline; }

// Polls `condition`. False, and a failure of the test, if it did not come true.
template <typename Condition>
bool Await(const Condition& condition) {
  const auto give_up = std::chrono::steady_clock::now() + kAwaitDeadline;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > give_up) {
      ADD_FAILURE() << "waited in vain";
      return false;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

// A value that a callback brings, at once or from another thread, exactly once. Copies are the same one.
template <typename T>
class Answer {
 public:
  void operator()(T value) const {
    if (state_->given.exchange(true)) {
      ADD_FAILURE() << "answered twice";
      return;
    }
    state_->promise.set_value(std::move(value));
  }
  bool given() const { return state_->given; }
  // Call once. Aborts the program if nothing comes, since there is nothing to return.
  T Take() const {
    if (state_->future.wait_for(kAwaitDeadline) != std::future_status::ready) {
      fprintf(stderr, "no answer came\n");
      std::abort();
    }
    return state_->future.get();
  }

 private:
  struct State {
    std::atomic<bool> given{false};
    std::promise<T> promise;
    std::future<T> future = promise.get_future();
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

}  // namespace toolwire

#endif  // TOOLWIRE_TESTS_SUPPORT_AWAIT_H_
