#include "control/life_signs.h"

#include <gtest/gtest.h>

#include <chrono>

#include "tests/fakes/fake_clock.h"

namespace toolwire {
namespace {

using std::chrono::milliseconds;

TEST(LifeSignsTest, EachIsCalledOnceAnIntervalAfterItsLastWordAndNoneThatHasEnded) {
  FakeClock clock;
  LifeSigns signs(clock, milliseconds(500));
  LifeSigns::Share first, second, ended;
  int firsts = 0, seconds = 0;
  signs.Await(&first, clock.Now(), [&] { ++firsts; });
  signs.Await(&second, clock.Now() + milliseconds(300), [&] { ++seconds; });
  signs.Await(&ended, clock.Now(), [&] { FAIL(); });
  signs.Leave(&ended);
  signs.Await(&ended, clock.Now(), [&] { FAIL(); });
  clock.Advance(milliseconds(490));
  signs.Tick();
  EXPECT_EQ(firsts, 0);
  clock.Advance(milliseconds(20));
  signs.Tick();
  EXPECT_EQ(firsts, 1);
  EXPECT_EQ(seconds, 0);
  clock.Advance(milliseconds(300));
  signs.Tick();
  clock.Advance(milliseconds(3000));
  signs.Tick();
  EXPECT_EQ(firsts, 1);
  EXPECT_EQ(seconds, 1);
  signs.Leave(&first);
  signs.Leave(&second);
}

TEST(LifeSignsTest, OneThatIsCalledMayWaitAgain) {
  FakeClock clock;
  LifeSigns signs(clock, milliseconds(500));
  LifeSigns::Share share;
  int called = 0;
  const std::function<void()> again = [&] {
    ++called;
    signs.Await(&share, clock.Now(), again);
  };
  signs.Await(&share, clock.Now(), again);
  for (int i = 0; i < 200; ++i) {
    clock.Advance(milliseconds(10));
    signs.Tick();
  }
  EXPECT_GE(called, 3);
  EXPECT_LE(called, 4);
  signs.Leave(&share);
}

}  // namespace
}  // namespace toolwire
