#include "common/base/timer_wheel.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <vector>

namespace toolwire {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kTick(10);
constexpr size_t kSlots = 8;  // One turn is 80 ms.

struct Timer : TimerNode {
  int fired = 0;
};

class TimerWheelTest : public ::testing::Test {
 protected:
  MonoTime At(int ms) const { return start_ + milliseconds(ms); }
  void Arm(Timer* timer, int ms) { wheel_->Arm(timer, At(ms)); }
  void Advance(int ms) {
    wheel_->Advance(At(ms), [](TimerNode* node) { ++static_cast<Timer*>(node)->fired; });
  }

  const MonoTime start_ = MonoTime(std::chrono::hours(1));
  std::optional<TimerWheel> wheel_{std::in_place, kTick, kSlots, start_};
};

TEST_F(TimerWheelTest, TimerFiresOnceAndIsDisarmed) {
  Timer timer;
  Arm(&timer, 30);
  EXPECT_TRUE(timer.armed());
  EXPECT_EQ(timer.deadline(), At(30));
  Advance(30);
  EXPECT_EQ(timer.fired, 1);
  EXPECT_FALSE(timer.armed());
  for (int ms = 30; ms < 400; ms += 10) Advance(ms);
  EXPECT_EQ(timer.fired, 1);
}

TEST_F(TimerWheelTest, MoreThanAtMostFireInTheNextCallsEvenIfNoTimePasses) {
  Timer timers[5];
  for (Timer& timer : timers) Arm(&timer, 30);
  int fired = 0;
  const auto count = [&](TimerNode* node) { ++fired, ++static_cast<Timer*>(node)->fired; };
  EXPECT_FALSE(wheel_->Advance(At(30), count, 2));
  EXPECT_EQ(fired, 2);
  EXPECT_EQ(wheel_->size(), 3u) << "those that are due are still armed";
  for (Timer& timer : timers) {
    if (timer.armed()) {
      wheel_->Disarm(&timer);  // One of those that are due.
      break;
    }
  }
  EXPECT_TRUE(wheel_->Advance(At(30), count, 2));
  EXPECT_EQ(fired, 4);
  EXPECT_TRUE(wheel_->empty());
  EXPECT_TRUE(wheel_->Advance(At(30), count, 0)) << "nothing is left";
}

TEST_F(TimerWheelTest, WheelMayGoWhileTimersAreDue) {
  Timer timers[3];
  for (Timer& timer : timers) Arm(&timer, 30);
  wheel_->Advance(
      At(30), [](TimerNode*) {}, 1);
  wheel_.reset();
  for (const Timer& timer : timers) EXPECT_FALSE(timer.armed());
}

TEST_F(TimerWheelTest, TimerFiresNotBeforeItsDeadlineAndWithinATickOfIt) {
  for (int deadline : {1, 9, 10, 11, 35, 79, 80, 81, 160, 161}) {
    wheel_.emplace(kTick, kSlots, start_);
    Timer timer;
    Arm(&timer, deadline);
    int fired_at = -1;
    for (int ms = 0; ms <= 400 && fired_at < 0; ++ms) {
      Advance(ms);
      if (timer.fired > 0) fired_at = ms;
    }
    EXPECT_GE(fired_at, deadline);
    EXPECT_LT(fired_at, deadline + kTick.count()) << deadline;
  }
}

TEST_F(TimerWheelTest, DeadlineThatHasPassedFiresAtTheNextTick) {
  Advance(100);
  Timer passed, now, ages_ago;
  Arm(&passed, 50);
  Arm(&now, 100);
  wheel_->Arm(&ages_ago, MonoTime::min());
  Advance(100);
  EXPECT_EQ(passed.fired + now.fired + ages_ago.fired, 0);
  Advance(110);
  EXPECT_EQ(passed.fired, 1);
  EXPECT_EQ(now.fired, 1);
  EXPECT_EQ(ages_ago.fired, 1);
}

TEST_F(TimerWheelTest, FarDeadlineSurvivesEveryTurnBeforeItsOwn) {
  Timer timer;
  Arm(&timer, 5 * 80 + 30);
  for (int ms = 0; ms < 5 * 80 + 30; ms += 10) {
    Advance(ms);
    ASSERT_EQ(timer.fired, 0) << ms;
  }
  Advance(5 * 80 + 30);
  EXPECT_EQ(timer.fired, 1);
}

TEST_F(TimerWheelTest, DeadlineThatNeverComesNeverFires) {
  for (MonoTime start : {MonoTime(), start_}) {
    TimerWheel wheel(kTick, kSlots, start);
    TimerNode timer;
    wheel.Arm(&timer, MonoTime::max());
    const auto fail = [](TimerNode*) { FAIL(); };
    for (int ms = 0; ms < 400; ms += 10) wheel.Advance(start + milliseconds(ms), fail);
    wheel.Advance(start + std::chrono::hours(100'000), fail);
    wheel.Arm(&timer, MonoTime::max());
    wheel.Advance(start + std::chrono::hours(200'000), fail);
    EXPECT_TRUE(timer.armed());
  }
}

TEST_F(TimerWheelTest, DisarmedTimerDoesNotFire) {
  Timer timer, other;
  Arm(&timer, 30);
  Arm(&other, 30);
  EXPECT_EQ(wheel_->size(), 2u);
  wheel_->Disarm(&timer);
  wheel_->Disarm(&timer);
  EXPECT_FALSE(timer.armed());
  EXPECT_EQ(wheel_->size(), 1u);
  Advance(100);
  EXPECT_EQ(timer.fired, 0);
  EXPECT_EQ(other.fired, 1);
  EXPECT_TRUE(wheel_->empty());
}

TEST_F(TimerWheelTest, ArmingAgainMovesTheDeadline) {
  Timer later, sooner;
  Arm(&later, 20);
  Arm(&later, 60);
  Arm(&sooner, 60);
  Arm(&sooner, 20);
  EXPECT_EQ(wheel_->size(), 2u);
  Advance(20);
  EXPECT_EQ(later.fired, 0);
  EXPECT_EQ(sooner.fired, 1);
  Advance(60);
  EXPECT_EQ(later.fired, 1);
  EXPECT_EQ(sooner.fired, 1);
}

TEST_F(TimerWheelTest, ArmingOnAnotherWheelLeavesTheFirst) {
  TimerWheel other(kTick, kSlots, start_);
  Timer timer;
  Arm(&timer, 20);
  other.Arm(&timer, At(40));
  EXPECT_TRUE(wheel_->empty());
  EXPECT_EQ(other.size(), 1u);
  Advance(40);
  EXPECT_EQ(timer.fired, 0);
  wheel_.reset();
  other.Advance(At(40), [](TimerNode* node) { ++static_cast<Timer*>(node)->fired; });
  EXPECT_EQ(timer.fired, 1);
}

TEST_F(TimerWheelTest, TimerArmedInsideFireFiresAtALaterTickAlsoIfItsDeadlineHasPassed) {
  Timer timer;
  Arm(&timer, 10);
  int fires = 0;
  const auto again = [&](TimerNode* node) {
    ++fires;
    wheel_->Arm(node, At(10));
  };
  wheel_->Advance(At(10), again);
  EXPECT_EQ(fires, 1);
  wheel_->Advance(At(10), again);
  EXPECT_EQ(fires, 1);
  wheel_->Advance(At(20), again);
  EXPECT_EQ(fires, 2);
  wheel_->Advance(At(1000), again);
  EXPECT_EQ(fires, 3);
}

TEST_F(TimerWheelTest, PeriodicTimerFiresInEveryPeriod) {
  Timer timer;
  int fires = 0;
  int now = 0;
  Arm(&timer, 80);  // Exactly a turn: the slot that is being emptied.
  for (now = 10; now <= 800; now += 10) {
    wheel_->Advance(At(now), [&](TimerNode* node) {
      ++fires;
      wheel_->Arm(node, At(now + 80));
    });
  }
  EXPECT_EQ(fires, 10);
}

TEST_F(TimerWheelTest, TimersMayBeDestroyedInsideFireTheFiringOneToo) {
  std::vector<std::unique_ptr<Timer>> timers;
  for (int i = 0; i < 10; ++i) {
    timers.push_back(std::make_unique<Timer>());
    Arm(timers.back().get(), i < 8 ? 30 : 60);
  }
  int fires = 0;
  wheel_->Advance(At(30), [&](TimerNode* node) {
    ++fires;
    // The firing one, another that is due, and one that is not.
    for (auto& timer : timers) {
      if (timer.get() == node) timer.reset();
    }
    for (size_t i : {size_t{4}, size_t{9}}) timers[i].reset();
  });
  EXPECT_EQ(fires, 7);
  EXPECT_EQ(wheel_->size(), 1u);
  Advance(60);
  EXPECT_EQ(timers[8]->fired, 1);
}

TEST_F(TimerWheelTest, DueTimerThatIsDisarmedOrMovedInsideFireDoesNotFireNow) {
  Timer first, disarmed, moved;
  Arm(&first, 30);
  Arm(&disarmed, 30);
  Arm(&moved, 30);
  std::vector<TimerNode*> fired;
  wheel_->Advance(At(30), [&](TimerNode* node) {
    fired.push_back(node);
    wheel_->Disarm(&disarmed);
    Arm(&moved, 50);
  });
  EXPECT_EQ(fired, std::vector<TimerNode*>{&first});
  Advance(50);
  EXPECT_EQ(disarmed.fired, 0);
  EXPECT_EQ(moved.fired, 1);
}

TEST_F(TimerWheelTest, TimersMayBeArmedInsideFire) {
  Timer first, armed;
  Arm(&first, 30);
  wheel_->Advance(At(30), [&](TimerNode*) { Arm(&armed, 40); });
  EXPECT_EQ(wheel_->size(), 1u);
  Advance(40);
  EXPECT_EQ(armed.fired, 1);
}

TEST_F(TimerWheelTest, JumpOverManyTurnsFiresAllThatIsDueOnceAndNothingElse) {
  std::vector<std::unique_ptr<Timer>> timers;
  for (int ms = 5; ms <= 2000; ms += 5) {
    timers.push_back(std::make_unique<Timer>());
    Arm(timers.back().get(), ms);
  }
  Advance(1003);  // The wheel stands at 1000.
  for (size_t i = 0; i < timers.size(); ++i) {
    EXPECT_EQ(timers[i]->fired, timers[i]->deadline() <= At(1000) ? 1 : 0) << i;
  }
  Advance(100'000);
  for (const auto& timer : timers) EXPECT_EQ(timer->fired, 1);
  EXPECT_TRUE(wheel_->empty());
}

TEST_F(TimerWheelTest, TimerArmedOnAnIdleWheelThatIsAdvancedLateKeepsItsDeadline) {
  // Nobody advanced the wheel for 12 turns; then a timer is armed before the next Advance.
  Timer timer;
  Arm(&timer, 1000 + 25);
  Advance(1000);
  EXPECT_EQ(timer.fired, 0);
  Advance(1020);
  EXPECT_EQ(timer.fired, 0);
  Advance(1030);
  EXPECT_EQ(timer.fired, 1);

  Advance(5000);
  Arm(&timer, 5040);
  Advance(5030);
  EXPECT_EQ(timer.fired, 1);
  Advance(5040);
  EXPECT_EQ(timer.fired, 2);
}

TEST_F(TimerWheelTest, TimeThatStandsStillOrGoesBackChangesNothing) {
  Timer timer;
  Advance(100);
  Arm(&timer, 110);
  Advance(100);
  Advance(109);
  Advance(0);
  EXPECT_EQ(timer.fired, 0);
  Advance(110);
  EXPECT_EQ(timer.fired, 1);
}

TEST_F(TimerWheelTest, AdvancingByLessThanATickAddsUp) {
  Timer timer;
  Arm(&timer, 30);
  for (int ms = 0; ms < 30; ms += 3) Advance(ms);
  EXPECT_EQ(timer.fired, 0);
  Advance(30);
  EXPECT_EQ(timer.fired, 1);
}

TEST_F(TimerWheelTest, DestroyedTimerLeavesTheWheel) {
  {
    Timer timer;
    Arm(&timer, 30);
  }
  EXPECT_TRUE(wheel_->empty());
  Advance(100);
}

TEST_F(TimerWheelTest, TimersOutliveTheirWheelDisarmed) {
  Timer timer;
  Arm(&timer, 30);
  wheel_.reset();
  EXPECT_FALSE(timer.armed());
}

TEST_F(TimerWheelTest, WheelOfOneSlotWorks) {
  wheel_.emplace(kTick, 1, start_);
  Timer near, far;
  Arm(&near, 10);
  Arm(&far, 50);
  Advance(10);
  EXPECT_EQ(near.fired, 1);
  EXPECT_EQ(far.fired, 0);
  Advance(50);
  EXPECT_EQ(far.fired, 1);
}

// A model that keeps deadlines in a sorted list, and random arming, disarming and jumps against both.
TEST_F(TimerWheelTest, AgreesWithASortedListUnderRandomUse) {
  std::mt19937 random(static_cast<unsigned>(::testing::UnitTest::GetInstance()->random_seed()));
  SCOPED_TRACE(::testing::UnitTest::GetInstance()->random_seed());
  const auto below = [&](int limit) { return static_cast<int>(random() % static_cast<unsigned>(limit)); };
  std::vector<Timer> timers(50);
  std::map<Timer*, int> due;  // The first moment at which the timer must fire.
  int now = 0;
  for (int step = 0; step < 5000; ++step) {
    Timer* timer = &timers[static_cast<size_t>(below(50))];
    const int tick = now / 10 * 10;
    switch (below(4)) {
      case 0:
      case 1: {
        const int deadline = now - 20 + below(400);
        Arm(timer, deadline);
        due[timer] = std::max((deadline + 9) / 10 * 10, tick + 10);
        break;
      }
      case 2:
        wheel_->Disarm(timer);
        due.erase(timer);
        break;
      case 3: {
        now += below(10) == 0 ? below(1000) : below(25);
        wheel_->Advance(At(now), [&](TimerNode* node) {
          auto* fired = static_cast<Timer*>(node);
          ASSERT_EQ(due.count(fired), 1u);
          EXPECT_LE(due[fired], now);
          due.erase(fired);
        });
        for (const auto& [waiting, when] : due) EXPECT_GT(when, now / 10 * 10);
        break;
      }
    }
    ASSERT_EQ(wheel_->size(), due.size());
  }
}

}  // namespace
}  // namespace toolwire
