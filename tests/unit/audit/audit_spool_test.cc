#include "common/audit/audit_spool.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/fakes/doomed_process.h"
#include "tests/fakes/temp_dir.h"

namespace toolwire {
namespace {

namespace fs = std::filesystem;

constexpr size_t kSegmentBytes = 16 * 1024;

AuditRow Row(const std::string& call_id) {
  AuditRow row;
  row.user_id = "user";
  row.request_id = "request of " + call_id;
  row.tool = "read_file";
  row.params_json = R"({"path":"/tmp/x"})";
  row.result_json = "1";
  row.success = true;
  row.execution_time_ms = 7;
  row.created_at_ms = 1'700'000'000'123;
  row.call_id = call_id;
  return row;
}

AuditIntent Intent() { return {"user", "request", "write_file", R"({"path":"/tmp/y"})", 1'700'000'000'456}; }

// Call ids and whether the call is lost, in the order in which they come; three rows at a time.
std::vector<std::string> Recovered(AbandonedSpool* spool) {
  std::vector<std::string> found;
  for (auto rows = spool->Next(3); !rows.empty(); rows = spool->Next(3)) {
    EXPECT_LE(rows.size(), 3u);
    for (const AuditRow& row : rows) found.push_back(row.call_id + (row.error == "LOST" ? " lost" : ""));
  }
  return found;
}

class AuditSpoolTest : public ::testing::Test {
 protected:
  AuditSpool::Options Options() const {
    AuditSpool::Options options;
    options.directory = directory_;
    options.lost_reason = "LOST";
    options.segment_bytes = kSegmentBytes;
    return options;
  }
  void Done(AuditSpool* spool, AuditSpool::Record record) {
    const AuditSpool::Spooled spooled{record, true};
    spool->Done(&spooled, 1);
  }
  // What a survivor finds; nothing is left afterwards.
  std::vector<std::string> RecoverAll() {
    AuditSpool survivor(Options());
    std::vector<std::string> found;
    while (auto abandoned = survivor.AdoptOne()) {
      for (std::string& one : Recovered(abandoned.get())) found.push_back(std::move(one));
      EXPECT_TRUE(abandoned->Remove());
    }
    EXPECT_TRUE(fs::is_empty(directory_));
    return found;
  }
  std::vector<fs::path> Segments() const {
    std::vector<fs::path> found;
    if (!fs::exists(directory_)) return found;
    for (const auto& entry : fs::recursive_directory_iterator(directory_)) {
      if (entry.path().extension() == ".seg") found.push_back(entry.path());
    }
    std::sort(found.begin(), found.end());
    return found;
  }
  // Writes `bytes` at `offset` of the only segment there is.
  void Overwrite(size_t offset, const std::string& bytes) {
    ASSERT_EQ(Segments().size(), 1u);
    std::fstream file(Segments().front(), std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(static_cast<std::streamoff>(offset)) << bytes;
  }

  TempDir dir_;
  const std::string directory_ = dir_.File("data/spool");
};

TEST_F(AuditSpoolTest, RowReadsBackWhole) {
  AuditSpool spool(Options());
  AuditRow row = Row("c1");
  row.error = std::string("a\0b", 3);
  const AuditSpool::Spooled spooled = spool.AddRow(row, 0);
  ASSERT_TRUE(spooled.whole);
  const AuditRow back = spool.Read(spooled.record);
  EXPECT_EQ(back.user_id, row.user_id);
  EXPECT_EQ(back.request_id, row.request_id);
  EXPECT_EQ(back.tool, row.tool);
  EXPECT_EQ(back.params_json, row.params_json);
  EXPECT_EQ(back.result_json, row.result_json);
  EXPECT_EQ(back.error, row.error);
  EXPECT_EQ(back.call_id, row.call_id);
  EXPECT_EQ(back.caller, "");
  EXPECT_TRUE(back.success);
  EXPECT_EQ(back.execution_time_ms, 7);
  EXPECT_EQ(back.created_at_ms, row.created_at_ms);
  row.execution_time_ms.reset();
  row.success = false;
  row.caller = "shop";
  const AuditRow failed = spool.Read(spool.AddRow(row, 0).record);
  EXPECT_FALSE(failed.success);
  EXPECT_EQ(failed.execution_time_ms, std::nullopt);
  EXPECT_EQ(failed.caller, "shop");
  EXPECT_EQ(failed.call_id, row.call_id);
  row.caller = std::string(300, 'x');
  EXPECT_EQ(spool.Read(spool.AddRow(row, 0).record).caller, std::string(255, 'x'));
}

TEST_F(AuditSpoolTest, IntentNamesItsCaller) {
  std::string directory;
  {
    AuditSpool spool(Options());
    AuditIntent intent = Intent();
    intent.caller = "shop";
    spool.AddIntent(intent, "c1");
    directory = fs::directory_iterator(directory_)->path();
    fs::copy(directory, directory + "_dead");
  }
  const auto dead = AbandonedSpool::TakeOver(directory + "_dead");
  ASSERT_NE(dead, nullptr);
  const auto rows = dead->Next(10);
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(rows[0].caller, "shop");
  EXPECT_EQ(rows[0].call_id, "c1");
}

TEST_F(AuditSpoolTest, WhatIsNotDoneIsFoundByTheNextRowsFirst) {
  {
    AuditSpool spool(Options());
    spool.AddIntent(Intent(), "i1");
    const auto done = spool.AddIntent(Intent(), "i2");
    for (int i = 1; i < 6; ++i) spool.AddRow(Row("r" + std::to_string(i)), 0);
    spool.AddRow(Row("r6"), spool.AddIntent(Intent(), "r6"));
    Done(&spool, spool.AddRow(Row("r7"), 0).record);
    Done(&spool, done);
    spool.AddIntent(Intent(), "i3");
  }
  EXPECT_EQ(RecoverAll(), (std::vector<std::string>{"r1", "r2", "r3", "r4", "r5", "r6", "i1 lost", "i3 lost"}));
  EXPECT_TRUE(RecoverAll().empty());
}

TEST_F(AuditSpoolTest, RowOfALostCallSaysWhatWasAskedAndWhen) {
  { AuditSpool(Options()).AddIntent(Intent(), "c1"); }
  auto abandoned = AuditSpool(Options()).AdoptOne();
  ASSERT_NE(abandoned, nullptr);
  const std::vector<AuditRow> rows = abandoned->Next(10);
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(rows[0].user_id, "user");
  EXPECT_EQ(rows[0].request_id, "request");
  EXPECT_EQ(rows[0].tool, "write_file");
  EXPECT_EQ(rows[0].params_json, R"({"path":"/tmp/y"})");
  EXPECT_EQ(rows[0].result_json, "");
  EXPECT_EQ(rows[0].error, "LOST");
  EXPECT_FALSE(rows[0].success);
  EXPECT_EQ(rows[0].execution_time_ms, std::nullopt);
  EXPECT_EQ(rows[0].created_at_ms, 1'700'000'000'456);
  EXPECT_EQ(rows[0].call_id, "c1");
}

TEST_F(AuditSpoolTest, NothingIsLeftWhenEverythingIsDone) {
  {
    AuditSpool spool(Options());
    Done(&spool, spool.AddRow(Row("c1"), spool.AddIntent(Intent(), "c1")).record);
    EXPECT_EQ(Segments().size(), 1u);
  }
  EXPECT_TRUE(fs::is_empty(directory_));
}

TEST_F(AuditSpoolTest, DirectoriesAndFilesAreThisUsersOnly) {
  AuditSpool spool(Options());
  spool.AddIntent(Intent(), "c1");
  const auto mode = [](const fs::path& path) {
    struct stat info {};
    EXPECT_EQ(stat(path.c_str(), &info), 0) << path;
    return info.st_mode & 0777;
  };
  const fs::path segment = Segments().front();
  EXPECT_EQ(mode(fs::path(directory_).parent_path()), 0700u);
  EXPECT_EQ(mode(directory_), 0700u);
  EXPECT_EQ(mode(segment.parent_path()), 0700u);
  EXPECT_EQ(mode(segment.parent_path() / "lock"), 0600u);
  EXPECT_EQ(mode(segment), 0600u);
}

TEST_F(AuditSpoolTest, SegmentsAreUsedAgain) {
  AuditSpool spool(Options());
  std::vector<AuditSpool::Record> rows;
  for (int i = 0; i < 5000; ++i) {  // A megabyte and more.
    rows.push_back(spool.AddRow(Row(std::to_string(i)), spool.AddIntent(Intent(), std::to_string(i))).record);
    if (rows.size() == 50) {
      for (const auto row : std::exchange(rows, {})) Done(&spool, row);
    }
  }
  EXPECT_LE(spool.bytes(), 6 * kSegmentBytes);
  EXPECT_EQ(spool.bytes(), Segments().size() * kSegmentBytes);
  EXPECT_EQ(spool.errors(), 0u);
}

TEST_F(AuditSpoolTest, SegmentThatIsUsedAgainShowsNothingOfItsEarlierUse) {
  {
    AuditSpool spool(Options());
    for (int i = 0; i < 200; ++i) Done(&spool, spool.AddRow(Row("old " + std::to_string(i)), 0).record);
    spool.AddRow(Row("new"), 0);
  }
  EXPECT_EQ(RecoverAll(), std::vector<std::string>{"new"});
}

TEST_F(AuditSpoolTest, SpaceOfABurstIsGivenBack) {
  AuditSpool spool(Options());
  std::vector<AuditSpool::Record> rows;
  for (int i = 0; i < 5000; ++i) rows.push_back(spool.AddRow(Row(std::to_string(i)), 0).record);
  EXPECT_GE(spool.bytes(), 30 * kSegmentBytes);
  for (const auto row : rows) Done(&spool, row);
  EXPECT_LE(spool.bytes(), 6 * kSegmentBytes);
  EXPECT_EQ(spool.bytes(), Segments().size() * kSegmentBytes);
}

TEST_F(AuditSpoolTest, SlowCallsDoNotHoldOnToTheSpaceOfQuickOnes) {
  constexpr int kCalls = 20000, kSlowEvery = 40;  // About one slow call in each segment.
  std::vector<std::string> slow_ids;
  {
    AuditSpool spool(Options());
    std::vector<std::pair<std::string, AuditSpool::Record>> slow;
    for (int i = 0; i < kCalls; ++i) {
      const std::string id = std::to_string(i);
      const auto intent = spool.AddIntent(Intent(), id);
      if (i % kSlowEvery == 0) {
        slow.emplace_back(id, intent);
      } else {
        Done(&spool, spool.AddRow(Row(id), intent).record);
      }
    }
    const size_t bytes_of_slow = slow.size() * 160;
    EXPECT_LE(spool.bytes(), 4 * bytes_of_slow + 16 * kSegmentBytes);
    EXPECT_EQ(spool.errors(), 0u);
    // They have been moved, and settle all the same.
    for (size_t i = 0; i < slow.size(); ++i) {
      const auto& [id, intent] = slow[i];
      if (i % 2 == 0) {
        const AuditSpool::Spooled row = spool.AddRow(Row(id), intent);
        EXPECT_EQ(spool.Read(row.record).call_id, id);
        Done(&spool, row.record);
      } else {
        slow_ids.push_back(id + " lost");
      }
    }
  }
  std::vector<std::string> recovered = RecoverAll();
  std::sort(recovered.begin(), recovered.end());
  std::sort(slow_ids.begin(), slow_ids.end());
  EXPECT_EQ(recovered, slow_ids);
}

TEST_F(AuditSpoolTest, RecordLargerThanASegmentHasAFileOfItsOwn) {
  AuditRow large = Row("large");
  large.result_json = "\"" + std::string(5 * kSegmentBytes, 'x') + "\"";
  {
    AuditSpool spool(Options());
    spool.AddRow(Row("before"), 0);
    const auto record = spool.AddRow(large, 0);
    spool.AddRow(Row("behind"), 0);
    EXPECT_EQ(spool.Read(record.record).result_json, large.result_json);
    EXPECT_GE(spool.bytes(), 6 * kSegmentBytes);
    Done(&spool, spool.AddRow(large, 0).record);
    for (int i = 0; i < 100; ++i) Done(&spool, spool.AddRow(Row("small"), 0).record);
    EXPECT_LE(spool.bytes(), 10 * kSegmentBytes);  // Without the second large one.
  }
  EXPECT_EQ(RecoverAll(), (std::vector<std::string>{"before", "large", "behind"}));
}

TEST_F(AuditSpoolTest, AtTheLimitRowsAreRefusedAndIntentsStay) {
  AuditSpool::Options options = Options();
  options.bytes_max = 2 * kSegmentBytes;
  {
    AuditSpool spool(options);
    const auto intent = spool.AddIntent(Intent(), "intent");
    std::vector<AuditSpool::Record> rows;
    while (true) {
      const auto spooled = spool.AddRow(Row(std::to_string(rows.size())), 0);
      if (!spooled.whole) break;
      rows.push_back(spooled.record);
    }
    EXPECT_EQ(spool.bytes(), 2 * kSegmentBytes);
    EXPECT_EQ(spool.errors(), 1u);
    EXPECT_EQ(spool.AddIntent(Intent(), "one more"), 0u);
    const auto refused = spool.AddRow(Row("intent"), intent);
    EXPECT_FALSE(refused.whole);
    EXPECT_EQ(refused.record, intent);
    EXPECT_EQ(spool.errors(), 3u);
    for (const auto row : rows) Done(&spool, row);
    EXPECT_TRUE(spool.AddRow(Row("when there is room"), 0).whole);
    EXPECT_EQ(spool.errors(), 3u);
  }
  EXPECT_EQ(RecoverAll(), (std::vector<std::string>{"when there is room", "intent lost"}));
}

TEST_F(AuditSpoolTest, DirectoryThatCannotBeMadeIsAnErrorOfEachRecordUntilItCan) {
  std::ofstream(dir_.File("data")) << "a file where the directory should be";
  AuditSpool spool(Options());
  EXPECT_EQ(spool.AddIntent(Intent(), "c1"), 0u);
  const auto refused = spool.AddRow(Row("c1"), 0);
  EXPECT_FALSE(refused.whole);
  EXPECT_EQ(refused.record, 0u);
  EXPECT_EQ(spool.errors(), 2u);
  EXPECT_EQ(spool.AdoptOne(), nullptr);
  fs::remove(dir_.File("data"));
  EXPECT_EQ(spool.AdoptOne(), nullptr);
  spool.TryAgain();
  EXPECT_TRUE(spool.AddRow(Row("c1"), 0).whole);
  EXPECT_EQ(spool.errors(), 2u);
}

TEST_F(AuditSpoolTest, RecordThatWasBeingWrittenIsNotThere) {
  const size_t record_bytes = SpoolSegment::RecordBytes(RecordContent(Row("c1")));
  for (const std::string& length :
       {std::string(4, '\0'), std::string("\x05\0\0\0", 4), std::string("\xF8\xFF\xFF\x7F")}) {
    {
      AuditSpool spool(Options());
      for (const char* id : {"c1", "c2", "c3"}) spool.AddRow(Row(id), 0);
    }
    Overwrite(SpoolSegment::kHeaderBytes + 2 * record_bytes, length);
    EXPECT_EQ(RecoverAll(), (std::vector<std::string>{"c1", "c2"}));
  }
}

TEST_F(AuditSpoolTest, DamagedRecordIsPassedOver) {
  const size_t record_bytes = SpoolSegment::RecordBytes(RecordContent(Row("c1")));
  {
    AuditSpool spool(Options());
    for (const char* id : {"c1", "c2", "c3"}) spool.AddRow(Row(id), 0);
  }
  Overwrite(SpoolSegment::kHeaderBytes + record_bytes + 32, "\xFF\xFF\xFF\xFF");  // The length of a text in the second.
  EXPECT_EQ(RecoverAll(), (std::vector<std::string>{"c1", "c3"}));
}

TEST_F(AuditSpoolTest, CallThatWasKilledBetweenItsRowAndTheEndOfItsIntentHasOneRow) {
  {
    AuditSpool spool(Options());
    spool.AddRow(Row("c1"), spool.AddIntent(Intent(), "c1"));
  }
  Overwrite(SpoolSegment::kHeaderBytes + 4, std::string("\x01\0\0\0", 4));  // The kind of the first record.
  EXPECT_EQ(RecoverAll(), std::vector<std::string>{"c1"});
}

TEST_F(AuditSpoolTest, HalfMadeFilesAndDirectoriesAreRemoved) {
  { AuditSpool(Options()).AddIntent(Intent(), "c1"); }
  const fs::path own = Segments().front().parent_path();
  std::ofstream(own / "2.seg").close();
  std::ofstream(own / "3.seg") << std::string(kSegmentBytes, '\0');
  fs::create_directory(directory_ + "/0123456789abcdef");
  EXPECT_EQ(RecoverAll(), std::vector<std::string>{"c1 lost"});
}

TEST_F(AuditSpoolTest, SegmentOfAnotherVersionIsLeftAloneAndTheRestIsRecovered) {
  { AuditSpool(Options()).AddIntent(Intent(), "c1"); }
  const fs::path other = Segments().front().parent_path() / "2.seg";
  std::ofstream(other) << "TWSPOOL9" << std::string(100, 'x');
  AuditSpool survivor(Options());
  auto abandoned = survivor.AdoptOne();
  ASSERT_NE(abandoned, nullptr);
  EXPECT_EQ(Recovered(abandoned.get()), std::vector<std::string>{"c1 lost"});
  EXPECT_FALSE(abandoned->Remove());
  EXPECT_TRUE(fs::exists(other));
  abandoned.reset();
  EXPECT_EQ(survivor.AdoptOne(), nullptr) << "it would be tried for ever";
}

TEST_F(AuditSpoolTest, OtherFilesInTheDirectoryAreLeftAlone) {
  fs::create_directories(directory_ + "/somebody elses");
  std::ofstream(directory_ + "/a file") << "text";
  EXPECT_EQ(AuditSpool(Options()).AdoptOne(), nullptr);
  EXPECT_TRUE(fs::exists(directory_ + "/somebody elses"));
  EXPECT_TRUE(fs::exists(directory_ + "/a file"));
}

TEST_F(AuditSpoolTest, SpoolOfAKilledProcessIsAdoptedAndThatOfALivingOneIsNot) {
  DoomedProcess process([&](const auto& ready) {
    AuditSpool spool(Options());
    spool.AddIntent(Intent(), "in flight");
    for (int i = 0; i < 500; ++i) spool.AddRow(Row(std::to_string(i)), 0);
    ready();
  });
  AuditSpool own(Options());
  own.AddRow(Row("own"), 0);
  EXPECT_EQ(own.AdoptOne(), nullptr);
  process.Kill();
  auto abandoned = own.AdoptOne();
  ASSERT_NE(abandoned, nullptr);
  EXPECT_EQ(AuditSpool(Options()).AdoptOne(), nullptr) << "it is being recovered";
  std::vector<std::string> expected;
  for (int i = 0; i < 500; ++i) expected.push_back(std::to_string(i));
  expected.push_back("in flight lost");
  EXPECT_EQ(Recovered(abandoned.get()), expected);
  EXPECT_TRUE(abandoned->Remove());
  EXPECT_EQ(own.AdoptOne(), nullptr);
  EXPECT_EQ(Segments().size(), 1u);
}

TEST_F(AuditSpoolTest, ProcessKilledWhileItWritesLeavesWholeRecords) {
  for (int round = 0; round < 20; ++round) {
    {
      DoomedProcess process([&](const auto& ready) {
        AuditSpool spool(Options());
        spool.AddRow(Row("0"), 0);
        std::thread writer([&] {
          for (int i = 1;; ++i) spool.AddRow(Row(std::to_string(i)), spool.AddIntent(Intent(), std::to_string(i)));
        });
        ready();
      });
    }
    // 0, 1, 2, .. without a gap; the last one's row may be missing.
    const std::vector<std::string> found = RecoverAll();
    ASSERT_FALSE(found.empty());
    for (size_t i = 0; i < found.size(); ++i) {
      const std::string number = std::to_string(i);
      ASSERT_TRUE(found[i] == number || (i + 1 == found.size() && found[i] == number + " lost")) << found[i];
    }
  }
}

TEST_F(AuditSpoolTest, AdoptersThatAreInterruptedLeaveItToTheNext) {
  { AuditSpool(Options()).AddRow(Row("c1"), 0); }
  AuditSpool(Options()).AdoptOne()->Next(1);
  EXPECT_EQ(RecoverAll(), std::vector<std::string>{"c1"});
}

TEST_F(AuditSpoolTest, ManyThreadsWriteAndSettle) {
  constexpr int kThreads = 4, kCalls = 2000;
  {
    AuditSpool spool(Options());
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < kCalls; ++i) {
          const std::string id = std::to_string(t) + "/" + std::to_string(i);
          const auto intent = spool.AddIntent(Intent(), id);
          if (i % 100 == 0) continue;
          const auto row = spool.AddRow(Row(id), intent);
          EXPECT_EQ(spool.Read(row.record).call_id, id);
          Done(&spool, row.record);
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(spool.errors(), 0u);
  }
  const std::vector<std::string> recovered = RecoverAll();
  EXPECT_EQ(recovered.size(), size_t{kThreads * kCalls / 100});
  EXPECT_EQ(std::set<std::string>(recovered.begin(), recovered.end()).size(), recovered.size());
}

}  // namespace
}  // namespace toolwire
