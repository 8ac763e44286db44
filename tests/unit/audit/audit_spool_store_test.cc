// Which store a spool's records are meant for, and files that are removed or unreadable.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "common/audit/audit_spool.h"
#include "tests/fakes/temp_dir.h"

namespace toolwire {
namespace {

namespace fs = std::filesystem;

using Ids = std::vector<std::string>;

AuditRow StoreRow(const std::string& call_id) {
  AuditRow row;
  row.user_id = "user";
  row.tool = "read_file";
  row.call_id = call_id;
  return row;
}

class SpoolFilesTest : public ::testing::Test {
 protected:
  AuditSpool::Options Options(const std::string& address = "") const {
    AuditSpool::Options options;
    options.directory = directory_;
    options.segment_bytes = 16 * 1024;
    options.store_address = address;
    return options;
  }
  // As a process that has written these rows and was killed.
  void Leave(const AuditSpool::Options& options, const Ids& ids, const std::string& identity = "") {
    AuditSpool spool(options);
    for (const std::string& id : ids) spool.AddRow(StoreRow(id), 0);
    if (!identity.empty()) spool.NameStore(identity);
  }
  static Ids Adopt(AuditSpool* spool, bool removed = true) {
    Ids found;
    while (auto abandoned = spool->AdoptOne()) {
      for (auto rows = abandoned->Next(3); !rows.empty(); rows = abandoned->Next(3)) {
        for (const AuditRow& row : rows) found.push_back(row.call_id);
      }
      EXPECT_EQ(abandoned->Remove(), removed);
    }
    return found;
  }
  std::vector<fs::path> Find(const std::string& extension) const {
    std::vector<fs::path> found;
    for (const auto& entry : fs::recursive_directory_iterator(directory_)) {
      if (entry.path().extension() == extension) found.push_back(entry.path());
    }
    return found;
  }

  TempDir dir_;
  const std::string directory_ = dir_.File("data/spool");
};

TEST_F(SpoolFilesTest, RecordsMeantForAnotherStoreAreLeftAloneUntilItsOwnProcessComes) {
  for (const char* identity : {"", "one"}) {
    Leave(Options("here"), {"c1", "c2"}, identity);
    AuditSpool other(Options("there"));
    other.NameStore("another");
    EXPECT_EQ(Adopt(&other), Ids{});
    AuditSpool same(Options("here"));
    same.NameStore(identity);
    EXPECT_EQ(Adopt(&same), (Ids{"c1", "c2"}));
  }
}

TEST_F(SpoolFilesTest, StoreIsRecognizedUnderAnotherAddressOnceItHasSaidWhatItIs) {
  Leave(Options("here"), {"c1"}, "one");
  AuditSpool moved(Options("there"));
  EXPECT_EQ(Adopt(&moved), Ids{});
  moved.NameStore("one");
  EXPECT_EQ(Adopt(&moved), Ids{"c1"});
}

// Two projects' databases take turns at one address, or a file is replaced.
TEST_F(SpoolFilesTest, RecordsOfTheDatabaseThatWasAtThisAddressBeforeAreLeftAlone) {
  Leave(Options("here"), {"c1"}, "one");
  AuditSpool other(Options("here"));
  EXPECT_EQ(Adopt(&other), Ids{}) << "nobody knows yet";
  other.NameStore("another");
  EXPECT_EQ(Adopt(&other), Ids{});
  AuditSpool silent(Options("here"));
  silent.NameStore("");
  EXPECT_EQ(Adopt(&silent), Ids{"c1"}) << "of a store that does not say what it is, the address is all there is";
}

TEST_F(SpoolFilesTest, RecordsOfAnotherStoreAreForThisOneOnceSomebodySaysSo) {
  Leave(Options("here"), {"c1"}, "one");
  AuditSpool spool(Options("here"));
  spool.NameStore("restored");
  EXPECT_EQ(Adopt(&spool), Ids{});
  ASSERT_EQ(Find(".seg").size(), 1u);
  std::ofstream(Find(".seg")[0].parent_path() / AbandonedSpool::kForAnyStore);
  EXPECT_EQ(Adopt(&spool), Ids{"c1"});
  EXPECT_TRUE(Find(".seg").empty());
}

TEST_F(SpoolFilesTest, SegmentsThatAreBegunLaterAreMarkedToo) {
  {
    AuditSpool spool(Options("here"));
    spool.NameStore("one");
    for (int i = 0; i < 500; ++i) spool.AddRow(StoreRow(std::to_string(i)), 0);
  }
  EXPECT_GE(Find(".seg").size(), 2u);
  AuditSpool moved(Options("there"));
  moved.NameStore("one");
  EXPECT_EQ(Adopt(&moved).size(), 500u);
}

TEST_F(SpoolFilesTest, RecordsOfVersionsThatDidNotMarkThemAreForAny) {
  Leave(Options(), {"c1"});
  AuditSpool spool(Options("there"));
  EXPECT_EQ(Adopt(&spool), Ids{"c1"});
}

// --- files that are removed ------------------------------------------------------------------------------------------

TEST_F(SpoolFilesTest, WhenTheDirectoryIsRemovedUnderAProcessItsRecordsAreWrittenAgainElsewhere) {
  {
    AuditSpool spool(Options());
    std::vector<AuditSpool::Spooled> rows;
    for (int i = 0; i < 500; ++i) rows.push_back(spool.AddRow(StoreRow(std::to_string(i)), 0));
    spool.Done(rows.data(), 250);
    fs::remove_all(directory_);
    spool.TryAgain();
    for (int i = 250; i < 500; ++i) EXPECT_EQ(spool.Read(rows[i].record).call_id, std::to_string(i));
    spool.Done(&rows[499], 1);
    spool.AddRow(StoreRow("new"), 0);
    EXPECT_EQ(spool.errors(), 0u);
  }
  Ids expected;
  for (int i = 250; i < 499; ++i) expected.push_back(std::to_string(i));
  expected.push_back("new");
  AuditSpool survivor(Options());
  EXPECT_EQ(Adopt(&survivor), expected);
}

TEST_F(SpoolFilesTest, OneFileThatIsRemovedIsWrittenAgain) {
  {
    AuditSpool spool(Options());
    spool.AddRow(StoreRow("c1"), 0);
    fs::remove(Find(".seg").front());
    spool.TryAgain();
    EXPECT_EQ(Find(".seg").size(), 1u);
  }
  AuditSpool survivor(Options());
  EXPECT_EQ(Adopt(&survivor), Ids{"c1"});
}

TEST_F(SpoolFilesTest, ProcessWhoseLockIsRemovedBeginsAnewSoThatNobodyTakesItForDead) {
  AuditSpool spool(Options());
  const auto row = spool.AddRow(StoreRow("c1"), 0);
  fs::remove(Find(".seg").front().parent_path() / "lock");
  spool.TryAgain();
  AuditSpool other(Options());
  EXPECT_EQ(Adopt(&other), Ids{});
  EXPECT_EQ(spool.Read(row.record).call_id, "c1");
}

TEST_F(SpoolFilesTest, RecordsStayInMemoryWhileTheRemovedDirectoryCannotBeMadeAgain) {
  AuditSpool spool(Options());
  const auto row = spool.AddRow(StoreRow("c1"), 0);
  fs::remove_all(dir_.File("data"));
  { std::ofstream(dir_.File("data")) << "a file where the directory should be"; }
  spool.TryAgain();
  EXPECT_EQ(spool.Read(row.record).call_id, "c1");
  fs::remove(dir_.File("data"));
  spool.TryAgain();
  EXPECT_EQ(Find(".seg").size(), 1u);
  EXPECT_EQ(spool.Read(row.record).call_id, "c1");
}

// --- files that cannot be read ---------------------------------------------------------------------------------------

TEST_F(SpoolFilesTest, UnreadableFileIsSetAsideOnceAndTheRestIsNotWrittenAgain) {
  Leave(Options(), {"c1", "c2"});
  fs::create_directory(Find(".seg").front().parent_path() / "2.seg");  // Whoever reads it gets an error.
  {
    AuditSpool survivor(Options());
    EXPECT_EQ(Adopt(&survivor, false), (Ids{"c1", "c2"}));
  }
  EXPECT_EQ(Find(".seg").size(), 0u);
  EXPECT_EQ(Find(".unreadable").size(), 1u);
  AuditSpool next(Options());
  EXPECT_EQ(next.AdoptOne(), nullptr);
}

TEST_F(SpoolFilesTest, RowsBesideASegmentOfAnotherVersionAreWrittenOnce) {
  Leave(Options(), {"c1"});
  const fs::path other = Find(".seg").front().parent_path() / "2.seg";
  std::ofstream(other) << "TWSPOOL9" << std::string(100, 'x');
  {
    AuditSpool survivor(Options());
    EXPECT_EQ(Adopt(&survivor, false), Ids{"c1"});
  }
  AuditSpool next(Options());
  EXPECT_EQ(next.AdoptOne(), nullptr);
  EXPECT_TRUE(fs::exists(other)) << "a process of that version may read it";
}

}  // namespace
}  // namespace toolwire
