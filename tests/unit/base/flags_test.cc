#include "common/base/flags.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/match.h"

namespace toolwire {
namespace {

class FlagsTest : public ::testing::Test {
 protected:
  FlagsTest() { ForgetEnvironment(); }
  ~FlagsTest() override { ForgetEnvironment(); }
  static void ForgetEnvironment() {
    for (const char* name : {"TW_PORT", "TW_WORD", "TW_FILE", "TW_URL", "TW_SECRET", "TW_METRICS_PORT"}) unsetenv(name);
  }
  void AddFlags(flags::CommandLine* line) {
    flags::Number(line->app(), "--port", &port_, 0, 65535, "a port").Env("TW_PORT");
    flags::Text(line->app(), "--word", &word_, "a word").Env("TW_WORD").CheckShown([](const std::string& word) {
      return word == "right" ? "" : "it is not right";
    });
    flags::Text(line->app(), "--file", &file_, "a file").Env("TW_FILE").File();
    flags::Text(line->app(), "--url", &url_, "a URL").Env("TW_URL").Check([](const std::string& url) {
      return absl::StrContains(url, "://") ? "" : "it is no URL";
    });
  }
  // What is wrong with the command line; empty: nothing.
  std::string Parse(std::vector<const char*> arguments = {}) {
    flags::CommandLine line("", "test");
    AddFlags(&line);
    arguments.insert(arguments.begin(), "test");
    const auto ending = line.Parse(static_cast<int>(arguments.size()), arguments.data());
    EXPECT_EQ(ending ? ending->status : 2, 2);
    return ending ? ending->err.substr(0, ending->err.find('\n')) : "";
  }

  int port_ = 1;
  std::string word_, file_, url_;
};

TEST_F(FlagsTest, VariablesAreReadWithoutWhatIsAroundTheirValues) {
  for (const char* text : {"0", "0\n", " \"0\" ", "'0'\r\n", "\xef\xbb\xbf" "0", "00", "+0"}) {
    setenv("TW_PORT", text, 1);
    port_ = 1;
    EXPECT_EQ(Parse(), "") << text;
    EXPECT_EQ(port_, 0) << text;
  }
}

TEST_F(FlagsTest, NumbersAreDecimal) {
  EXPECT_EQ(Parse({"--port", "08082"}), "");
  EXPECT_EQ(port_, 8082);
  EXPECT_EQ(Parse({"--port", "0x10"}), "--port: 0x10 is no decimal number");
  EXPECT_NE(Parse({"--port", "1e3"}), "");
  EXPECT_NE(Parse({"--port", "-1"}), "");
  EXPECT_NE(Parse({"--port", "99999999999999999999"}), "");
}

TEST_F(FlagsTest, WrongValueIsSaidWithTheNameOfFlagOrVariable) {
  EXPECT_EQ(Parse({"--word", "wrong"}), "--word=wrong: it is not right");
  setenv("TW_WORD", "wrong\x1b[31m", 1);
  EXPECT_EQ(Parse(), "TW_WORD=wrong\\u001b[31m: it is not right");
  setenv("TW_WORD", "right", 1);
  setenv("TW_URL", "hunter2", 1);
  EXPECT_EQ(Parse(), "TW_URL: it is no URL");
  setenv("TW_WORD", "http://u:hunter2@host", 1);
  EXPECT_EQ(Parse({"--url", "a://b"}), "TW_WORD=http://***@host: it is not right");
}

TEST_F(FlagsTest, WrongValueIsShownInOneLineAndNotInFull) {
  setenv("TW_PORT", "x\ntest: all is well", 1);
  EXPECT_EQ(Parse(), "TW_PORT: Value x\\ntest: all is well not in range 0 to 65535");
  EXPECT_EQ(Parse({"--port", "x\ny"}), "--port: Value x\\ny not in range 0 to 65535");
  EXPECT_EQ(Parse({"--port=x\ny"}), "--port: Value x\\ny not in range 0 to 65535");
  setenv("TW_PORT", std::string(300, 'x').c_str(), 1);
  EXPECT_EQ(Parse(), "TW_PORT: Value " + std::string(100, 'x') + "... not in range 0 to 65535");
}

TEST_F(FlagsTest, AllWrongVariablesAreFoundAtOnce) {
  setenv("TW_PORT", "eighty", 1);
  setenv("TW_WORD", "wrong", 1);
  setenv("TW_URL", "wrong", 1);
  flags::CommandLine line("", "test");
  AddFlags(&line);
  const char* const arguments[] = {"test"};
  EXPECT_FALSE(line.ParseAll(1, arguments));
  const std::vector<std::string> problems = flags::TakeProblems();
  ASSERT_EQ(problems.size(), 3u);
  for (const char* start : {"TW_PORT: ", "TW_WORD=wrong: ", "TW_URL: "}) {
    const auto begins = [&](const std::string& one) { return absl::StartsWith(one, start); };
    EXPECT_EQ(std::count_if(problems.begin(), problems.end(), begins), 1) << start;
  }
}

TEST_F(FlagsTest, FilesThatCannotBeReadAreNamed) {
  EXPECT_EQ(Parse({"--file", "/no/such/file"}), "");
  EXPECT_EQ(flags::FileProblems(),
      (std::vector<std::string>{"--file: cannot read /no/such/file: No such file or directory"}));
  EXPECT_EQ(flags::NamingVariables("/no/such/file: is empty"), "--file: /no/such/file: is empty");
  EXPECT_EQ(flags::NamingVariables("--file=/no/such/file"), "--file=/no/such/file");
  EXPECT_EQ(flags::NamingVariables("its CA is not in /no/such/file"), "its CA is not in /no/such/file");
  setenv("TW_FILE", "/", 1);
  EXPECT_EQ(Parse(), "");
  EXPECT_EQ(flags::FileProblems(), (std::vector<std::string>{"TW_FILE: / is no regular file"}));
  setenv("TW_FILE", "-----BEGIN PRIVATE KEY-----\nhunter2", 1);
  EXPECT_EQ(Parse(), "");
  ASSERT_EQ(flags::FileProblems().size(), 1u);
  EXPECT_FALSE(absl::StrContains(flags::FileProblems()[0], "hunter2"));
  setenv("TW_FILE", "/proc/self/status", 1);
  EXPECT_EQ(Parse(), "");
  EXPECT_TRUE(flags::FileProblems().empty());
}

TEST_F(FlagsTest, SecretsAreTidiedAndTakenOutOfTheEnvironment) {
  EXPECT_FALSE(flags::TakeVariable("TW_SECRET"));
  setenv("TW_SECRET", "\"hunter2\"\r\n", 1);
  EXPECT_EQ(flags::TakeVariable("TW_SECRET"), "hunter2");
  EXPECT_EQ(getenv("TW_SECRET"), nullptr);
  const auto remarks = flags::TakeRemarks();
  ASSERT_EQ(remarks.size(), 1u);
  EXPECT_TRUE(absl::StartsWith(remarks[0], "TW_SECRET: its value is in quotes"));
  setenv("TW_SECRET", "'hunter2", 1);
  EXPECT_EQ(flags::TakeVariable("TW_SECRET"), "'hunter2");
  ASSERT_EQ(flags::TakeRemarks().size(), 1u);
}

}  // namespace
}  // namespace toolwire
