// Rows that wait in memory only: their batches, retries, limits.
#include "common/audit/audit_log.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/fakes/failing_store.h"
#include "tests/fakes/memory_store.h"
#include "tests/unit/audit/audit_log_fixture.h"

namespace toolwire {
namespace {

TEST(AuditLogTest, EveryRowIsWrittenOnceAndInOrder) {
  MemoryStore store;
  AuditLog::Options options = Quick();
  options.batch_rows_max = 7;
  AuditLog log(store, options);
  for (int i = 0; i < 1000; ++i) log.Append(Row(i));
  ASSERT_TRUE(log.Flush(kForever));
  EXPECT_EQ(Written(store), Numbers(0, 1000));
  const AuditLog::Counters counters = log.counters();
  EXPECT_EQ(counters.written, 1000u);
  EXPECT_EQ(counters.dropped + counters.refused + counters.failed_batches + counters.waiting, 0u);
}

TEST(AuditLogTest, RowsFromManyThreadsAreWrittenOnceEach) {
  MemoryStore store;
  AuditLog log(store, Quick());
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 500; ++i) log.Append(Row(t * 500 + i));
      EXPECT_TRUE(log.Flush(kForever));
    });
  }
  for (std::thread& thread : threads) thread.join();
  const std::vector<std::string> written = Written(store);
  EXPECT_EQ(written.size(), 2000u);
  EXPECT_EQ(std::set<std::string>(written.begin(), written.end()).size(), 2000u);
}

TEST(AuditLogTest, RowsThatWaitAreWrittenInFullBatches) {
  GatedStore store;
  store.Hold();
  AuditLog::Options options = Quick();
  options.batch_rows_max = 10;
  AuditLog log(store, options);
  log.Append(Row(0));
  store.WaitForAttempts(1);
  for (int i = 1; i < 26; ++i) log.Append(Row(i));
  store.LetGo();
  ASSERT_TRUE(log.Flush(kForever));
  EXPECT_EQ(store.batch_sizes(), (std::vector<size_t>{1, 10, 10, 5}));
  EXPECT_EQ(Written(store.kept()), Numbers(0, 26));
}

TEST(AuditLogTest, BatchesOfLargeRowsAreBounded) {
  GatedStore store;
  store.Hold();
  AuditLog::Options options = Quick();
  options.batch_bytes_max = 3000;
  AuditLog log(store, options);
  log.Append(Row(0));
  store.WaitForAttempts(1);
  for (int i = 1; i < 7; ++i) {
    AuditRow row = Row(i);
    row.error = std::string(2000, 'x');
    log.Append(std::move(row));
  }
  store.LetGo();
  ASSERT_TRUE(log.Flush(kForever));
  EXPECT_EQ(store.batch_sizes(), (std::vector<size_t>{1, 2, 2, 2})) << "each ends with the row that fills it";
  EXPECT_EQ(Written(store.kept()), Numbers(0, 7));
}

TEST(AuditLogTest, RowsGatherUntilABatchIsFullOrAFlushWaits) {
  GatedStore store;
  AuditLog::Options options = Quick();
  options.batch_rows_max = 10;
  options.gather_time = kForever;
  AuditLog log(store, options);
  for (int i = 0; i < 10; ++i) log.Append(Row(i));
  store.WaitForAttempts(1);
  for (int i = 10; i < 13; ++i) log.Append(Row(i));
  ASSERT_TRUE(log.Flush(kForever));
  EXPECT_EQ(store.batch_sizes(), (std::vector<size_t>{10, 3}));
}

TEST(AuditLogTest, FullBatchIsWrittenWithoutWaitingForMore) {
  GatedStore store;
  AuditLog::Options options = Quick();
  options.batch_rows_max = 2;
  options.gather_time = kForever;
  AuditLog log(store, options);
  // Many rounds, so that in some of them the writer is gathering when the second row comes.
  for (int round = 0; round < 200; ++round) {
    log.Append(Row(2 * round));
    std::this_thread::yield();
    log.Append(Row(2 * round + 1));
    ASSERT_NO_FATAL_FAILURE(store.WaitForAttempts(round + 1));
  }
  ASSERT_TRUE(log.Flush(kForever));
  EXPECT_EQ(store.batch_sizes(), std::vector<size_t>(200, 2));
}

TEST(AuditLogTest, FlushOfAnEmptyLogIsDoneAtOnce) {
  MemoryStore store;
  AuditLog log(store, Quick());
  EXPECT_TRUE(log.Flush(Duration::zero()));
  EXPECT_TRUE(log.Flush(Duration::max()));
}

TEST(AuditLogTest, FlushEndsWhenItsTimeIsOver) {
  GatedStore store;
  store.Hold();
  AuditLog log(store, Quick());
  log.Append(Row(0));
  EXPECT_FALSE(log.Flush(Duration::zero()));
  EXPECT_EQ(log.counters().waiting, 1u);
  store.LetGo();
  EXPECT_TRUE(log.Flush(Duration::max()));
  EXPECT_EQ(log.counters().waiting, 0u);
}

TEST(AuditLogTest, FlushDoesNotWaitForRowsThatComeAfterIt) {
  AuditLog* log_of_judge = nullptr;
  GatedStore* store_of_judge = nullptr;
  GatedStore store([&](const std::vector<AuditRow>& rows) {
    if (rows.front().request_id == "0") {
      store_of_judge->Hold();
      log_of_judge->Append(Row(1));
    }
    return absl::OkStatus();
  });
  store_of_judge = &store;
  AuditLog::Options options = Quick();
  options.gather_time = kForever;  // So the flush has begun when row 0 is written, and row 1 comes after it.
  AuditLog log(store, options);
  log_of_judge = &log;
  log.Append(Row(0));
  EXPECT_TRUE(log.Flush(kForever));
  EXPECT_EQ(Written(store.kept()), Numbers(0, 1));
  EXPECT_EQ(log.counters().waiting, 1u);
  store.LetGo();
}

TEST(AuditLogTest, DestructorWritesWhatWaits) {
  MemoryStore store;
  {
    AuditLog::Options options = Quick();
    options.gather_time = kForever;
    AuditLog log(store, options);
    for (int i = 0; i < 100; ++i) log.Append(Row(i));
  }
  EXPECT_EQ(Written(store), Numbers(0, 100));
}

TEST(AuditLogTest, DestructorEndsWhileTheStoreStaysUnavailable) {
  GatedStore store([](const std::vector<AuditRow>&) { return absl::UnavailableError("no route"); });
  AuditLog::Options options;  // As in production: the writer is waiting for its next retry when it is stopped.
  options.gather_time = Duration::zero();
  options.retry_min = options.retry_max = kForever;
  options.close_time = Duration::zero();
  {
    AuditLog log(store, options);
    for (int i = 0; i < 2000; ++i) log.Append(Row(i));
    store.WaitForAttempts(1);
  }
  EXPECT_TRUE(Written(store.kept()).empty());
}

TEST(AuditLogTest, CloseEndsAtItsDeadlineAndOnce) {
  GatedStore store([](const std::vector<AuditRow>&) { return absl::UnavailableError("no route"); });
  AuditLog::Options options = Quick();  // Whose own time to close has no end.
  options.retry_min = options.retry_max = kForever;
  AuditLog log(store, options);
  log.Append(Row(0));
  EXPECT_FALSE(log.Close(SystemClock().Now() + std::chrono::milliseconds(50)));
  log.Append(Row(1));
  EXPECT_FALSE(log.Close(SystemClock().Now() + std::chrono::hours(1)));
  EXPECT_EQ(log.counters().waiting, 2u);
}

TEST(AuditLogTest, FlushTriesAgainAtOnceWhenTheStoreIsAvailableAgain) {
  bool unavailable = true;
  GatedStore store([&](const std::vector<AuditRow>&) {
    return std::exchange(unavailable, false) ? absl::UnavailableError("no route") : absl::OkStatus();
  });
  AuditLog::Options options = Quick();
  options.retry_min = options.retry_max = std::chrono::hours(1);
  AuditLog log(store, options);
  log.Append(Row(0));
  store.WaitForAttempts(1);
  EXPECT_TRUE(log.Flush(kForever));
  EXPECT_EQ(Written(store.kept()), Numbers(0, 1));
}

// The Nth operation fails, for every N until the scenario no longer meets the failure.
TEST(AuditLogTest, EveryRowIsWrittenOnceWhicheverAttemptFails) {
  for (absl::StatusCode code : {absl::StatusCode::kUnavailable, absl::StatusCode::kDeadlineExceeded}) {
    for (uint64_t failures : {1, 3}) {
      bool met = true;
      for (uint64_t nth = 1; met; ++nth) {
        SCOPED_TRACE(nth);
        ASSERT_LT(nth, 50u);
        MemoryStore store;
        FailingStore failing(store);
        failing.Fail(nth, failures, absl::Status(code, "no route"));
        AuditLog::Options options = Quick();
        options.batch_rows_max = 4;
        AuditLog log(failing, options);
        for (int i = 0; i < 10; ++i) {
          log.Append(Row(i));
          if (i % 4 == 0) {
            ASSERT_TRUE(log.Flush(kForever));
          }
        }
        ASSERT_TRUE(log.Flush(kForever));
        EXPECT_EQ(Written(store), Numbers(0, 10));
        const AuditLog::Counters counters = log.counters();
        EXPECT_EQ(counters.written, 10u);
        EXPECT_EQ(counters.refused + counters.dropped + counters.waiting, 0u);
        met = counters.failed_batches > 0;
        if (met) {
          EXPECT_LE(counters.failed_batches, failures);
        }
      }
    }
  }
}

TEST(AuditLogTest, BadRowDoesNotBlockTheOthers) {
  for (absl::StatusCode code : {absl::StatusCode::kInvalidArgument, absl::StatusCode::kAlreadyExists}) {
    GatedStore store([&](const std::vector<AuditRow>& rows) {
      for (const AuditRow& row : rows) {
        if (row.request_id == "3" || row.request_id == "7") return absl::Status(code, "refused");
      }
      return absl::OkStatus();
    });
    store.Hold();
    AuditLog log(store, Quick());
    for (int i = 0; i < 10; ++i) log.Append(Row(i));
    store.LetGo();
    EXPECT_TRUE(log.Flush(kForever));
    EXPECT_EQ(Written(store.kept()), (std::vector<std::string>{"0", "1", "2", "4", "5", "6", "8", "9"}));
    EXPECT_EQ(log.counters().written, 8u);
    EXPECT_EQ(log.counters().refused, 2u);
    log.Append(Row(10));
    EXPECT_TRUE(log.Flush(kForever));
    EXPECT_EQ(Written(store.kept()).back(), "10");
  }
}

TEST(AuditLogTest, RowRefusedForItsContentIsWrittenInReducedForm) {
  GatedStore store([](const std::vector<AuditRow>& rows) {
    for (const AuditRow& row : rows) {
      if (row.params_json.find("poison") != std::string::npos || row.error.find('\0') != std::string::npos) {
        return absl::InvalidArgumentError("refused");
      }
    }
    return absl::OkStatus();
  });
  AuditLog log(store, Quick());
  AuditRow bad = Row(1);
  bad.params_json = R"({"poison":true})";
  bad.result_json.clear();
  bad.success = false;
  bad.error = std::string("bad\0text", 8);
  bad.execution_time_ms = 7;
  log.Append(Row(0));
  log.Append(bad);
  log.Append(Row(2));
  ASSERT_TRUE(log.Flush(kForever));
  EXPECT_EQ(log.counters().written, 3u);
  EXPECT_EQ(log.counters().refused, 0u);
  auto rows = store.kept().ListAudit({"", 10});
  ASSERT_TRUE(rows.ok());
  ASSERT_EQ(rows->size(), 3u);
  const AuditRow& reduced = (*rows)[0];  // The newest, as it waited until others were taken.
  EXPECT_EQ(reduced.request_id, "1");
  EXPECT_EQ(reduced.params_json,
            R"({"toolwire_truncated":true,"bytes":15,"prefix":"","reason":"refused by the store"})");
  EXPECT_EQ(reduced.result_json, "");
  EXPECT_EQ(reduced.error, "bad?text");
  EXPECT_FALSE(reduced.success);
  EXPECT_EQ(reduced.execution_time_ms, 7);
}

TEST(AuditLogTest, EveryRowIsWrittenOnceWhenTheStoreBecomesUnavailableWhileRowsAreWrittenSingly) {
  bool met = true;
  for (int nth = 1; met; ++nth) {
    SCOPED_TRACE(nth);
    ASSERT_LT(nth, 100);
    int attempt = 0;
    GatedStore store([&](const std::vector<AuditRow>& rows) {
      if (++attempt == nth) return absl::UnavailableError("no route");
      for (const AuditRow& row : rows) {
        if (row.request_id == "2") return absl::InvalidArgumentError("refused");
        if (row.request_id == "4" && row.params_json.find("toolwire") == std::string::npos) {
          return absl::InvalidArgumentError("refused in full");
        }
      }
      return absl::OkStatus();
    });
    AuditLog::Options options = Quick();
    options.gather_time = kForever;
    options.batch_rows_max = 6;
    AuditLog log(store, options);
    for (int i = 0; i < 6; ++i) log.Append(Row(i));
    ASSERT_TRUE(log.Flush(kForever));
    std::vector<std::string> written = Written(store.kept());
    std::sort(written.begin(), written.end());  // Who is refused waits for others.
    EXPECT_EQ(written, (std::vector<std::string>{"0", "1", "3", "4", "5"}));
    EXPECT_EQ(log.counters().refused, 1u);
    EXPECT_EQ(log.counters().waiting, 0u);
    met = attempt >= nth;
  }
}

TEST(AuditLogTest, QueueTakesItsLimitOfRowsAndDropsTheNext) {
  GatedStore store;
  store.Hold();
  AuditLog::Options options = Quick();
  options.queue_rows_max = 5;
  AuditLog log(store, options);
  log.Append(Row(0));
  store.WaitForAttempts(1);  // It counts while it is being written.
  for (int i = 1; i < 5; ++i) log.Append(Row(i));
  EXPECT_EQ(log.counters().waiting, 5u);
  EXPECT_EQ(log.counters().dropped, 0u);
  log.Append(Row(5));
  log.Append(Row(6));
  EXPECT_EQ(log.counters().waiting, 5u);
  EXPECT_EQ(log.counters().dropped, 2u);
  store.LetGo();
  ASSERT_TRUE(log.Flush(kForever));
  log.Append(Row(7));
  ASSERT_TRUE(log.Flush(kForever));
  EXPECT_EQ(Written(store.kept()), (std::vector<std::string>{"0", "1", "2", "3", "4", "7"}));
  EXPECT_EQ(log.counters().dropped, 2u);
}

TEST(AuditLogTest, QueueTakesItsLimitOfBytesAndDropsTheNext) {
  const auto fat = [](int number, size_t bytes) {
    AuditRow row = Row(number);
    row.result_json = "\"" + std::string(bytes, 'x') + "\"";
    return row;
  };
  GatedStore store;
  store.Hold();
  AuditLog::Options options = Quick();
  options.queue_bytes_max = 4 * 1024;
  AuditLog log(store, options);
  log.Append(fat(0, 1500));
  log.Append(fat(1, 1500));
  log.Append(fat(2, 1500));
  EXPECT_EQ(log.counters().dropped, 1u);
  log.Append(fat(3, 100));
  EXPECT_EQ(log.counters().dropped, 1u);
  store.LetGo();
  ASSERT_TRUE(log.Flush(kForever));
  log.Append(fat(4, 1500));
  log.Append(fat(5, 1500));
  ASSERT_TRUE(log.Flush(kForever));
  EXPECT_EQ(Written(store.kept()), (std::vector<std::string>{"0", "1", "3", "4", "5"}));
}

TEST(AuditLogTest, LargePayloadsWaitInTheirShortenedForm) {
  GatedStore store;
  store.Hold();
  AuditLog::Options options = Quick();
  options.json_bytes_max = 1000;
  options.queue_bytes_max = 10 * 1024;
  AuditLog log(store, options);
  AuditRow row = Row(0);
  row.params_json = "{\"t\":\"" + std::string(1 << 20, 'x') + "\"}";
  row.result_json = "\"" + std::string(1 << 20, 'y') + "\"";
  row.error = std::string(1 << 20, 'z');
  log.Append(row);
  EXPECT_EQ(log.counters().dropped, 0u);  // So it took less than the queue's 10 kB.
  store.LetGo();
  ASSERT_TRUE(log.Flush(kForever));
  auto rows = store.kept().ListAudit({"", 1});
  ASSERT_TRUE(rows.ok());
  ASSERT_EQ(rows->size(), 1u);
  EXPECT_EQ(rows->front().params_json, AuditSafeJson(row.params_json, 1000));
  EXPECT_EQ(rows->front().result_json, AuditSafeJson(row.result_json, 1000));
  EXPECT_EQ(rows->front().error, AuditSafeText(row.error, 1000));
}

TEST(AuditLogTest, PayloadAtTheLimitWaitsWhole) {
  MemoryStore store;
  AuditLog::Options options = Quick();
  options.json_bytes_max = 1000;
  AuditLog log(store, options);
  AuditRow row = Row(0);
  row.params_json = "{\"t\":\"" + std::string(992, 'x') + "\"}";
  ASSERT_EQ(row.params_json.size(), 1000u);
  log.Append(row);
  ASSERT_TRUE(log.Flush(kForever));
  EXPECT_EQ(store.ListAudit({"", 1})->front().params_json, row.params_json);
}

}  // namespace
}  // namespace toolwire
