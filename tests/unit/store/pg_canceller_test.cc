#include "common/store/pg_canceller.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <memory>

namespace toolwire {
namespace {

TEST(PgCancellerTest, CancelThatHangsIsNotWaitedFor) {
  struct Shared {
    std::promise<void> begun, end;
    std::promise<void> ended;
  };
  const auto shared = std::make_shared<Shared>();
  {
    PgCanceller canceller([] { return true; }, [shared] {
      shared->begun.set_value();
      shared->end.get_future().wait();
      shared->ended.set_value();
    });
    shared->begun.get_future().wait();
    EXPECT_TRUE(canceller.Stop());
    EXPECT_TRUE(canceller.Stop());
  }
  shared->end.set_value();
  shared->ended.get_future().wait();
}

TEST(PgCancellerTest, NothingIsCancelledWhileSomebodyWaits) {
  std::atomic<int> asked{0};
  std::promise<void> twice;
  PgCanceller canceller([&] {
    if (++asked == 2) twice.set_value();
    return false;
  }, [] { FAIL() << "cancelled"; });
  twice.get_future().wait();
  EXPECT_FALSE(canceller.Stop());
}

TEST(PgCancellerTest, CancelThatWasLostIsTriedAgain) {
  std::atomic<int> cancels{0};
  std::promise<void> again;
  PgCanceller canceller([] { return true; }, [&] {
    if (++cancels == 2) again.set_value();
  });
  again.get_future().wait();
  EXPECT_TRUE(canceller.Stop());
}

}  // namespace
}  // namespace toolwire
