// Who ends a process whose stop hangs.
#include "common/process/stopping.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <thread>

#include "common/base/log.h"

namespace toolwire {
namespace {

constexpr Duration kLong = std::chrono::minutes(10), kShort = std::chrono::milliseconds(50);

[[noreturn]] void Hang() {
  while (true) std::this_thread::sleep_for(kLong);
}

TEST(StoppingDeathTest, AStepThatHangsAfterTheDrainIsNamedAndEndsTheProcess) {
  const auto stop = [] {
    Stopping stopping(kLong, kShort);  // The drain is over long before its time.
    stopping.EndDrain();
    Stopping::Step("closing what never closes");
    Hang();
  };
  EXPECT_EXIT(stop(), testing::ExitedWithCode(1), "closing what never closes");
}

TEST(StoppingDeathTest, AStepThatHangsBeforeTheDrainEndsTheProcessToo) {
  const auto stop = [] {
    const Stopping stopping(kShort, kShort);
    Hang();
  };
  EXPECT_EXIT(stop(), testing::ExitedWithCode(1), "too long");
}

TEST(StoppingDeathTest, AStopThatEndsInTimeIsLeftAlone) {
  const auto stop = [] {
    Stopping stopping(kShort, kLong);
    std::this_thread::sleep_for(3 * kShort);
    std::exit(stopping.EndDrain() > std::chrono::steady_clock::now() ? 0 : 2);
  };
  EXPECT_EXIT(stop(), testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace toolwire
