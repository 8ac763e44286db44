// The agent's calls without a network: frames of an edge go in, frames for it come out.
#include "cli/agent/agent_calls.h"

#include <gtest/gtest.h>

#include <asio/io_context.hpp>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "cli/agent/shared_by_loops.h"
#include "tests/fakes/fake_clock.h"

namespace toolwire {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using std::chrono::seconds;

class AgentCallsTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string made = testing::TempDir() + "/agent_calls_XXXXXX";
    ASSERT_NE(mkdtemp(made.data()), nullptr);
    root_ = made;
    options_.logins.resize(2);  // Of several agents nothing is logged.
  }
  void TearDown() override {
    calls_.reset();
    if (shared_) shared_->worker.reset();
    fs::remove_all(root_);
  }

  void Write(const std::string& name, size_t bytes) {
    std::ofstream(root_ / name, std::ios::binary) << std::string(bytes, 'x');
  }
  // An agent that is connected; its edge has not said what it takes.
  void Connect() {
    auto tools = AgentTools::Open(root_.string(), {});
    ASSERT_TRUE(tools.ok());
    shared_ = std::make_unique<SharedByLoops>(clock_, options_, AgentTarget(), *std::move(tools), nullptr);
    calls_ = std::make_unique<AgentCalls>(io_, shared_.get(), user_id_, [this] { ++answers_; });
    calls_->OnConnected();
  }
  void HelloAck(Capabilities capabilities = kCapabilityBusy, PayloadLimits limits = {16 << 20, 512}) {
    EdgeFrameText frame;
    frame.capabilities = capabilities;
    frame.limits = limits;
    calls_->OnHelloAck(frame);
  }
  void Call(const std::string& request_id, const std::string& tool, const std::string& params,
            const AnswerTimes& times = {}) {
    const std::string text = EncodeToolCall(request_id, tool, params, times);
    const EdgeFrameText frame = DecodeEdgeFrame(text, 10);
    ASSERT_EQ(frame.type, EdgeFrameText::Type::kToolCall);
    calls_->OnToolCall(frame);
  }
  void Read(const std::string& request_id, const std::string& file, const AnswerTimes& times = {}) {
    Call(request_id, "read_file", R"({"path":")" + file + R"("})", times);
  }
  void Echo(const std::string& request_id, size_t bytes, const AnswerTimes& times = {}) {
    Call(request_id, "echo", R"({"a":")" + std::string(bytes - 8, 'x') + R"("})", times);
  }
  // Waits until so many calls have got their answer.
  void AwaitAnswers(int count) {
    const auto until = std::chrono::steady_clock::now() + seconds(120);
    while (answers_ < count) {
      ASSERT_LT(std::chrono::steady_clock::now(), until);
      io_.restart();
      io_.run_one_for(milliseconds(10));
    }
  }
  // All answers that leave now, as `id: what`.
  std::vector<std::string> Sent() {
    std::vector<std::string> sent;
    std::string text;
    while (calls_->NextFrame(&text)) {
      AgentFrame frame;
      WireDecoder(10).Decode(text, &frame);
      std::string what = frame.type == AgentFrame::Type::kToolBusy ? "busy" : frame.success ? "ok" : frame.error;
      sent.push_back(frame.request_id + ": " + what);
    }
    return sent;
  }
  using Strings = std::vector<std::string>;

  fs::path root_;
  FakeClock clock_;
  AgentOptions options_;
  const std::string user_id_ = "user";
  asio::io_context io_{1};
  std::unique_ptr<SharedByLoops> shared_;
  std::unique_ptr<AgentCalls> calls_;
  int answers_ = 0;
};

TEST_F(AgentCallsTest, AnswersWaitUntilTheEdgeHasSaidWhatItTakes) {
  Connect();
  Echo("long", 5000);
  Echo("short", 4096);
  EXPECT_EQ(Sent(), Strings());
  EXPECT_TRUE(calls_->waiting());
  HelloAck(0, {4096, 512});
  const std::string why = "the result would be 5000 bytes long, more than the 4096 that this agent may send";
  EXPECT_EQ(Sent(), (Strings{"long: " + why, "short: ok"}));
  EXPECT_FALSE(calls_->waiting());
  Echo("long", 4097);
  EXPECT_EQ(Sent().size(), 1u);
}

TEST_F(AgentCallsTest, AnswerThatWaitedForAnotherEdgeIsMeasuredByTheNewOne) {
  Connect();
  HelloAck();
  Echo("long", 5000, {60000, {}});
  calls_->OnDisconnected();
  calls_->OnConnected();
  EXPECT_EQ(Sent(), Strings());
  HelloAck(0, {4096, 512});
  const Strings sent = Sent();
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_NE(sent[0].find("more than the 4096"), std::string::npos) << sent[0];
}

TEST_F(AgentCallsTest, EdgeThatDoesNotSayItIsTakenToHaveTheDefaultLimit) {
  options_.params_bytes_max = options_.result_bytes_max = options_.answer_bytes_max = 64u << 20;
  Connect();
  Echo("long", (16u << 20) + 1);
  Echo("fits", 16u << 20);
  calls_->OnNoHelloAck();
  const Strings sent = Sent();
  ASSERT_EQ(sent.size(), 2u);
  EXPECT_NE(sent[0].find("more than the 16777216"), std::string::npos) << sent[0];
  EXPECT_EQ(sent[1], "fits: ok");
  HelloAck(0, {32 << 20, 512});
  Echo("long", (16u << 20) + 1);
  EXPECT_EQ(Sent(), Strings{"long: ok"});
}

TEST_F(AgentCallsTest, ReadsUnderWayKeepToTheBudgetAndTheOthersAreBusy) {
  options_.answer_bytes_max = 1u << 20;
  Write("large", 300'000);
  Connect();
  HelloAck();
  for (int i = 0; i < 50; ++i) Read(std::to_string(i), "large");
  AwaitAnswers(50);
  int ok = 0, busy = 0;
  for (const std::string& sent : Sent()) {
    ok += sent.find(": ok") != std::string::npos ? 1 : 0;
    busy += sent.find(": busy") != std::string::npos ? 1 : 0;
  }
  EXPECT_EQ(ok + busy, 50);
  EXPECT_GE(ok, 1);
  EXPECT_LE(ok, 4) << "three in the budget, one ready to be sent";
  // All of it is given back.
  Read("again", "large");
  AwaitAnswers(51);
  EXPECT_EQ(Sent(), Strings{"again: ok"});
}

TEST_F(AgentCallsTest, EchoWithoutRoomIsBusyAndWhatIsLittleNeedsNone) {
  options_.answer_bytes_max = 100'000;
  Connect();
  Echo("a", 90'000);
  Echo("b", 20'000);
  Echo("c", 1000);
  HelloAck();
  EXPECT_EQ(Sent(), (Strings{"b: busy", "c: ok", "a: ok"}));
  Echo("b", 20'000);
  EXPECT_EQ(Sent(), Strings{"b: ok"});
}

TEST_F(AgentCallsTest, AnswersThatNobodyWaitsForAreNotSentAfterAReconnect) {
  Write("large", 10'000);
  Connect();
  HelloAck();
  Echo("timed out", 5000, {1000, 60000});
  Echo("given up", 5000, {60000, 2000});
  Echo("little", 100, {60000, 2000});
  Echo("wanted", 5000, {60000, 30000});
  Echo("old channel", 5000, {60000, {}});
  Echo("old edge", 5000);
  Call("sleep over", "sleep", R"({"ms":3600000})", {1000, {}});
  calls_->OnDisconnected();
  clock_.Advance(seconds(2));
  calls_->OnConnected();
  HelloAck();
  EXPECT_EQ(Sent(), (Strings{"little: ok", "wanted: ok", "old channel: ok", "old edge: ok"}));
  // The sleep has ended with its time.
  io_.restart();
  io_.run_for(seconds(120));
  EXPECT_EQ(Sent(), Strings());
}

TEST_F(AgentCallsTest, AfterAReconnectNoAnswerIsBegunThatCannotComeInTime) {
  options_.result_bytes_max = 16u << 20;
  Connect();
  HelloAck();
  Echo("first", 1'000'000);
  EXPECT_EQ(Sent(), Strings{"first: ok"});
  clock_.Advance(seconds(1));
  calls_->OnWritten();
  Echo("slow", 3'000'000, {60000, 2000});
  Echo("fits", 500'000, {60000, 2000});
  Echo("patient", 3'000'000, {60000, {}});
  calls_->OnDisconnected();
  clock_.Advance(seconds(1));
  calls_->OnConnected();
  HelloAck();
  EXPECT_EQ(Sent(), (Strings{"fits: ok", "patient: ok"}));
  calls_->OnWritten();
  // The line was lost before it was written: it is no faster than that.
  Echo("slower", 1'000'000, {60000, 60000});
  EXPECT_EQ(Sent(), Strings{"slower: ok"});
  clock_.Advance(seconds(10));
  Echo("now slow", 500'000, {60000, 5000});
  calls_->OnDisconnected();
  calls_->OnConnected();
  HelloAck();
  EXPECT_EQ(Sent(), Strings());
}

TEST_F(AgentCallsTest, AnswerThatIsDoneTooLateIsNotKeptForTheNextSession) {
  Write("large", 10'000);
  Connect();
  HelloAck();
  Call("late", "sleep", R"({"ms":0})", {60000, 2000});
  calls_->OnDisconnected();
  clock_.Advance(seconds(61));
  io_.run_for(milliseconds(100));
  EXPECT_FALSE(calls_->waiting());
}

// Keeps the worker's one thread until opened.
class WorkerGate {
 public:
  void Enter() {
    std::unique_lock<std::mutex> lock(mu_);
    entered_ = true;
    changed_.notify_all();
    changed_.wait(lock, [this] { return open_; });
  }
  void AwaitEntered() {
    std::unique_lock<std::mutex> lock(mu_);
    changed_.wait(lock, [this] { return entered_; });
  }
  void Open() {
    const std::lock_guard<std::mutex> lock(mu_);
    open_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mu_;
  std::condition_variable changed_;
  bool entered_ = false, open_ = false;
};

TEST_F(AgentCallsTest, CancelledReadLeavesTheQueueOfFileTools) {
  Write("file", 10);
  Connect();
  HelloAck();
  shared_->worker = std::make_unique<ToolWorker>(clock_, ToolWorker::Options{1, 1, 0});
  const auto gate = std::make_shared<WorkerGate>();  // Which the thread leaves after the test has ended.
  ASSERT_NE(0u, shared_->worker->Submit({[gate] { gate->Enter(); }, [] {}, nullptr}));
  gate->AwaitEntered();
  Read("cancelled", "file");
  Read("no room", "file");
  EXPECT_EQ(Sent(), Strings{"no room: busy"});
  calls_->OnToolCancel("cancelled");
  Read("later", "file");
  gate->Open();
  AwaitAnswers(2);
  EXPECT_EQ(Sent(), Strings{"later: ok"});
}

TEST_F(AgentCallsTest, FileToolsAreBusyAtOnceWhenAllThreadsHangAndOtherToolsGoOn) {
  Write("file", 10);
  Connect();
  HelloAck();
  shared_->worker = std::make_unique<ToolWorker>(clock_, ToolWorker::Options{16, 1, 0});
  const auto gate = std::make_shared<WorkerGate>();  // Which the thread leaves after the test has ended.
  ASSERT_NE(0u, shared_->worker->Submit({[gate] { gate->Enter(); }, [] {}, nullptr}));
  gate->AwaitEntered();
  Read("waits", "file");
  clock_.Advance(seconds(2));
  Read("at once", "file");
  EXPECT_EQ(Sent(), Strings{"at once: busy"});
  Echo("echo", 100);
  EXPECT_EQ(Sent(), Strings{"echo: ok"});
  shared_->worker->Look();
  AwaitAnswers(3);
  EXPECT_EQ(Sent(), Strings{"waits: busy"});
  gate->Open();
}

}  // namespace
}  // namespace toolwire
