#include "common/audit/audit_log.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <functional>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/fakes/doomed_process.h"
#include "tests/fakes/failing_store.h"
#include "tests/fakes/memory_store.h"
#include "tests/fakes/temp_dir.h"

namespace toolwire {
namespace {

// A hang is a failure after this long; nothing is measured by it.
constexpr Duration kForever = std::chrono::seconds(60);

AuditRow Row(int number) {
  AuditRow row;
  row.user_id = "user";
  row.request_id = std::to_string(number);
  row.tool = "read_file";
  row.params_json = R"({"path":"/tmp/x"})";
  row.result_json = "1";
  row.success = true;
  return row;
}

AuditLog::Options Quick() {
  AuditLog::Options options;
  options.gather_time = Duration::zero();
  options.retry_min = Duration::zero();
  options.retry_max = Duration::zero();
  options.close_time = kForever;
  return options;
}

// Request ids in the order of writing.
std::vector<std::string> Written(Store& store) {
  std::vector<std::string> ids;
  auto rows = store.ListAudit({"", 1'000'000});
  EXPECT_TRUE(rows.ok());
  for (auto row = rows->rbegin(); row != rows->rend(); ++row) ids.push_back(row->request_id);
  return ids;
}

std::vector<std::string> Numbers(int from, int to) {
  std::vector<std::string> numbers;
  for (int i = from; i < to; ++i) numbers.push_back(std::to_string(i));
  return numbers;
}

// A store whose AppendAudit does what the test says, and can be held: then attempts wait at the gate. Once a test has
// seen an attempt begin, the queue behind it is all its own.
class GatedStore final : public Store {
 public:
  using Judge = std::function<absl::Status(const std::vector<AuditRow>&)>;

  // Attempts are judged by `judge`; those that it lets pass are kept.
  explicit GatedStore(Judge judge = [](const std::vector<AuditRow>&) { return absl::OkStatus(); })
      : judge_(std::move(judge)) {}

  void Hold() { SetHeld(true); }
  void LetGo() { SetHeld(false); }
  void WaitForAttempts(int attempts) {
    std::unique_lock<std::mutex> lock(mu_);
    ASSERT_TRUE(changed_.wait_for(lock, kForever, [&] { return attempts_ >= attempts; }));
  }
  std::vector<size_t> batch_sizes() {
    std::lock_guard<std::mutex> lock(mu_);
    return batch_sizes_;
  }
  MemoryStore& kept() { return kept_; }

  absl::Status AppendAudit(const std::vector<AuditRow>& rows) override {
    {
      std::unique_lock<std::mutex> lock(mu_);
      ++attempts_;
      batch_sizes_.push_back(rows.size());
      changed_.notify_all();
      changed_.wait(lock, [&] { return !held_; });
    }
    absl::Status status = judge_(rows);
    return status.ok() ? kept_.AppendAudit(rows) : status;
  }

  absl::StatusOr<std::vector<bool>> CheckCredentials(const std::vector<CredentialCheck>&) override { return Unused(); }
  absl::Status UpdateStatus(const std::vector<StatusUpdate>&) override { return Unused(); }
  absl::Status CreateCredentials(const std::vector<NewCredential>&) override { return Unused(); }
  absl::StatusOr<std::vector<Credential>> ListCredentials(const std::string&, int) override { return Unused(); }
  absl::Status ReplaceSecret(const std::string&, const std::string&) override { return Unused(); }
  absl::Status Revoke(const std::string&) override { return Unused(); }
  absl::StatusOr<std::vector<ListedAuditRow>> ListAudit(const AuditQuery&) override { return Unused(); }

 private:
  static absl::Status Unused() { return absl::UnimplementedError("only AppendAudit is"); }
  void SetHeld(bool held) {
    std::lock_guard<std::mutex> lock(mu_);
    held_ = held;
    changed_.notify_all();
  }

  const Judge judge_;
  MemoryStore kept_;
  std::mutex mu_;
  std::condition_variable changed_;
  bool held_ = false;  // Guarded by mu_, as are the others.
  int attempts_ = 0;
  std::vector<size_t> batch_sizes_;
};

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

TEST(AuditLogTest, FlushGivesUpWhenItsTimeIsOver) {
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

TEST(AuditLogTest, DestructorEndsWhileTheStoreStaysAway) {
  GatedStore store([](const std::vector<AuditRow>&) { return absl::UnavailableError("away"); });
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

TEST(AuditLogTest, FlushTriesAgainAtOnceWhenTheStoreIsBack) {
  bool away = true;
  GatedStore store([&](const std::vector<AuditRow>&) {
    return std::exchange(away, false) ? absl::UnavailableError("away") : absl::OkStatus();
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
        failing.Fail(nth, failures, absl::Status(code, "away"));
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
  for (absl::StatusCode code : {absl::StatusCode::kInvalidArgument, absl::StatusCode::kInternal}) {
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
  const AuditRow& reduced = (*rows)[1];
  EXPECT_EQ(reduced.request_id, "1");
  EXPECT_EQ(reduced.params_json,
            R"({"toolwire_truncated":true,"bytes":15,"prefix":"","reason":"refused by the store"})");
  EXPECT_EQ(reduced.result_json, "");
  EXPECT_EQ(reduced.error, "bad?text");
  EXPECT_FALSE(reduced.success);
  EXPECT_EQ(reduced.execution_time_ms, 7);
}

TEST(AuditLogTest, EveryRowIsWrittenOnceWhenTheStoreGoesAwayWhileRowsAreWrittenSingly) {
  bool met = true;
  for (int nth = 1; met; ++nth) {
    SCOPED_TRACE(nth);
    ASSERT_LT(nth, 100);
    int attempt = 0;
    GatedStore store([&](const std::vector<AuditRow>& rows) {
      if (++attempt == nth) return absl::UnavailableError("away");
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
    EXPECT_EQ(Written(store.kept()), (std::vector<std::string>{"0", "1", "3", "4", "5"}));
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

// --- with a spool ----------------------------------------------------------------------------------------------------

class SpooledAuditLogTest : public ::testing::Test {
 protected:
  AuditLog::Options Spooled() const {
    AuditLog::Options options = Quick();
    options.spool_dir = directory_;
    options.adopt_every = std::chrono::milliseconds(1);
    options.lost_reason = "LOST";
    return options;
  }
  // For as long as `request_id` lives.
  static AuditIntent Intent(const std::string& request_id) {
    return {"user", request_id, "read_file", R"({"path":"/tmp/x"})", 1'700'000'000'456};
  }
  // As when the store is away until the process ends.
  static AuditLog::Options ForAStoreThatStaysAway(AuditLog::Options options) {
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
    const MonoTime give_up = SystemClock().Now() + kForever;
    while (log.counters().recovered < rows && SystemClock().Now() < give_up) std::this_thread::yield();
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
    GatedStore away([](const std::vector<AuditRow>&) { return absl::UnavailableError("away"); });
    AuditLog log(away, Spooled());
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
    GatedStore away([](const std::vector<AuditRow>&) { return absl::UnavailableError("away"); });
    AuditLog log(away, Spooled());
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
    GatedStore away([](const std::vector<AuditRow>&) { return absl::UnavailableError("away"); });
    AuditLog log(away, Spooled());
    for (int i = 0; i < 20; ++i) log.Append(Row(i));
    ready();
  }).Kill();
  // Each of these gets some batches further and is ended.
  GatedStore store([attempt = 0](const std::vector<AuditRow>&) mutable {
    return ++attempt % 4 == 0 ? absl::UnavailableError("away") : absl::OkStatus();
  });
  AuditLog::Options options = ForAStoreThatStaysAway(Spooled());
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
    GatedStore away([](const std::vector<AuditRow>&) { return absl::UnavailableError("away"); });
    AuditLog log(away, ForAStoreThatStaysAway(Spooled()));
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
  options.spool_bytes_max = 1 << 20;  // One segment.
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
  options.spool_bytes_max = 0;
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
