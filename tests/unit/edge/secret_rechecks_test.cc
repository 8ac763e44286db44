#include "edge/secret_rechecks.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <vector>

namespace toolwire {
namespace {

using std::chrono::seconds;

constexpr Duration kInterval = std::chrono::minutes(5);
constexpr MonoTime kStart = MonoTime(std::chrono::hours(1));

bool IsOpen(SessionId) { return true; }

// Takes and finishes everything that is due then.
std::vector<SessionId> CheckAll(SecretRechecks* rechecks, MonoTime now) {
  std::vector<SessionId> all;
  for (;;) {
    const auto batch = rechecks->Take(now, IsOpen);
    if (batch.empty()) return all;
    EXPECT_LE(batch.size(), SecretRechecks::kBatchMax);
    all.insert(all.end(), batch.begin(), batch.end());
    rechecks->Done(batch);
  }
}

TEST(SecretRechecksTest, EachSessionIsDueOnceInEachIntervalAndNeverManyAtOnce) {
  constexpr size_t kSessions = 10000;
  SecretRechecks rechecks(kInterval, kStart);
  for (SessionId id = 1; id <= kSessions; ++id) rechecks.Add(id);
  std::map<SessionId, int> times;
  size_t most = 0;
  for (MonoTime now = kStart; now < kStart + 3 * kInterval; now += seconds(1)) {
    const auto due = CheckAll(&rechecks, now);
    most = std::max(most, due.size());
    for (const SessionId id : due) ++times[id];
  }
  EXPECT_EQ(times.size(), kSessions);
  for (const auto& [id, count] : times) ASSERT_EQ(count, 3) << id;
  EXPECT_LT(most, 2 * kSessions / 250) << "spread over 300 s";
}

TEST(SecretRechecksTest, SessionsThatHaveEndedAreForgotten) {
  SecretRechecks rechecks(kInterval, kStart);
  for (SessionId id = 1; id <= 100; ++id) rechecks.Add(id);
  std::set<SessionId> asked;
  const auto is_even = [&](SessionId id) {
    asked.insert(id);
    return id % 2 == 0;
  };
  std::vector<SessionId> due;
  const auto check = [&](MonoTime now) {
    for (auto batch = rechecks.Take(now, is_even); !batch.empty(); batch = rechecks.Take(now, is_even)) {
      due.insert(due.end(), batch.begin(), batch.end());
      rechecks.Done(batch);
    }
  };
  check(kStart + kInterval);
  EXPECT_EQ(due.size(), 50u);
  EXPECT_EQ(asked.size(), 100u);
  asked.clear();
  check(kStart + 2 * kInterval);
  EXPECT_EQ(due.size(), 100u);
  EXPECT_EQ(asked.size(), 50u);
}

TEST(SecretRechecksTest, OneBatchIsOutAtATimeAndTriedAgainAfterAPause) {
  SecretRechecks rechecks(kInterval, kStart);
  for (SessionId id = 1; id <= 3; ++id) rechecks.Add(id);
  MonoTime now = kStart;
  std::vector<SessionId> batch;
  while (batch.empty()) batch = rechecks.Take(now += seconds(1), IsOpen);
  EXPECT_TRUE(rechecks.Take(now + 2 * kInterval, IsOpen).empty()) << "nothing gathers meanwhile";
  rechecks.TryAgain(batch, now);
  EXPECT_TRUE(rechecks.Take(now + SecretRechecks::kRetryWait - std::chrono::milliseconds(1), IsOpen).empty());
  EXPECT_EQ(rechecks.Take(now + SecretRechecks::kRetryWait, IsOpen), batch);
  rechecks.Done(batch);
}

TEST(SecretRechecksTest, AfterALongPauseEachSessionIsDueOnce) {
  SecretRechecks rechecks(kInterval, kStart);
  for (SessionId id = 1; id <= 1000; ++id) rechecks.Add(id);
  EXPECT_EQ(CheckAll(&rechecks, kStart + 100 * kInterval).size(), 1000u);
}

TEST(SecretRechecksTest, WithoutAnIntervalNoneIsEverDue) {
  SecretRechecks rechecks(Duration::zero(), kStart);
  rechecks.Add(1);
  EXPECT_TRUE(CheckAll(&rechecks, kStart + 100 * kInterval).empty());
}

}  // namespace
}  // namespace toolwire
