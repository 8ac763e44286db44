#include "control/tokens_file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/fakes/fake_clock.h"
#include "tests/support/jwt_maker.h"
#include "tests/unit/control/tokens_fixture.h"

namespace toolwire {
namespace {

class TokensFileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = ::testing::TempDir() + "tokens_file_XXXXXX";
    const int fd = mkstemp(name.data());
    ASSERT_GE(fd, 0);
    close(fd);
    path_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(path_); }
  void Write(const std::string& content) { std::ofstream(path_, std::ios::trunc) << content; }
  bool Knows(int n) { return !auth_.Admit({"Bearer " + TokenText(n)}, Scope::kCall).refused; }
  // Two looks: whether other tokens were taken.
  static bool Changed(TokensFile& file) {
    const bool first = file.Look(false);
    return file.Look(false) || first;
  }

  std::string path_;
  FakeClock clock_;
  CallerAuth auth_{clock_};
};

TEST_F(TokensFileTest, StartNeedsAValidFileAndNamesIt) {
  TokensFile file(path_, TokensFile::TokensOf(auth_));
  for (const char* const bad : {"", "junk\n"}) {
    Write(bad);
    const absl::Status status = file.Load();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_NE(status.message().find(path_), std::string_view::npos) << status;
  }
  unlink(path_.c_str());
  EXPECT_TRUE(absl::IsNotFound(file.Load()));
  Write(LineOf(1, "shop", "call"));
  EXPECT_TRUE(file.Load().ok());
  EXPECT_TRUE(Knows(1));
}

TEST_F(TokensFileTest, OtherTokensAreTakenAndBadFilesLeaveTheOldOnes) {
  Write(LineOf(1, "shop", "call"));
  TokensFile file(path_, TokensFile::TokensOf(auth_));
  ASSERT_TRUE(file.Load().ok());
  EXPECT_FALSE(Changed(file));
  Write(LineOf(2, "shop", "call"));
  EXPECT_TRUE(Changed(file));
  EXPECT_FALSE(Knows(1));
  EXPECT_TRUE(Knows(2));
  Write(LineOf(3, "shop", "call") + "half a li");
  EXPECT_FALSE(Changed(file));
  EXPECT_FALSE(Changed(file));
  EXPECT_EQ(auth_.counters().not_taken.value(), 1u) << "once";
  EXPECT_TRUE(Knows(2));
  EXPECT_FALSE(Knows(3));
  unlink(path_.c_str());
  EXPECT_FALSE(Changed(file));
  EXPECT_EQ(auth_.counters().not_taken.value(), 2u);
  EXPECT_TRUE(Knows(2));
  Write(LineOf(3, "shop", "call"));
  EXPECT_TRUE(Changed(file));
  EXPECT_TRUE(Knows(3));
}

TEST_F(TokensFileTest, ChangeCountsAtTheSecondLookThatFindsItOrAtOnceWhenSomebodySaysSo) {
  Write(LineOf(1, "shop", "call"));
  TokensFile file(path_, TokensFile::TokensOf(auth_));
  ASSERT_TRUE(file.Load().ok());
  Write(LineOf(2, "shop", "call"));
  EXPECT_FALSE(file.Look(false)) << "it may be half written";
  Write(LineOf(2, "shop", "call") + LineOf(3, "shop", "call"));
  EXPECT_FALSE(file.Look(false)) << "and was";
  EXPECT_TRUE(file.Look(false));
  EXPECT_TRUE(Knows(3));
  Write(LineOf(4, "shop", "call"));
  EXPECT_TRUE(file.Look(true));
  EXPECT_TRUE(Knows(4));
  EXPECT_FALSE(file.Look(true)) << "it is the same";
}

// As the kubelet does it: the file is a link through `..data`, which is swapped for one to another directory.
TEST_F(TokensFileTest, LinkThatIsSwappedIsSeen) {
  namespace fs = std::filesystem;
  unlink(path_.c_str());
  for (const int version : {1, 2}) {
    const std::string directory = path_ + "/.." + std::to_string(version);
    fs::create_directories(directory);
    std::ofstream(directory + "/tokens") << LineOf(version, "shop", "call");
  }
  fs::create_symlink("..1", path_ + "/..data");
  fs::create_symlink("..data/tokens", path_ + "/tokens");
  TokensFile file(path_ + "/tokens", TokensFile::TokensOf(auth_));
  ASSERT_TRUE(file.Load().ok());
  fs::create_symlink("..2", path_ + "/..data_tmp");
  fs::rename(path_ + "/..data_tmp", path_ + "/..data");
  EXPECT_TRUE(Changed(file));
  EXPECT_TRUE(Knows(2));
  EXPECT_FALSE(Knows(1));
}

TEST_F(TokensFileTest, KeysAreTakenFromTheirFileAlike) {
  const IssuerKey first = IssuerKey::Ec("first"), second = IssuerKey::Ec("second");
  JwtAuth& keys = auth_.jwt();
  TokensFile file(path_, TokensFile::KeysOf(keys));
  Write("{}");
  EXPECT_TRUE(absl::IsInvalidArgument(file.Load()));
  Write(JwksOf(first));
  ASSERT_TRUE(file.Load().ok());
  EXPECT_EQ(keys.keys(), 1u);
  Write(JwksOf(first, second));
  EXPECT_TRUE(Changed(file));
  EXPECT_EQ(keys.keys(), 2u);
  Write(JwksOf(first).substr(0, 50));
  EXPECT_FALSE(Changed(file));
  unlink(path_.c_str());
  EXPECT_FALSE(Changed(file));
  EXPECT_EQ(keys.keys(), 2u);
  EXPECT_EQ(keys.counters().not_taken.value(), 3u);
  EXPECT_EQ(auth_.counters().not_taken.value(), 0u);
}

}  // namespace
}  // namespace toolwire
