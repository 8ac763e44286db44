#include "common/base/private_directory.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <string>

#include "tests/fakes/temp_dir.h"

namespace toolwire {
namespace {

class PrivateDirectoryTest : public ::testing::Test {
 protected:
  // As it is where somebody shares everything.
  PrivateDirectoryTest() : umask_(umask(0)) {}
  ~PrivateDirectoryTest() override { umask(umask_); }

  mode_t ModeOf(const std::string& name) const {
    struct stat found {};
    EXPECT_EQ(stat(directory_.File(name).c_str(), &found), 0) << name;
    return found.st_mode & 07777;
  }
  std::error_code Make(const std::string& name) const { return MakePrivateDirectories(directory_.File(name)); }

  const TempDir directory_;
  const mode_t umask_;
};

TEST_F(PrivateDirectoryTest, AllThatAreMadeAreForThisUserAlone) {
  EXPECT_FALSE(Make("a/b/c"));
  for (const char* const name : {"a", "a/b", "a/b/c"}) EXPECT_EQ(ModeOf(name), 0700u) << name;
  EXPECT_FALSE(Make("a/b/d/"));
  EXPECT_EQ(ModeOf("a/b/d"), 0700u);
  EXPECT_FALSE(Make("a/./e/../f"));
  EXPECT_EQ(ModeOf("a/f"), 0700u);
}

TEST_F(PrivateDirectoryTest, WhatIsThereStaysAsItIs) {
  ASSERT_EQ(mkdir(directory_.File("a").c_str(), 0755), 0);
  EXPECT_FALSE(Make("a"));
  EXPECT_FALSE(Make("a/b"));
  EXPECT_EQ(ModeOf("a"), 0755u);
  EXPECT_EQ(ModeOf("a/b"), 0700u);
  ASSERT_EQ(symlink("a", directory_.File("link").c_str()), 0);
  EXPECT_FALSE(Make("link/c"));
  EXPECT_EQ(ModeOf("a/c"), 0700u);
}

TEST_F(PrivateDirectoryTest, FileInTheWayIsAnError) {
  std::ofstream(directory_.File("file")) << "x";
  EXPECT_EQ(Make("file"), std::errc::not_a_directory);
  EXPECT_EQ(Make("file/below"), std::errc::not_a_directory);
  EXPECT_TRUE(MakePrivateDirectories(""));
}

}  // namespace
}  // namespace toolwire
