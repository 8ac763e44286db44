// Rows that the store refuses or is too slow for: what is tried again, what waits, what is dropped.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "common/audit/audit_log.h"
#include "common/store/pg_errors.h"
#include "tests/fakes/temp_dir.h"
#include "tests/unit/audit/audit_log_fixture.h"

namespace toolwire {
namespace {

using Rows = std::vector<AuditRow>;

absl::Status Refused() { return absl::InvalidArgumentError("SQLSTATE 23514"); }
// By the store's own fault.
absl::Status Damaged() { return absl::InternalError("SQLSTATE XX001"); }

bool Has(const Rows& rows, const std::string& request_id) {
  return std::any_of(rows.begin(), rows.end(), [&](const AuditRow& row) { return row.request_id == request_id; });
}

std::vector<std::string> Sorted(std::vector<std::string> ids) {
  std::sort(ids.begin(), ids.end(), [](const auto& a, const auto& b) { return std::stoi(a) < std::stoi(b); });
  return ids;
}

template <typename Condition>
bool Soon(const Condition& condition) {
  const MonoTime deadline = SystemClock().Now() + kForever;
  while (!condition()) {
    if (SystemClock().Now() > deadline) return false;
    std::this_thread::yield();
  }
  return true;
}

TEST(RefusedRowsTest, WhenTheStoreRefusesAllNoneIsDroppedAndAllAreWrittenOnceItIsMended) {
  for (const int rows : {1, 5, 1000}) {
    std::atomic<bool> bad{true};
    GatedStore store([&](const Rows&) { return bad ? Refused() : absl::OkStatus(); });
    AuditLog log(store, Quick());
    for (int i = 0; i < rows; ++i) log.Append(Row(i));
    store.WaitForAttempts(50);
    EXPECT_EQ(log.counters().refused, 0u);
    EXPECT_EQ(log.counters().waiting, static_cast<uint64_t>(rows));
    EXPECT_GE(log.counters().aside, 1u);
    bad = false;
    ASSERT_TRUE(log.Flush(kForever));
    EXPECT_EQ(Sorted(Written(store.kept())), Numbers(0, rows));
    EXPECT_EQ(log.counters().refused + log.counters().waiting + log.counters().aside, 0u);
    EXPECT_EQ(log.counters().written, static_cast<uint64_t>(rows));
  }
}

TEST(RefusedRowsTest, ARowThatIsRefusedAloneWaitsUntilAnotherIsTaken) {
  GatedStore store([](const Rows& rows) { return Has(rows, "0") ? Refused() : absl::OkStatus(); });
  AuditLog::Options options = Quick();
  options.retry_min = options.retry_max = kForever;  // Only what other rows show counts.
  AuditLog log(store, options);
  log.Append(Row(0));
  ASSERT_TRUE(Soon([&] { return log.counters().aside == 1; }));
  EXPECT_EQ(log.counters().refused, 0u);
  log.Append(Row(1));
  ASSERT_TRUE(Soon([&] { return log.counters().refused == 1; }));
  ASSERT_TRUE(log.Flush(kForever));
  EXPECT_EQ(Written(store.kept()), Numbers(1, 2));
  EXPECT_EQ(log.counters().waiting, 0u);
}

TEST(RefusedRowsTest, OneBadRowInABatchCostsSomeTwentyStatementsWhereverItIs) {
  for (const int bad : {0, 1, 255, 256, 300, 510}) {
    GatedStore store([&](const Rows& rows) { return Has(rows, std::to_string(bad)) ? Refused() : absl::OkStatus(); });
    AuditLog::Options options = Quick();
    options.gather_time = kForever;
    AuditLog log(store, options);
    for (int i = 0; i < 512; ++i) log.Append(Row(i));
    ASSERT_TRUE(log.Flush(kForever));
    EXPECT_EQ(log.counters().written, 511u);
    EXPECT_EQ(log.counters().refused, 1u);
    EXPECT_LE(store.batch_sizes().size(), 45u) << bad;
  }
}

TEST(RefusedRowsTest, RowsThatTheStoreRefusesByItsOwnFaultAreNeverDroppedThoughOthersAreTaken) {
  std::atomic<bool> damaged{true};
  GatedStore store([&](const Rows& rows) {
    return damaged && (Has(rows, "3") || Has(rows, "4") || Has(rows, "700")) ? Damaged() : absl::OkStatus();
  });
  AuditLog log(store, Quick());
  for (int i = 0; i < 1000; ++i) log.Append(Row(i));
  ASSERT_TRUE(Soon([&] { return log.counters().written == 997 && log.counters().aside == 3; }));
  for (int i = 1000; i < 1100; ++i) log.Append(Row(i));
  ASSERT_TRUE(Soon([&] { return log.counters().written == 1097; }));
  EXPECT_EQ(log.counters().refused, 0u);
  EXPECT_EQ(log.counters().aside, 3u);
  damaged = false;
  ASSERT_TRUE(log.Flush(kForever));
  EXPECT_EQ(log.counters().aside, 0u);
  EXPECT_EQ(Sorted(Written(store.kept())), Numbers(0, 1100));
  // As they were: what a damaged page refuses must not lose its params to another try.
  const auto rows = store.kept().ListAudit({"", 1'000'000});
  for (const AuditRow& row : *rows) EXPECT_EQ(row.params_json, Row(0).params_json) << row.request_id;
}

TEST(RefusedRowsTest, RowsThatAreHeldAreTriedWithAStatementOrTwoAtATime) {
  GatedStore store([&](const Rows&) { return Damaged(); });
  AuditLog::Options options = Quick();
  options.gather_time = kForever;
  options.retry_min = options.retry_max = kForever;
  options.close_time = Duration::zero();
  AuditLog log(store, options);
  for (int i = 0; i < 512; ++i) log.Append(Row(i));
  ASSERT_TRUE(Soon([&] { return log.counters().aside == 8; }));
  const size_t before = store.batch_sizes().size();
  EXPECT_LE(before, 18u);
  log.Flush(Duration::zero());
  ASSERT_TRUE(Soon([&] { return log.counters().aside == 16; }));
  EXPECT_LE(store.batch_sizes().size(), before + 10);
}

TEST(RefusedRowsTest, BatchThatFailsAfterALongTimeIsNeverTriedAgainUnchanged) {
  std::atomic<int> attempts{0};
  GatedStore store([&](const Rows&) { return ++attempts <= 3 ? absl::UnavailableError("silent") : absl::OkStatus(); });
  AuditLog::Options options = Quick();
  options.gather_time = kForever;
  options.batch_rows_max = 64;
  options.slow_write = -std::chrono::seconds(1);  // Everything takes long.
  AuditLog log(store, options);
  for (int i = 0; i < 64; ++i) log.Append(Row(i));
  ASSERT_TRUE(log.Flush(kForever));
  const std::vector<size_t> sizes = store.batch_sizes();
  ASSERT_GE(sizes.size(), 4u);
  EXPECT_EQ(std::vector<size_t>(sizes.begin(), sizes.begin() + 4), (std::vector<size_t>{64, 32, 16, 8}));
  EXPECT_EQ(Written(store.kept()), Numbers(0, 64));
}

TEST(RefusedRowsTest, BatchThatIsTooSlowIsHalvedAndBatchesGrowAgainWhenTheStoreIsFast) {
  std::atomic<size_t> rows_in_time{30};
  GatedStore store([&](const Rows& rows) {
    return rows.size() > rows_in_time ? absl::DeadlineExceededError("SQLSTATE 57014") : absl::OkStatus();
  });
  AuditLog::Options options = Quick();
  options.gather_time = kForever;
  options.slow_write = kForever;
  AuditLog log(store, options);
  for (int i = 0; i < 512; ++i) log.Append(Row(i));
  ASSERT_TRUE(log.Flush(kForever));
  EXPECT_LE(store.batch_sizes().size(), 100u);
  rows_in_time = 512;
  for (int i = 512; i < 3 * 512; ++i) log.Append(Row(i));
  ASSERT_TRUE(log.Flush(kForever));
  const std::vector<size_t> sizes = store.batch_sizes();
  EXPECT_GE(sizes.back(), 256u);
  EXPECT_EQ(Written(store.kept()), Numbers(0, 3 * 512));
  EXPECT_EQ(log.counters().refused, 0u);
}

TEST(RefusedRowsTest, BatchThatTakesLongMakesTheNextSmaller) {
  GatedStore store;
  AuditLog::Options options = Quick();
  options.gather_time = kForever;
  options.batch_rows_max = 64;
  options.slow_write = -std::chrono::seconds(1);  // Everything does.
  AuditLog log(store, options);
  for (int i = 0; i < 128; ++i) log.Append(Row(i));
  ASSERT_TRUE(log.Flush(kForever));
  const std::vector<size_t> sizes = store.batch_sizes();
  ASSERT_GE(sizes.size(), 3u);
  EXPECT_EQ(std::vector<size_t>(sizes.begin(), sizes.begin() + 3), (std::vector<size_t>{64, 32, 16}));
}

TEST(RefusedRowsTest, RowThatIsTooSlowAloneDoesNotHoldUpOthersAndIsDroppedInTheEnd) {
  GatedStore store([](const Rows& rows) {
    return Has(rows, "3") ? absl::DeadlineExceededError("SQLSTATE 57014") : absl::OkStatus();
  });
  AuditLog log(store, Quick());
  for (int i = 0; i < 10; ++i) log.Append(Row(i));
  for (int i = 10; log.counters().refused == 0; ++i) {
    ASSERT_LT(i, 1000000);
    log.Append(Row(i));
  }
  ASSERT_TRUE(log.Flush(kForever));
  EXPECT_EQ(log.counters().refused, 1u);
  const std::vector<std::string> written = Written(store.kept());
  EXPECT_EQ(std::count(written.begin(), written.end(), "3"), 0);
}

TEST(RefusedRowsTest, RowThatWasTooSlowAloneIsWrittenWholeOnceTheStoreIsFastAgain) {
  std::atomic<int> attempts{0};
  GatedStore store(
      [&](const Rows&) { return ++attempts <= 5 ? absl::DeadlineExceededError("SQLSTATE 57014") : absl::OkStatus(); });
  AuditLog log(store, Quick());
  log.Append(Row(1));
  ASSERT_TRUE(log.Flush(kForever));
  const auto rows = store.kept().ListAudit({"", 10});
  ASSERT_EQ(rows->size(), 1u);
  EXPECT_EQ(rows->front().params_json, Row(1).params_json);
  EXPECT_EQ(rows->front().result_json, Row(1).result_json);
}

TEST(RefusedRowsTest, RowsThatAreRefusedForATimeAreWrittenWholeWheneverItEnds) {
  for (const char* const words : {"ERROR:  P0001: not now", "ERROR:  23514: new row violates check constraint"}) {
    for (int bad_attempts = 1; bad_attempts <= 30; ++bad_attempts) {
      std::atomic<int> attempts{0};
      GatedStore store([&](const Rows&) {
        return ++attempts <= bad_attempts ? PgStatus("appending", PgError(words)) : absl::OkStatus();
      });
      AuditLog log(store, Quick());
      for (int i = 0; i < 5; ++i) log.Append(Row(i));
      ASSERT_TRUE(log.Flush(kForever));
      EXPECT_EQ(Sorted(Written(store.kept())), Numbers(0, 5)) << bad_attempts;
      const auto rows = store.kept().ListAudit({"", 10});
      for (const AuditRow& row : *rows) EXPECT_EQ(row.params_json, Row(0).params_json) << bad_attempts;
    }
  }
}

TEST(RefusedRowsTest, RowThatIsRefusedForItsContentLosesOnlyThatOnceOthersAreTaken) {
  GatedStore store([](const Rows& rows) {
    const bool is_bad = std::any_of(rows.begin(), rows.end(), [](const AuditRow& row) {
      return row.request_id == "3" && row.params_json == Row(3).params_json;
    });
    return is_bad ? PgStatus("appending", PgError("ERROR:  P0001: no")) : absl::OkStatus();
  });
  AuditLog log(store, Quick());
  log.Append(Row(3));
  ASSERT_TRUE(Soon([&] { return log.counters().aside == 1; }));
  log.Append(Row(4));
  ASSERT_TRUE(log.Flush(kForever));
  EXPECT_EQ(Sorted(Written(store.kept())), Numbers(3, 5));
  EXPECT_EQ(log.counters().refused, 0u);
}

TEST(RefusedRowsTest, RowThatIsTooSlowForItsContentLosesOnlyThat) {
  GatedStore store([](const Rows& rows) {
    const bool is_slow = std::any_of(rows.begin(), rows.end(), [](const AuditRow& row) {
      return row.request_id == "3" && row.params_json == Row(3).params_json;
    });
    return is_slow ? absl::DeadlineExceededError("SQLSTATE 57014") : absl::OkStatus();
  });
  AuditLog log(store, Quick());
  const auto is_written = [&] {
    const std::vector<std::string> written = Written(store.kept());
    return std::count(written.begin(), written.end(), "3") > 0;
  };
  for (int i = 0; i < 10; ++i) log.Append(Row(i));
  for (int i = 10; !is_written(); ++i) {
    ASSERT_LT(i, 1000000);
    log.Append(Row(i));
    log.Flush(Duration::zero());
  }
  ASSERT_TRUE(log.Flush(kForever));
  EXPECT_EQ(log.counters().refused, 0u);
}

TEST(RefusedRowsTest, RowWhoseTextsTheDatabaseCannotHoldIsWrittenInAscii) {
  GatedStore store([](const Rows& rows) {
    for (const AuditRow& row : rows) {
      for (const std::string& text : {row.tool, row.error, row.params_json}) {
        if (std::any_of(text.begin(), text.end(), [](unsigned char c) { return c > 0x7F; })) {
          return PgStatus("appending", PgError("ERROR:  22P05: no equivalent in encoding"));
        }
      }
    }
    return absl::OkStatus();
  });
  AuditLog log(store, Quick());
  AuditRow row = Row(1);
  row.tool = "\xE9\x81\x93\xE5\x85\xB7";  // U+9053 U+5177
  row.error = "\xC3\xA9 \xF0\x9F\x98\x80";
  log.Append(row);
  ASSERT_TRUE(log.Flush(kForever));
  EXPECT_EQ(log.counters().written, 1u);
  const auto listed = store.kept().ListAudit({"", 1});
  EXPECT_EQ(listed->front().tool, "\\u9053\\u5177");
  EXPECT_EQ(listed->front().error, "\\u00e9 \\u1f600");
}

TEST(RefusedRowsTest, RowsThatWaitBecauseTheStoreRefusesAllAreWrittenByTheNextProcess) {
  TempDir dir;
  AuditLog::Options options = Quick();
  options.spool.directory = dir.File("spool");
  options.adopt_every = std::chrono::milliseconds(1);
  options.close_time = Duration::zero();
  {
    GatedStore bad([](const Rows&) { return Refused(); });
    AuditLog log(bad, options);
    for (int i = 0; i < 20; ++i) log.Append(Row(i));
    bad.WaitForAttempts(30);
  }
  {
    // This one finds them left, and its store is as bad: they become its own.
    GatedStore bad([](const Rows&) { return Refused(); });
    AuditLog log(bad, options);
    ASSERT_TRUE(Soon([&] { return log.counters().aside == 20; }));
    EXPECT_EQ(log.counters().recovered, 0u);
  }
  GatedStore good;
  AuditLog log(good, options);
  ASSERT_TRUE(Soon([&] { return log.counters().recovered == 20; }));
  EXPECT_EQ(Sorted(Written(good.kept())), Numbers(0, 20));
}

TEST(RefusedRowsTest, RowsBeyondTheMemoryAreJudgedFromTheSpool) {
  TempDir dir;
  AuditLog::Options options = Quick();
  options.spool.directory = dir.File("spool");
  options.spooled_in_memory_bytes_max = 0;
  options.queue_rows_max = 1;
  std::atomic<bool> bad{true};
  GatedStore store([&](const Rows& rows) { return bad || Has(rows, "7") ? Refused() : absl::OkStatus(); });
  AuditLog log(store, options);
  for (int i = 0; i < 100; ++i) log.Append(Row(i));
  store.WaitForAttempts(50);
  bad = false;
  log.Append(Row(100));
  ASSERT_TRUE(log.Flush(kForever));
  std::vector<std::string> expected = Numbers(0, 101);
  expected.erase(expected.begin() + 7);
  EXPECT_EQ(Sorted(Written(store.kept())), expected);
  EXPECT_EQ(log.counters().refused, 1u);
}

}  // namespace
}  // namespace toolwire
