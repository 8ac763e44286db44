#include "common/base/watched_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "tests/fakes/temp_dir.h"

namespace toolwire {
namespace {

namespace fs = std::filesystem;

class WatchedFileTest : public ::testing::Test {
 protected:
  static void Write(const fs::path& path, const std::string& content) { std::ofstream(path) << content; }

  const TempDir directory_;
};

TEST_F(WatchedFileTest, ReadGivesTheWholeContent) {
  const std::string content = std::string(10'000, 'x') + std::string(1, '\0') + "end";
  Write(directory_.File("file"), content);
  EXPECT_EQ(*WatchedFile(directory_.File("file")).Read(), content);
}

TEST_F(WatchedFileTest, FileThatWasJustWrittenIsLookedAtAgain) {
  WatchedFile file(directory_.File("file"));
  EXPECT_TRUE(file.MayHaveChanged()) << "it was never read";
  Write(directory_.File("file"), "one");
  ASSERT_TRUE(file.Read().ok());
  EXPECT_TRUE(file.MayHaveChanged()) << "another change in the same tick would have the same times";
}

TEST_F(WatchedFileTest, FileThatRestsNeedNotBeReadAgain) {
  WatchedFile file("/etc/passwd");
  ASSERT_TRUE(file.Read().ok());
  EXPECT_FALSE(file.MayHaveChanged());
}

TEST_F(WatchedFileTest, LinkThatLeadsElsewhereIsAChange) {
  fs::create_symlink("/etc/passwd", directory_.File("..data"));
  fs::create_symlink("..data", directory_.File("file"));
  WatchedFile file(directory_.File("file"));
  ASSERT_TRUE(file.Read().ok());
  EXPECT_FALSE(file.MayHaveChanged());
  fs::create_symlink("/etc/group", directory_.File("new"));
  fs::rename(directory_.File("new"), directory_.File("..data"));
  EXPECT_TRUE(file.MayHaveChanged());
}

TEST_F(WatchedFileTest, FileThatIsGoneIsAChangeAndAnError) {
  fs::create_symlink("/etc/passwd", directory_.File("file"));
  WatchedFile file(directory_.File("file"));
  ASSERT_TRUE(file.Read().ok());
  fs::remove(directory_.File("file"));
  EXPECT_TRUE(file.MayHaveChanged());
  EXPECT_EQ(file.Read().status().code(), absl::StatusCode::kNotFound);
  EXPECT_NE(file.Read().status().message().find(directory_.File("file")), std::string::npos);
}

TEST_F(WatchedFileTest, FailedReadIsTriedAgainWithoutAnotherChange) {
  WatchedFile file(directory_.File(""));
  EXPECT_EQ(file.Read().status().code(), absl::StatusCode::kFailedPrecondition) << "a directory";
  EXPECT_TRUE(file.MayHaveChanged());
}

TEST_F(WatchedFileTest, PipeIsRefusedAndNotWaitedFor) {
  ASSERT_EQ(mkfifo(directory_.File("pipe").c_str(), 0600), 0);
  EXPECT_EQ(WatchedFile(directory_.File("pipe")).Read().status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(WatchedFileTest, FileMayBeAsLargeAsItsBoundAndNoLarger) {
  Write(directory_.File("file"), std::string(100, 'x'));
  EXPECT_TRUE(WatchedFile(directory_.File("file"), 100).Read().ok());
  EXPECT_FALSE(WatchedFile(directory_.File("file"), 99).Read().ok());
}

}  // namespace
}  // namespace toolwire
