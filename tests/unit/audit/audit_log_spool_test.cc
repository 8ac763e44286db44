// Rows and calls that outlive the process in its spool.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "common/audit/audit_log.h"
#include "tests/fakes/doomed_process.h"
#include "tests/fakes/memory_store.h"
#include "tests/fakes/temp_dir.h"
#include "tests/unit/audit/audit_log_fixture.h"

namespace toolwire {
namespace {

class SpooledAuditLogTest : public ::testing::Test {
 protected:
  AuditLog::Options Spooled() const {
    AuditLog::Options options = Quick();
    options.spool.directory = directory_;
    options.adopt_every = std::chrono::milliseconds(1);
    options.spool.lost_reason = "LOST";
    return options;
  }
  // For as long as `request_id` lives.
  static AuditIntent Intent(const std::string& request_id) {
    return {"user", request_id, "read_file", R"({"path":"/tmp/x"})", 1'700'000'000'456};
  }
  // As when the store is unavailable until the process ends.
  static AuditLog::Options ForAStoreThatStaysUnavailable(AuditLog::Options options) {
    options.close_time = Duration::zero();
    options.retry_min = options.retry_max = kForever;
    return options;
  }
  // Request ids and whether the call is lost, in order.
  static std::vector<std::string> Outcomes(MemoryStore& store) {
    std::vector<std::string> found;
    auto rows = store.ListAudit({"", 1'000'000});
    for (const AuditRow& row : *rows) found.push_back(row.request_id + (row.error == "LOST" ? " lost" : ""));
    std::sort(found.begin(), found.end());
    return found;
  }
  static void WaitForRecovered(const AuditLog& log, uint64_t rows) {
    const MonoTime deadline = SystemClock().Now() + kForever;
    while (log.counters().recovered < rows && SystemClock().Now() < deadline) std::this_thread::yield();
    EXPECT_EQ(log.counters().recovered, rows);
  }
  void ExpectNothingLeft() const { EXPECT_TRUE(std::filesystem::is_empty(directory_)); }

  TempDir dir_;
  const std::string directory_ = dir_.File("data/spool");
};

TEST_F(SpooledAuditLogTest, EveryRowIsWrittenOnceAndNothingIsLeft) {
  MemoryStore store;
  {
    AuditLog::Options options = Spooled();
    options.batch_rows_max = 7;
    AuditLog log(store, options);
    for (int i = 0; i < 500; ++i) log.Settle(log.Begin(Intent("unused")), Row(2 * i)), log.Append(Row(2 * i + 1));
    ASSERT_TRUE(log.Flush(kForever));
    const AuditLog::Counters counters = log.counters();
    EXPECT_EQ(counters.written, 1000u);
    EXPECT_EQ(counters.recovered + counters.spool_errors + counters.dropped, 0u);
    EXPECT_GT(counters.spool_bytes, 0u);
  }
  EXPECT_EQ(Written(store), Numbers(0, 1000));
  ExpectNothingLeft();
}

TEST_F(SpooledAuditLogTest, EveryRowHasACallIdOfItsOwnAlsoWithoutASpool) {
  for (const bool spooled : {true, false}) {
    MemoryStore store;
    {
      AuditLog one(store, spooled ? Spooled() : Quick()), other(store, spooled ? Spooled() : Quick());
      for (AuditLog* log : {&one, &other}) {
        log->Append(Row(1));
        log->Settle(log->Begin(Intent("2")), Row(2));
      }
    }
    auto rows = store.ListAudit({"", 10});
    std::set<std::string> ids;
    for (const AuditRow& row : *rows) ids.insert(row.call_id);
    EXPECT_EQ(ids.size(), 4u);
    EXPECT_EQ(ids.count(""), 0u);
  }
}

TEST_F(SpooledAuditLogTest, KilledProcessLosesNoRowAndNoCall) {
  constexpr int kWaiting = 2000, kRunning = 50;
  DoomedProcess process([&](const auto& ready) {
    GatedStore unavailable([](const std::vector<AuditRow>&) { return absl::UnavailableError("no route"); });
    AuditLog log(unavailable, Spooled());
    std::vector<AuditTicket> running;
    for (int i = 0; i < kRunning; ++i) running.push_back(log.Begin(Intent("running " + std::to_string(i))));
    for (int i = 0; i < kWaiting; ++i) {
      const std::string id = std::to_string(i);
      if (i % 2 == 0) log.Append(Row(i));
      if (i % 2 == 1) log.Settle(log.Begin(Intent(id)), Row(i));
    }
    ready();
  });
  process.Kill();
  std::vector<std::string> expected = Numbers(0, kWaiting);
  for (int i = 0; i < kRunning; ++i) expected.push_back("running " + std::to_string(i) + " lost");
  std::sort(expected.begin(), expected.end());

  MemoryStore store;
  {
    AuditLog log(store, Spooled());
    WaitForRecovered(log, kWaiting + kRunning);
    log.Append(Row(kWaiting));
  }
  expected.push_back(std::to_string(kWaiting));
  std::sort(expected.begin(), expected.end());
  EXPECT_EQ(Outcomes(store), expected);
  auto rows = store.ListAudit({"", 1'000'000});
  for (const AuditRow& row : *rows) {
    if (row.error != "LOST") continue;
    EXPECT_EQ(row.tool, "read_file");
    EXPECT_EQ(row.params_json, R"({"path":"/tmp/x"})");
    EXPECT_EQ(row.created_at_ms, 1'700'000'000'456);
    EXPECT_FALSE(row.success);
  }
  ExpectNothingLeft();
}

TEST_F(SpooledAuditLogTest, RunningLogAdoptsWhatASiblingLeavesAndLeavesWhatASiblingHas) {
  DoomedProcess process([&](const auto& ready) {
    GatedStore unavailable([](const std::vector<AuditRow>&) { return absl::UnavailableError("no route"); });
    AuditLog log(unavailable, Spooled());
    log.Append(Row(0));
    const AuditTicket running = log.Begin(Intent("running"));
    EXPECT_NE(running.intent, 0u);
    ready();
  });
  MemoryStore store;
  AuditLog log(store, Spooled());
  for (int i = 1; i < 100; ++i) {
    log.Append(Row(i));
    ASSERT_TRUE(log.Flush(kForever));
  }
  EXPECT_EQ(log.counters().recovered, 0u);
  process.Kill();
  WaitForRecovered(log, 2);
  std::vector<std::string> expected = Numbers(0, 100);
  expected.push_back("running lost");
  std::sort(expected.begin(), expected.end());
  EXPECT_EQ(Outcomes(store), expected);
}

TEST_F(SpooledAuditLogTest, RecoveryThatIsInterruptedWritesNoRowTwice) {
  DoomedProcess([&](const auto& ready) {
    GatedStore unavailable([](const std::vector<AuditRow>&) { return absl::UnavailableError("no route"); });
    AuditLog log(unavailable, Spooled());
    for (int i = 0; i < 20; ++i) log.Append(Row(i));
    ready();
  }).Kill();
  // Each of these gets some batches further and is ended.
  GatedStore store([attempt = 0](const std::vector<AuditRow>&) mutable {
    return ++attempt % 4 == 0 ? absl::UnavailableError("no route") : absl::OkStatus();
  });
  AuditLog::Options options = ForAStoreThatStaysUnavailable(Spooled());
  options.batch_rows_max = 3;
  for (int round = 1; round <= 2; ++round) {
    AuditLog log(store, options);
    store.WaitForAttempts(4 * round);
  }
  options = Spooled();
  {
    AuditLog log(store, options);
    WaitForRecovered(log, 20);
  }
  EXPECT_EQ(Outcomes(store.kept()).size(), 20u);
  ExpectNothingLeft();
}

TEST_F(SpooledAuditLogTest, RowsThatWaitAtTheEndAreWrittenByTheNext) {
  {
    GatedStore unavailable([](const std::vector<AuditRow>&) { return absl::UnavailableError("no route"); });
    AuditLog log(unavailable, ForAStoreThatStaysUnavailable(Spooled()));
    for (int i = 0; i < 2000; ++i) log.Append(Row(i));
  }
  MemoryStore store;
  AuditLog log(store, Spooled());
  WaitForRecovered(log, 2000);
  EXPECT_EQ(Written(store), Numbers(0, 2000));
}

TEST_F(SpooledAuditLogTest, RowsBeyondTheMemoryWaitInTheSpoolAndAreWrittenInOrder) {
  for (const size_t in_memory_bytes : {0, 2000, 20000}) {
    GatedStore store;
    store.Hold();
    AuditLog::Options options = Spooled();
    options.batch_rows_max = 10;
    options.spooled_in_memory_bytes_max = in_memory_bytes;
    options.queue_rows_max = 1;  // Of no account to rows in the spool.
    AuditLog log(store, options);
    log.Append(Row(0));
    store.WaitForAttempts(1);
    for (int i = 1; i < 500; ++i) log.Append(Row(i));
    store.LetGo();
    for (int i = 500; i < 1000; ++i) log.Append(Row(i));
    ASSERT_TRUE(log.Flush(kForever));
    EXPECT_EQ(Written(store.kept()), Numbers(0, 1000));
    EXPECT_EQ(log.counters().dropped, 0u);
    auto rows = store.kept().ListAudit({"", 1});
    EXPECT_EQ(rows->front().params_json, Row(0).params_json);
    EXPECT_EQ(rows->front().result_json, Row(0).result_json);
  }
}

TEST_F(SpooledAuditLogTest, RowsThatTheSpoolCannotTakeWaitInMemoryAndAreCounted) {
  GatedStore store;
  store.Hold();
  AuditLog::Options options = Spooled();
  options.spool.bytes_max = 1 << 20;  // One segment.
  options.spooled_in_memory_bytes_max = 0;
  AuditRow large = Row(0);
  large.result_json = "\"" + std::string(60 * 1024, 'x') + "\"";
  AuditLog log(store, options);
  for (int i = 0; i < 30; ++i) {
    large.request_id = std::to_string(i);
    log.Settle(log.Begin(Intent(large.request_id)), large);
  }
  EXPECT_GE(log.counters().spool_errors, 10u);
  EXPECT_EQ(log.counters().spool_bytes, 1u << 20);
  EXPECT_EQ(log.counters().dropped, 0u);
  store.LetGo();
  ASSERT_TRUE(log.Flush(kForever));
  EXPECT_EQ(Written(store.kept()), Numbers(0, 30));
  const uint64_t errors = log.counters().spool_errors;
  log.Append(Row(30));
  ASSERT_TRUE(log.Flush(kForever));
  EXPECT_EQ(log.counters().spool_errors, errors) << "it has room again";
}

TEST_F(SpooledAuditLogTest, AtBothLimitsTheNewestRowsAreDropped) {
  GatedStore store;
  store.Hold();
  AuditLog::Options options = Spooled();
  options.spool.bytes_max = 0;
  options.queue_rows_max = 5;
  AuditLog log(store, options);
  for (int i = 0; i < 7; ++i) log.Settle(log.Begin(Intent("unused")), Row(i));
  EXPECT_EQ(log.counters().waiting, 5u);
  EXPECT_EQ(log.counters().dropped, 2u);
  EXPECT_EQ(log.counters().spool_errors, 14u);
  store.LetGo();
  ASSERT_TRUE(log.Flush(kForever));
  EXPECT_EQ(Written(store.kept()), Numbers(0, 5));
}

TEST_F(SpooledAuditLogTest, SpoolThatCannotBeMadeDoesNotMatterToTheRows) {
  std::ofstream(dir_.File("data")) << "a file where the directory should be";
  MemoryStore store;
  AuditLog log(store, Spooled());
  for (int i = 0; i < 100; ++i) log.Settle(log.Begin(Intent("unused")), Row(i));
  ASSERT_TRUE(log.Flush(kForever));
  EXPECT_EQ(Written(store), Numbers(0, 100));
  EXPECT_EQ(log.counters().spool_errors, 200u);
}

TEST_F(SpooledAuditLogTest, RefusedRowsAreNotTriedAgainByTheNext) {
  {
    GatedStore store([](const std::vector<AuditRow>& rows) {
      return rows.size() > 1 || rows.front().request_id == "3" ? absl::InvalidArgumentError("refused")
                                                               : absl::OkStatus();
    });
    AuditLog log(store, Spooled());
    for (int i = 0; i < 10; ++i) log.Append(Row(i));
    ASSERT_TRUE(log.Flush(kForever));
    EXPECT_EQ(log.counters().refused, 1u);
  }
  ExpectNothingLeft();
}

TEST_F(SpooledAuditLogTest, ParamsOfALostCallAreShortenedLikeAnyOthers) {
  const std::string params = "{\"t\":\"" + std::string(1 << 20, 'x') + "\"}";
  AuditLog::Options options = Spooled();
  options.json_bytes_max = 1000;
  {
    MemoryStore unused;
    AuditLog log(unused, options);
    log.Begin({"user", "running", "read_file", params, 0});
  }
  MemoryStore store;
  AuditLog log(store, options);
  WaitForRecovered(log, 1);
  EXPECT_EQ(store.ListAudit({"", 1})->front().params_json, AuditSafeJson(params, 1000));
}

TEST_F(SpooledAuditLogTest, CallsFromManyThreadsAreWrittenOnceEach) {
  MemoryStore store;
  {
    AuditLog log(store, Spooled());
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < 500; ++i) log.Settle(log.Begin(Intent("unused")), Row(t * 500 + i));
        EXPECT_TRUE(log.Flush(kForever));
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  const std::vector<std::string> written = Written(store);
  EXPECT_EQ(written.size(), 2000u);
  EXPECT_EQ(std::set<std::string>(written.begin(), written.end()).size(), 2000u);
  ExpectNothingLeft();
}

}  // namespace
}  // namespace toolwire
