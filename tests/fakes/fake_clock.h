// Time that stands still until a test moves it.
#ifndef TOOLWIRE_TESTS_FAKES_FAKE_CLOCK_H_
#define TOOLWIRE_TESTS_FAKES_FAKE_CLOCK_H_

#include <atomic>
#include <chrono>
#include <cstdint>

#include "common/base/clock.h"

namespace toolwire {

// Both clocks start at round values that are not zero and move together. Any thread may read or advance.
class FakeClock final : public Clock {
 public:
  MonoTime Now() const override { return MonoTime(Duration(mono_.load())); }
  int64_t WallMs() const override {
    return 1'700'000'000'000 + std::chrono::duration_cast<std::chrono::milliseconds>(Now() - Start()).count();
  }

  void Advance(Duration by) { mono_.fetch_add(by.count()); }

 private:
  static MonoTime Start() { return MonoTime(std::chrono::hours(1)); }

  std::atomic<Duration::rep> mono_{Start().time_since_epoch().count()};
};

}  // namespace toolwire

#endif  // TOOLWIRE_TESTS_FAKES_FAKE_CLOCK_H_
