// The agent's tools on real files. What confines them is tested twice: with openat2, and walking the path.
#include "cli/agent/agent_tools.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

namespace toolwire {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using Kind = AgentTools::Plan::Kind;

// A directory with `root/` inside, which the tools may see, and `secret.txt` beside it, which they may not.
class AgentToolsTest : public testing::TestWithParam<AgentTools::Confinement> {
 protected:
  void SetUp() override {
    std::string made = testing::TempDir() + "/agent_tools_XXXXXX";
    ASSERT_NE(mkdtemp(made.data()), nullptr);
    base_ = fs::canonical(made);
    root_ = base_ / "root";
    fs::create_directory(root_);
    Write(base_ / "secret.txt", "not for the agent");
    fs::create_directory(base_ / "outside");
    Write(base_ / "outside" / "secret.txt", "nor this");
    Open(root_.string());
  }
  void TearDown() override { fs::remove_all(base_); }

  void Open(const std::string& root, AgentTools::Secrets secrets = {}) {
    auto opened = AgentTools::Open(root, std::move(secrets), GetParam());
    ASSERT_TRUE(opened.ok()) << opened.status();
    tools_ = *std::move(opened);
  }
  static void Write(const fs::path& path, const std::string& content) {
    std::ofstream(path, std::ios::binary) << content;
  }
  ToolOutcome Run(const std::string& tool, const std::string& params) {
    AgentTools::Plan plan = tools_->PlanCall(tool, params);
    if (plan.kind != Kind::kFile) return plan.outcome;
    AnswerRoom room(budget_);
    return tools_->RunFileTool(plan.file, {&room, &stopped_, result_bytes_max_});
  }
  ToolOutcome Read(const std::string& path) { return Run("read_file", json{{"path", path}}.dump()); }
  ToolOutcome ReadBase64(const std::string& path) {
    return Run("read_file", json{{"path", path}, {"encoding", "base64"}}.dump());
  }
  ToolOutcome List(const std::string& path) { return Run("list_directory", json{{"path", path}}.dump()); }
  static std::string Content(const ToolOutcome& outcome) {
    EXPECT_TRUE(outcome.success) << outcome.error;
    return json::parse(outcome.result_json).at("content").get<std::string>();
  }
  // Failed, with these words, which show neither content nor the place of the root.
  void ExpectError(const ToolOutcome& outcome, const std::string& words) {
    EXPECT_FALSE(outcome.success) << outcome.result_json;
    EXPECT_EQ(outcome.result_json, "");
    EXPECT_NE(outcome.error.find(words), std::string::npos) << outcome.error;
    EXPECT_EQ(outcome.error.find(base_.string()), std::string::npos) << outcome.error;
  }
  bool FollowsLinks() const { return tools_->confined_by_kernel(); }

  fs::path base_, root_;
  std::unique_ptr<AgentTools> tools_;
  std::shared_ptr<AnswerBudget> budget_ = std::make_shared<AnswerBudget>(64u << 20);
  std::atomic<bool> stopped_{false};
  size_t result_bytes_max_ = AgentTools::kResultBytesMax;
};

INSTANTIATE_TEST_SUITE_P(Both, AgentToolsTest,
                         testing::Values(AgentTools::Confinement::kKernel, AgentTools::Confinement::kWalk),
                         [](const auto& info) {
                           return info.param == AgentTools::Confinement::kKernel ? "Kernel" : "Walk";
                         });

TEST_P(AgentToolsTest, FileIsReadAsText) {
  Write(root_ / "a.txt", "line 1\nline \"2\"\n\tgr\xc3\xbc\xc3\x9f\x65 \xf0\x9f\x98\x80");
  const ToolOutcome outcome = Read("a.txt");
  ASSERT_TRUE(outcome.success) << outcome.error;
  const json result = json::parse(outcome.result_json);
  EXPECT_EQ(result.at("path"), "a.txt");
  EXPECT_EQ(result.at("content"), "line 1\nline \"2\"\n\tgr\xc3\xbc\xc3\x9f\x65 \xf0\x9f\x98\x80");
  EXPECT_EQ(result.at("size"), 29);
  EXPECT_EQ(result.size(), 3u);
}

TEST_P(AgentToolsTest, EmptyFileIsEmptyText) {
  Write(root_ / "empty", "");
  EXPECT_EQ(Content(Read("empty")), "");
}

TEST_P(AgentToolsTest, PathMayBeRoundabout) {
  fs::create_directories(root_ / "d" / "e");
  Write(root_ / "d" / "e" / "f.txt", "deep");
  for (const char* path : {"d/e/f.txt", "./d/./e//f.txt", "d/e/../e/f.txt", "d/../d/e/f.txt"}) {
    EXPECT_EQ(Content(Read(path)), "deep") << path;
  }
}

TEST_P(AgentToolsTest, AbsolutePathBelowTheRootIsTaken) {
  Write(root_ / "a.txt", "abc");
  EXPECT_EQ(Content(Read((root_ / "a.txt").string())), "abc");
  EXPECT_EQ(Content(Read(root_.string() + "//a.txt")), "abc");
  EXPECT_TRUE(List(root_.string()).success);
  EXPECT_TRUE(List(root_.string() + "/").success);
}

TEST_P(AgentToolsTest, RootMayBeGivenThroughALinkAndWithASlash) {
  Write(root_ / "a.txt", "abc");
  fs::create_directory_symlink(root_, base_ / "alias");
  Open((base_ / "alias").string() + "/");
  EXPECT_EQ(Content(Read("a.txt")), "abc");
  EXPECT_EQ(Content(Read((base_ / "alias" / "a.txt").string())), "abc");
  EXPECT_EQ(Content(Read((root_ / "a.txt").string())), "abc");
}

TEST_P(AgentToolsTest, WholeFileSystemMayBeTheRoot) {
  Write(root_ / "a.txt", "abc");
  Open("/");
  EXPECT_EQ(Content(Read((root_ / "a.txt").string())), "abc");
  EXPECT_EQ(Content(Read((root_ / "a.txt").string().substr(1))), "abc");
}

TEST_P(AgentToolsTest, Base64IsThatOfRfc4648) {
  const std::vector<std::pair<std::string, std::string>> vectors = {{"", ""},
                                                                    {"f", "Zg=="},
                                                                    {"fo", "Zm8="},
                                                                    {"foo", "Zm9v"},
                                                                    {"foob", "Zm9vYg=="},
                                                                    {"fooba", "Zm9vYmE="},
                                                                    {"foobar", "Zm9vYmFy"},
                                                                    {std::string("\0\xff\xfe\x80", 4), "AP/+gA=="}};
  for (const auto& [bytes, expected] : vectors) {
    Write(root_ / "x", bytes);
    const ToolOutcome outcome = ReadBase64("x");
    EXPECT_EQ(Content(outcome), expected);
    EXPECT_EQ(json::parse(outcome.result_json).at("size"), bytes.size());
  }
}

TEST_P(AgentToolsTest, BytesThatAreNotTextNeedBase64) {
  Write(root_ / "b.bin", "ab\xff\xfe");
  ExpectError(Read("b.bin"), "base64");
  EXPECT_EQ(Content(ReadBase64("b.bin")), "YWL//g==");
}

TEST_P(AgentToolsTest, UnknownEncodingIsRefused) {
  Write(root_ / "a.txt", "abc");
  ExpectError(Run("read_file", R"({"path":"a.txt","encoding":"latin1"})"), "`encoding`");
  ExpectError(Run("read_file", R"({"path":"a.txt","encoding":8})"), "`encoding`");
  EXPECT_EQ(Content(Run("read_file", R"({"path":"a.txt","encoding":null})")), "abc");
}

TEST_P(AgentToolsTest, MissingFileIsAnError) {
  ExpectError(Read("none.txt"), "no such file or directory: none.txt");
  ExpectError(Read("none/a.txt"), "no such file or directory: none/a.txt");
}

TEST_P(AgentToolsTest, DirectoryIsNotReadAsAFile) {
  fs::create_directory(root_ / "d");
  ExpectError(Read("d"), "is a directory: d");
  ExpectError(Read("."), "is a directory: .");
}

TEST_P(AgentToolsTest, FileIsNotADirectoryOnTheWay) {
  Write(root_ / "a.txt", "abc");
  ExpectError(Read("a.txt/b"), "not a directory");
  ExpectError(List("a.txt"), "not a directory");
}

TEST_P(AgentToolsTest, FileWithoutPermissionIsAnError) {
  if (geteuid() == 0) GTEST_SKIP() << "root may read everything";
  Write(root_ / "a.txt", "abc");
  fs::permissions(root_ / "a.txt", fs::perms::none);
  ExpectError(Read("a.txt"), "permission denied");
}

TEST_P(AgentToolsTest, DotDotDoesNotLeaveTheRoot) {
  fs::create_directory(root_ / "d");
  const std::vector<std::string> paths = {
      "..",      "../secret.txt", "d/../../secret.txt", "./../secret.txt", "../root/../x", "../outside/secret.txt",
      "d/../..", "/../secret.txt"};
  for (const std::string& path : paths) {
    ExpectError(Read(path), "outside");
    ExpectError(List(path), "outside");
  }
}

TEST_P(AgentToolsTest, AbsolutePathOutsideIsRefused) {
  for (const std::string& path : {std::string("/"), std::string("/etc/passwd"), std::string("//etc/passwd")}) {
    ExpectError(Read(path), "outside");
    ExpectError(List(path), "outside");
  }
  // These name the root's parent themselves, so the error may repeat them.
  for (const std::string& path :
       {root_.string() + "/../secret.txt", (base_ / "secret.txt").string(), root_.string() + "2/a.txt"}) {
    const ToolOutcome outcome = Read(path);
    EXPECT_FALSE(outcome.success) << path;
    EXPECT_NE(outcome.error.find("outside"), std::string::npos) << outcome.error;
  }
}

TEST_P(AgentToolsTest, LinkToAFileOutsideIsNotFollowed) {
  fs::create_symlink("../secret.txt", root_ / "relative");
  fs::create_symlink(base_ / "secret.txt", root_ / "absolute");
  EXPECT_FALSE(Read("relative").success);
  EXPECT_FALSE(Read("absolute").success);
  ExpectError(Read("relative"), FollowsLinks() ? "outside" : "symbolic link");
  ExpectError(Read("absolute"), FollowsLinks() ? "outside" : "symbolic link");
}

TEST_P(AgentToolsTest, LinkToADirectoryOutsideIsNotFollowed) {
  fs::create_directory_symlink("../outside", root_ / "relative");
  fs::create_directory_symlink(base_ / "outside", root_ / "absolute");
  fs::create_directory_symlink("..", root_ / "up");
  const std::string words = FollowsLinks() ? "outside" : "symbolic link";
  for (const std::string& path : {std::string("relative"), std::string("absolute"), std::string("up")}) {
    ExpectError(List(path), words);
    ExpectError(List(path + "/"), words);
    ExpectError(Read(path + "/secret.txt"), words);
  }
}

TEST_P(AgentToolsTest, LinkInTheMiddleOfAPathIsNotFollowedOutside) {
  fs::create_directories(root_ / "a" / "b");
  fs::create_directory_symlink("../../..", root_ / "a" / "b" / "out");
  fs::create_directory_symlink("b/out", root_ / "a" / "chain");
  const std::string words = FollowsLinks() ? "outside" : "symbolic link";
  ExpectError(Read("a/b/out/secret.txt"), words);
  ExpectError(Read("a/chain/secret.txt"), words);
  ExpectError(List("a/chain/outside"), words);
  // `..` behind a link is where the link leads, not where it stands.
  EXPECT_FALSE(Read("a/b/out/../secret.txt").success);
}

TEST_P(AgentToolsTest, LinkThatStaysInsideIsFollowedByTheKernelOnly) {
  fs::create_directory(root_ / "d");
  Write(root_ / "d" / "a.txt", "abc");
  fs::create_symlink("d/a.txt", root_ / "link");
  if (FollowsLinks()) {
    EXPECT_EQ(Content(Read("link")), "abc");
  } else {
    ExpectError(Read("link"), "symbolic link");
  }
}

TEST_P(AgentToolsTest, LinksInARingEnd) {
  fs::create_symlink("ring2", root_ / "ring1");
  fs::create_symlink("ring1", root_ / "ring2");
  ExpectError(Read("ring1"), "symbolic link");
}

TEST_P(AgentToolsTest, FifoIsRefusedAtOnceAndNotOpened) {
  ASSERT_EQ(mkfifo((root_ / "fifo").c_str(), 0600), 0);
  ExpectError(Read("fifo"), "not a regular file: fifo");
  ExpectError(List("fifo"), "not a directory");
}

TEST_P(AgentToolsTest, SocketIsRefused) {
  const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  ASSERT_GE(fd, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = (root_ / "s").string();
  if (path.size() >= sizeof(address.sun_path)) GTEST_SKIP() << "the temp directory's name is too long";
  path.copy(address.sun_path, path.size());
  ASSERT_EQ(bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  ExpectError(Read("s"), "not a regular file: s");
  close(fd);
}

TEST_P(AgentToolsTest, FileAtTheLimitIsReadAndOneByteMoreIsNot) {
  Write(root_ / "big", "");
  fs::resize_file(root_ / "big", AgentTools::kFileBytesMax + 1);  // Sparse.
  ExpectError(ReadBase64("big"), "too large");
  ExpectError(Read("big"), "too large");
  Write(root_ / "big", std::string(AgentTools::kFileBytesMax, 'x'));
  EXPECT_EQ(Content(Read("big")).size(), AgentTools::kFileBytesMax);
  EXPECT_EQ(Content(ReadBase64("big")).size(), (AgentTools::kFileBytesMax + 2) / 3 * 4) << "in both encodings";
}

TEST_P(AgentToolsTest, HugeSparseFileIsRefusedWithoutReadingIt) {
  Write(root_ / "huge", "");
  fs::resize_file(root_ / "huge", uintmax_t{1} << 40);
  ExpectError(ReadBase64("huge"), "too large");
}

TEST_P(AgentToolsTest, ResultOverTheLimitIsAnErrorAndNotALostAnswer) {
  Write(root_ / "escapes", std::string(4u << 20, '\x01'));  // Each becomes \u0001.
  ExpectError(Read("escapes"), "the result would be");
  EXPECT_TRUE(ReadBase64("escapes").success);
}

TEST_P(AgentToolsTest, DirectoryIsListedByNameWithTypesAndSizes) {
  Write(root_ / "b.txt", "12345");
  Write(root_ / "A", "");
  fs::create_directory(root_ / "c");
  fs::create_symlink("../secret.txt", root_ / "link");
  ASSERT_EQ(mkfifo((root_ / "pipe").c_str(), 0600), 0);
  Write(root_ / ".hidden", "x");
  const json expected = json::parse(R"({"path":".","entries":[
      {"name":".hidden","type":"file","size":1},
      {"name":"A","type":"file","size":0},
      {"name":"b.txt","type":"file","size":5},
      {"name":"c","type":"directory","size":0},
      {"name":"link","type":"symlink","size":0},
      {"name":"pipe","type":"other","size":0}]})");
  const ToolOutcome outcome = Run("list_directory", "{}");
  ASSERT_TRUE(outcome.success) << outcome.error;
  EXPECT_EQ(json::parse(outcome.result_json), expected);
}

TEST_P(AgentToolsTest, EmptyDirectoryHasNoEntries) {
  fs::create_directory(root_ / "d");
  EXPECT_EQ(List("d").result_json, R"({"path":"d","entries":[]})");
}

TEST_P(AgentToolsTest, MissingDirectoryIsAnError) { ExpectError(List("none"), "no such file or directory: none"); }

TEST_P(AgentToolsTest, NamesThatAreNotTextAreShownWithReplacementsAndTheirBytes) {
  Write(root_ / "a\xfe\"\n", "one");
  Write(root_ / "a\xff\"\n", "two");
  Write(root_ / "text", "");
  const ToolOutcome outcome = List(".");
  ASSERT_TRUE(outcome.success) << outcome.error;
  const json entries = json::parse(outcome.result_json).at("entries");
  for (const size_t i : {0u, 1u}) EXPECT_EQ(entries.at(i).at("name"), "a\xef\xbf\xbd\"\n");
  EXPECT_EQ(entries.at(0).at("name_base64"), "Yf4iCg==");
  EXPECT_EQ(entries.at(1).at("name_base64"), "Yf8iCg==");
  EXPECT_FALSE(entries.at(2).contains("name_base64"));
}

TEST_P(AgentToolsTest, PathMayBeGivenAsBytes) {
  Write(root_ / "a\xfe\"\n", "one");
  Write(root_ / "a\xff\"\n", "two");
  fs::create_directory(root_ / "d\xff");
  Write(root_ / "d\xff" / "text", "");
  EXPECT_EQ(Content(Run("read_file", R"({"path_base64":"Yf4iCg=="})")), "one");
  EXPECT_EQ(Content(Run("read_file", R"({"path_base64":"Yf8iCg==","path":null})")), "two");
  const ToolOutcome listed = Run("list_directory", R"({"path_base64":"ZP8="})");
  ASSERT_TRUE(listed.success) << listed.error;
  EXPECT_EQ(json::parse(listed.result_json).at("path"), "d\xef\xbf\xbd");
  EXPECT_EQ(json::parse(listed.result_json).at("entries").size(), 1u);
  ExpectError(Run("read_file", R"({"path_base64":"YQBi"})"), "NUL");
  ExpectError(Run("read_file", R"({"path_base64":"Li4v/w=="})"), "outside");
  ExpectError(Run("read_file", R"({"path_base64":"?"})"), "base64");
  ExpectError(Run("read_file", R"({"path_base64":"YQ==","path":"a"})"), "not both");
}

TEST_P(AgentToolsTest, MemberThatTheToolDoesNotReadMayHoldAnything) {
  Write(root_ / "a.txt", "abc");
  for (const char* more : {"1e400", R"("\ud800")", R"(["\udc00",{"x":-1E999}])"}) {
    const std::string member = std::string(R"(,"more":)") + more + "}";
    EXPECT_EQ(Content(Run("read_file", R"({"path":"a.txt")" + member)), "abc") << more;
    EXPECT_TRUE(Run("list_directory", R"({"path":".")" + member).success) << more;
    EXPECT_EQ(tools_->PlanCall("sleep", R"({"ms":5)" + member).kind, Kind::kWait) << more;
  }
  ExpectError(Run("read_file", R"({"path":"\ud800"})"), "`path` must be a string");
  ExpectError(Run("read_file", R"({"path":"a.txt","encoding":"\ud800"})"), "`encoding` must be");
}

TEST_P(AgentToolsTest, ListingIsCutAtTheLimitAndSaysSo) {
  fs::create_directory(root_ / "d");
  const auto name = [](size_t i) {
    const std::string number = std::to_string(i);
    return std::string(6 - number.size(), '0') + number;
  };
  for (size_t i = AgentTools::kEntriesMax; i-- > 0;) Write(root_ / "d" / name(i), "");
  json listing = json::parse(List("d").result_json);
  EXPECT_EQ(listing.at("entries").size(), AgentTools::kEntriesMax);
  EXPECT_FALSE(listing.contains("truncated"));

  Write(root_ / "d" / "!first", "");
  listing = json::parse(List("d").result_json);
  EXPECT_EQ(listing.at("entries").size(), AgentTools::kEntriesMax);
  EXPECT_EQ(listing.at("truncated"), true);
  EXPECT_EQ(listing.at("entries").front().at("name"), "!first");
  EXPECT_EQ(listing.at("entries").back().at("name"), name(AgentTools::kEntriesMax - 2));
}

TEST_P(AgentToolsTest, BadParamsAreErrors) {
  for (const char* tool : {"read_file", "list_directory"}) {
    for (const char* params : {R"({"path":5})", R"({"path":["a"]})", R"({"path":""})", R"({"path":"a\u0000b"})", "[]",
                               "", "{", "nonsense"}) {
      const ToolOutcome outcome = Run(tool, params);
      EXPECT_FALSE(outcome.success) << tool << params;
      EXPECT_NE(outcome.error.find("path"), std::string::npos) << outcome.error;
    }
    ExpectError(Run(tool, json{{"path", std::string(5000, 'x')}}.dump()), "too long");
    EXPECT_FALSE(Run(tool, std::string(30'000, '[')).success);
  }
  ExpectError(Run("read_file", "{}"), "`path` is missing");
}

TEST_P(AgentToolsTest, WhatAToolDoesNotReadNeverFailsItHoweverLargeOrOddItIs) {
  Write(root_ / "a.txt", "abc");
  const std::string more[] = {
      R"("more":")" + std::string(5u << 20, 'x') + '"', R"("more":1e400,"\ud800":"\udc00")", R"("ms":"long")",
      R"("more":)" + std::string(5000, '[') + std::string(5000, ']'), R"("path_base64":null)"};
  for (const std::string& one : more) {
    EXPECT_EQ(Content(Run("read_file", R"({"path":"a.txt",)" + one + "}")), "abc");
    EXPECT_TRUE(Run("list_directory", "{" + one + R"(,"encoding":7})").success);
  }
  EXPECT_EQ(tools_->PlanCall("sleep", R"({"path":7,"encoding":")" + std::string(100'000, 'x') + R"(","ms":5})").kind,
            Kind::kWait);
}

TEST_P(AgentToolsTest, RoomIsTakenBeforeAFileIsReadAndIsAsLargeAsTheResultAfterwards) {
  Write(root_ / "a", std::string(100'000, 'x'));
  Write(root_ / "controls", std::string(100'000, '\x01'));
  for (const auto& [file, encoding] :
       {std::pair("a", "utf8"), std::pair("a", "base64"), std::pair("controls", "utf8")}) {
    const AgentTools::Plan plan =
        tools_->PlanCall("read_file", json{{"path", file}, {"encoding", encoding}}.dump());
    ASSERT_EQ(plan.kind, Kind::kFile);
    AnswerRoom room(budget_);
    const ToolOutcome outcome = tools_->RunFileTool(plan.file, {&room, &stopped_});
    ASSERT_TRUE(outcome.success) << outcome.error;
    EXPECT_EQ(budget_->taken(), outcome.result_json.size());
    EXPECT_EQ(outcome.result_json.capacity(), outcome.result_json.size()) << "no more memory than that";
  }
  EXPECT_EQ(budget_->taken(), 0u) << "it is given back";
}

TEST_P(AgentToolsTest, WithoutRoomAFileIsNotReadAndTheAgentIsBusy) {
  Write(root_ / "a", std::string(100'000, 'x'));
  Write(root_ / "controls", std::string(30'000, '\x01'));
  Write(root_ / "small", "x");
  AnswerRoom others(budget_);
  ASSERT_TRUE(others.Resize((64u << 20) - 50'000));
  for (const char* file : {"a", "controls"}) {
    for (const char* encoding : {"utf8", "base64"}) {
      const ToolOutcome outcome = Run("read_file", json{{"path", file}, {"encoding", encoding}}.dump());
      const bool fits = file == std::string("controls") && encoding == std::string("base64");
      EXPECT_EQ(outcome.busy, !fits) << file << encoding;
      EXPECT_EQ(outcome.success, fits) << outcome.error;
    }
  }
  EXPECT_EQ(Content(Read("small")), "x");
  EXPECT_EQ(budget_->taken(), (64u << 20) - 50'000);
}

TEST_P(AgentToolsTest, ListingTakesRoomAsItGrows) {
  for (int i = 0; i < 2000; ++i) Write(root_ / (std::to_string(i) + std::string(100, 'x')), "");
  {
    AnswerRoom others(budget_);
    ASSERT_TRUE(others.Resize((64u << 20) - 150'000));
    EXPECT_TRUE(List(".").busy);
    ASSERT_TRUE(others.Resize((64u << 20) - 900'000));
    EXPECT_TRUE(List(".").success);
  }
  EXPECT_EQ(budget_->taken(), 0u);
}

TEST_P(AgentToolsTest, ResultOverWhatTheAgentMaySendIsNotMade) {
  result_bytes_max_ = 1000;
  Write(root_ / "a", std::string(1000, 'x'));
  Write(root_ / "b", std::string(900, 'x'));
  ExpectError(Read("a"), "the result would be 1037 bytes long, more than the 1000 that this agent may send");
  EXPECT_EQ(Content(Read("b")).size(), 900u);
  for (int i = 0; i < 50; ++i) Write(root_ / std::to_string(i), "");
  ExpectError(List("."), "more than the 1000 that this agent may send");
}

TEST_P(AgentToolsTest, StoppedToolReadsNothing) {
  Write(root_ / "a", "abc");
  stopped_ = true;
  EXPECT_FALSE(Read("a").success);
  EXPECT_FALSE(List(".").success);
}

TEST_P(AgentToolsTest, EchoGivesBackEveryByte) {
  const std::string params = "{ \"b\":1e400,\n\"a\": 123456789012345678901234567890, \"a\":\"\\ud800\", \"c\":1.0}";
  const AgentTools::Plan plan = tools_->PlanCall("echo", params);
  EXPECT_EQ(plan.kind, Kind::kAnswer);
  EXPECT_TRUE(plan.outcome.success);
  EXPECT_EQ(plan.outcome.result_json, params);
}

TEST_P(AgentToolsTest, SleepIsPlannedAndNotSlept) {
  for (const auto& [params, ms] : std::vector<std::pair<std::string, int>>{
           {R"({"ms":0})", 0}, {R"({"ms":250})", 250}, {R"({"ms":1e3})", 1000}, {R"({"ms":3600000})", 3'600'000}}) {
    const AgentTools::Plan plan = tools_->PlanCall("sleep", params);
    EXPECT_EQ(plan.kind, Kind::kWait) << params;
    EXPECT_EQ(plan.wait, std::chrono::milliseconds(ms));
    EXPECT_TRUE(plan.outcome.success);
    EXPECT_EQ(plan.outcome.result_json, "{\"slept_ms\":" + std::to_string(ms) + "}");
  }
}

TEST_P(AgentToolsTest, SleepOutsideItsRangeIsRefused) {
  for (const char* params : {"{}", R"({"ms":-1})", R"({"ms":3600001})", R"({"ms":0.5})", R"({"ms":"5"})",
                             R"({"ms":null})", R"({"ms":1e300})", R"({"ms":1e400})", R"({"ms":-1e400})",
                             R"({"ms":true})", "[]", "7"}) {
    const AgentTools::Plan plan = tools_->PlanCall("sleep", params);
    EXPECT_EQ(plan.kind, Kind::kAnswer) << params;
    ExpectError(plan.outcome, "`ms` must be a whole number from 0 to 3600000");
  }
}

TEST_P(AgentToolsTest, UnknownToolIsNamed) {
  ExpectError(Run("rm_rf", "{}"), "unknown tool: rm_rf");
  ExpectError(Run("", "{}"), "unknown tool: ");
  EXPECT_EQ(Run(std::string(300, 'x'), "{}").error, "unknown tool");
}

TEST_P(AgentToolsTest, WithoutARootTheFileToolsRefuse) {
  Open("");
  ExpectError(Run("read_file", R"({"path":"/etc/passwd"})"), "without a root");
  ExpectError(Run("list_directory", "{}"), "without a root");
  EXPECT_TRUE(Run("echo", "{}").success);
}

TEST_P(AgentToolsTest, RootMustBeADirectory) {
  EXPECT_FALSE(AgentTools::Open((base_ / "none").string(), {}, GetParam()).ok());
  EXPECT_FALSE(AgentTools::Open((base_ / "secret.txt").string(), {}, GetParam()).ok());
}

TEST_P(AgentToolsTest, KernelsFileSystemsAreOutsideOfEveryRoot) {
  Open("/");
  for (const char* path : {"/proc/1/environ", "proc/version", "/sys/kernel"}) ExpectError(Read(path), "outside");
  for (const char* path : {"/proc", "proc/1", "/sys", "sys/kernel"}) ExpectError(List(path), "outside");
  EXPECT_FALSE(Read("/proc/self/environ").success);  // Its way is a link.
  for (const char* root : {"/proc", "/proc/self", "/sys"}) {
    EXPECT_FALSE(AgentTools::Open(root, {}, GetParam()).ok()) << root;
  }
}

TEST_P(AgentToolsTest, FileOfTheSecretIsRefusedByAnyName) {
  Write(root_ / "secret", "user_1 some");
  Write(root_ / "other", "user_1 other");
  fs::create_hard_link(root_ / "secret", root_ / "same");
  Open(root_.string(), {{(root_ / "secret").string()}, {}});
  for (const char* encoding : {"utf8", "base64"}) {
    for (const char* path : {"secret", "./secret", "same"}) {
      ExpectError(Run("read_file", json{{"path", path}, {"encoding", encoding}}.dump()), "holds a secret");
    }
  }
  EXPECT_EQ(Content(Read("other")), "user_1 other");
  // It is replaced: the new one holds a secret, and so does the old one.
  fs::rename(root_ / "other", root_ / "secret");
  ExpectError(Read("secret"), "holds a secret");
  ExpectError(Read("same"), "holds a secret");
}

TEST_P(AgentToolsTest, FileThatHoldsTheSecretIsRefused) {
  const std::string secret(64, 'a');
  Write(root_ / "secret.txt", secret + "\n");
  Write(root_ / "deep", std::string(100'000, 'x') + secret + std::string(100'000, 'x'));
  Write(root_ / "part", secret.substr(1));
  Open(root_.string(), {{}, SecretTexts({secret, std::string(32, 'o')})});
  ExpectError(Read("secret.txt"), "holds a secret");
  ExpectError(ReadBase64("deep"), "holds a secret");
  EXPECT_EQ(Content(Read("part")), secret.substr(1));
  Open(root_.string(), {{}, SecretTexts({"short"})});
  Write(root_ / "word", "a short word");
  EXPECT_EQ(Content(Read("word")), "a short word");
}

TEST_P(AgentToolsTest, NoDescriptorIsLeftOpen) {
  Write(root_ / "a.txt", "abc");
  fs::create_directories(root_ / "d" / "e");
  const auto open_now = [] { return std::distance(fs::directory_iterator("/proc/self/fd"), fs::directory_iterator()); };
  const auto before = open_now();
  for (const char* path : {"a.txt", "d/e", "d/e/none", "../x", "d", "a.txt/x"}) {
    Read(path);
    List(path);
  }
  EXPECT_EQ(open_now(), before);
}

}  // namespace
}  // namespace toolwire
