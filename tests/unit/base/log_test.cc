#include "common/base/log.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace toolwire {
namespace {

std::vector<std::string> Split(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

// What `write` logs, line by line.
std::vector<std::string> Lines(const std::function<void()>& write) {
  testing::internal::CaptureStderr();
  write();
  return Split(testing::internal::GetCapturedStderr());
}

// The same in a process of its own: format and level are set once in each, and stay.
std::vector<std::string> LinesAfter(log::Format format, log::Level level, const std::function<void()>& write) {
  int ends[2] = {-1, -1};
  EXPECT_EQ(pipe(ends), 0);
  const pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], STDERR_FILENO);
    log::Init(format, level);
    write();
    log::Flush(std::chrono::seconds(30));
    _exit(0);
  }
  close(ends[1]);
  std::string text;
  char buffer[4096];
  for (ssize_t n; (n = read(ends[0], buffer, sizeof buffer)) > 0;) text.append(buffer, static_cast<size_t>(n));
  close(ends[0]);
  int status = -1;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  return Split(text);
}

// A text with every digit as 'd'.
std::string ShapeOf(std::string text) {
  for (char& c : text) {
    if (c >= '0' && c <= '9') c = 'd';
  }
  return text;
}

// The line without its time.
std::string Text(const std::function<void()>& write) {
  const std::vector<std::string> lines = Lines(write);
  EXPECT_EQ(lines.size(), 1u);
  return lines.empty() ? "" : lines[0].substr(std::min(lines[0].size(), lines[0].find(' ') + 1));
}

TEST(LogTest, LineOfTextHasTimeLevelEventAndFields) {
  const std::string line =
      Lines([] {
        log::Info("agent connected",
                  {{"user", "user_42"}, {"epoch", uint64_t{7}}, {"first", true}, {"seconds", 0.5}, {"port", -1}});
      }).at(0);
  EXPECT_EQ(ShapeOf(line.substr(0, 24)), "dddd-dd-ddTdd:dd:dd.dddZ");
  EXPECT_EQ(line.substr(24), " info    agent connected user=user_42 epoch=7 first=true seconds=0.500 port=-1");
}

TEST(LogTest, TextThatIsNotPlainIsQuoted) {
  const auto logged = [](std::string_view text) { return Text([=] { log::Info("e", {{"k", text}}); }); };
  EXPECT_EQ(logged("plain/text-1.2:3"), "info    e k=plain/text-1.2:3");
  EXPECT_EQ(logged("Jürgen"), "info    e k=Jürgen");
  EXPECT_EQ(logged(""), "info    e k=\"\"");
  EXPECT_EQ(logged("two words"), "info    e k=\"two words\"");
  EXPECT_EQ(logged("a=b"), "info    e k=\"a=b\"");
  EXPECT_EQ(logged("say \"hi\""), R"(info    e k="say \"hi\"")");
  EXPECT_EQ(logged("a\\b"), R"(info    e k="a\\b")");
  EXPECT_EQ(logged("\xff\xfe"), "info    e k=\"(not UTF-8)\"");
}

TEST(LogTest, FieldCannotForgeALineOfItsOwn) {
  for (const char* text : {"x\nerror   all is lost", "x\r\nerror", "x\rerror"}) {
    const std::string line = Text([=] { log::Info("e", {{"k", text}}); });
    EXPECT_EQ(line.find('\r'), std::string::npos);
    EXPECT_EQ(line.substr(0, 15), "info    e k=\"x\\") << line;
  }
}

// Agents choose part of what is logged, and logs are read on terminals, which obey control characters.
TEST(LogTest, NoControlCharacterOfAFieldReachesTheLog) {
  std::string reached;
  for (char c = 0; c < 0x20; ++c) {
    const std::string text = "x" + std::string(1, c) + "y";
    const std::string line = Lines([&] { log::Info("e", {{"k", text}}); }).at(0);
    if (line.find(c) != std::string::npos) reached += std::to_string(c) + " ";
  }
  EXPECT_EQ(reached, "");
}

TEST(LogTest, NorDoesOneThatIsNotAscii) {
  for (const char* text : {"\x7f", "\u0080", "\u009b31m", "\u061c", "\u200f", "\u2028", "\u2029", "\u202e", "\u2066",
      "\ufeff"}) {
    for (const auto format : {log::Format::kText, log::Format::kJson}) {
      const std::string line = LinesAfter(format, log::Level::kInfo, [&] { log::Info("e", {{"k", text}}); }).at(0);
      EXPECT_EQ(line.find(text), std::string::npos) << line;
      EXPECT_NE(line.find("\"\\u"), std::string::npos) << line;
    }
  }
}

TEST(LogTest, LinesBelowTheLevelAreNotWritten) {
  EXPECT_TRUE(log::Enabled(log::Level::kInfo)) << "text at level info unless told otherwise";
  EXPECT_FALSE(log::Enabled(log::Level::kDebug));
  EXPECT_EQ(Lines([] { log::Debug("quiet"); }).size(), 0u);
  const auto lines = LinesAfter(log::Format::kText, log::Level::kWarn, [] {
    log::Debug("d");
    log::Info("i");
    log::Warn("w", {{"info", log::Enabled(log::Level::kInfo)}, {"warn", log::Enabled(log::Level::kWarn)}});
    log::Error("e");
  });
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_NE(lines[0].find("warning w info=false warn=true"), std::string::npos) << lines[0];
  EXPECT_NE(lines[1].find("error   e"), std::string::npos) << lines[1];
}

TEST(LogTest, LineOfJsonIsOneObject) {
  const auto lines = LinesAfter(log::Format::kJson, log::Level::kDebug, [] {
    log::Debug("agent \"connected\"\n", {{"user", "J\"ü\n\x1b"},
                                         {"bytes", "\xff"},
                                         {"plain", "text"},
                                         {"empty", ""},
                                         {"epoch", std::numeric_limits<int64_t>::max()},
                                         {"first", false},
                                         {"seconds", 0.5}});
    log::Warn("no fields");
  });
  ASSERT_EQ(lines.size(), 2u);
  const auto json = nlohmann::json::parse(lines[0], nullptr, false);
  ASSERT_TRUE(json.is_object()) << lines[0];
  EXPECT_EQ(json.size(), 10u);
  EXPECT_EQ(json["event"], "agent \"connected\"\n");
  EXPECT_EQ(json["level"], "debug");
  EXPECT_EQ(json["user"], "J\"ü\n\x1b");
  EXPECT_EQ(json["bytes"], "(not UTF-8)");
  EXPECT_EQ(json["plain"], "text");
  EXPECT_EQ(json["empty"], "");
  EXPECT_EQ(json["epoch"], std::numeric_limits<int64_t>::max());
  EXPECT_EQ(json["first"], false);
  EXPECT_EQ(json["seconds"], 0.5);
  EXPECT_EQ(ShapeOf(json.value("time", "")), "dddd-dd-ddTdd:dd:dd.dddZ");
  EXPECT_EQ(nlohmann::json::parse(lines[1]).size(), 3u);
}

TEST(LogTest, LineOfJsonStaysJsonWhateverTheNumber) {
  const auto lines = LinesAfter(log::Format::kJson, log::Level::kInfo, [] {
    for (const double number : {1e300, -0.0, std::nan(""), std::numeric_limits<double>::infinity()}) {
      log::Info("e", {{"number", number}});
    }
  });
  ASSERT_EQ(lines.size(), 4u);
  for (const std::string& line : lines) EXPECT_TRUE(nlohmann::json::accept(line)) << line;
}

TEST(LogTest, TextOfAFieldIsCutBetweenTwoCharacters) {
  const std::string whole(512, 'a');
  EXPECT_EQ(Text([&] { log::Info("e", {{"k", whole}}); }), "info    e k=" + whole);
  EXPECT_EQ(Text([&] { log::Info("e", {{"k", whole + "b"}}); }), "info    e k=" + whole + "...");
  const std::string last_is_two_bytes = std::string(511, 'a') + "ü";
  EXPECT_EQ(Text([&] { log::Info("e", {{"k", last_is_two_bytes}}); }), "info    e k=" + std::string(511, 'a') + "...");
}

// A process that logs into a pipe. `write` runs in it, with the log that nobody reads yet.
struct Unread {
  explicit Unread(const std::function<void()>& write) {
    EXPECT_EQ(pipe(ends), 0);
    child = fork();
    if (child != 0) {
      close(ends[1]);
      return;
    }
    close(ends[0]);
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    signal(SIGSEGV, SIG_DFL);  // A sanitizer's handler would report and exit: no end by a signal.
    log::Init(log::Format::kText, log::Level::kInfo);
    write();
    std::exit(0);
  }
  std::vector<std::string> Read() {
    std::string text;
    char buffer[4096];
    for (ssize_t n; (n = read(ends[0], buffer, sizeof buffer)) > 0;) text.append(buffer, static_cast<size_t>(n));
    close(ends[0]);
    return Split(text);
  }
  int Status() {
    int status = -1;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    return status;
  }
  int ends[2] = {-1, -1};
  pid_t child = -1;
};

TEST(LogTest, LogThatNobodyReadsHoldsUpNobodyAndCostsTheOldestLinesWhichAreCounted) {
  // As long as the pipe holds them and the queue has room for them, all are kept.
  const std::string big(500, 'x');
  Unread process([&] {
    for (int i = 0; i < 4096; ++i) log::Info("line", {{"i", i}, {"big", big}});
    if (log::LinesDropped() != 0) std::exit(2);
    for (int i = 4096; i < 20000; ++i) log::Info("line", {{"i", i}, {"big", big}});
    if (log::LinesDropped() == 0 || log::LinesDropped() > 20000 - 4096) std::exit(3);
  });
  EXPECT_EQ(process.Status(), 0) << "it ends without a reader";
  close(process.ends[0]);
}

TEST(LogTest, LinesThatWereDroppedAreSaidOnceThereIsRoom) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  Unread process([&] {
    for (int i = 0; i < 20000; ++i) log::Info("line", {{"i", i}, {"big", std::string(500, 'x')}});
    const auto dropped = std::to_string(log::LinesDropped());
    if (write(ends[1], dropped.data(), dropped.size()) < 0) std::exit(2);
    log::Flush(std::chrono::seconds(30));
  });
  char dropped[32] = {};
  ASSERT_GT(read(ends[0], dropped, sizeof dropped - 1), 0);
  const auto lines = process.Read();
  EXPECT_EQ(process.Status(), 0);
  size_t said = 0, reports = 0;
  for (const std::string& line : lines) {
    constexpr std::string_view kReport = "warning log lines dropped lines=";
    const size_t at = line.find(kReport);
    if (at == std::string::npos) continue;
    said += std::stoul(line.substr(at + kReport.size()));
    ++reports;
  }
  EXPECT_GT(reports, 0u);
  EXPECT_EQ(said, std::stoul(dropped));
  EXPECT_EQ(lines.size(), 20000 + reports - said);
  EXPECT_NE(lines.back().find("i=19999 "), std::string::npos) << "the newest are kept";
}

TEST(LogTest, ReaderThatGoesEndsNothing) {
  Unread process([&] {
    while (log::LinesDropped() < 10) log::Info("line");
  });
  close(process.ends[0]);
  EXPECT_EQ(process.Status(), 0);
}

TEST(LogTest, LinesBeforeACrashAreWritten) {
  // The last is sent by another process, as far as the kernel knows.
  for (const auto& crash : {+[] { std::abort(); }, +[] { std::terminate(); }, +[] { kill(getpid(), SIGSEGV); }}) {
    Unread process([&] {
      for (int i = 0; i < 100; ++i) log::Info("line", {{"i", i}});
      crash();
    });
    const auto lines = process.Read();
    EXPECT_TRUE(WIFSIGNALED(process.Status()));
    EXPECT_EQ(std::count_if(lines.begin(), lines.end(),
                            [](const std::string& line) { return line.find("line i=") != std::string::npos; }),
              100);
  }
}

}  // namespace
}  // namespace toolwire
