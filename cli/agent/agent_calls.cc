// A call takes one of three ways: it is answered at once, when its time has come, or when a file tool has ended.
// Whatever can be large has room in the budget before it is made, and keeps it until it leaves the queue.
#include "cli/agent/agent_calls.h"

#include <algorithm>
#include <asio/post.hpp>
#include <asio/steady_timer.hpp>
#include <atomic>
#include <chrono>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cli/agent/agent_tools.h"
#include "cli/agent/shared_by_loops.h"
#include "cli/agent/tool_worker.h"
#include "common/base/log.h"

namespace toolwire {
namespace {

using std::chrono::milliseconds;

constexpr uint32_t kCallsRunningMax = 1024;         // Sleeps and file tools under way.
constexpr size_t kUnsentMax = 256;                  // Answers that wait for the next connection.
constexpr size_t kResultBytesByDefault = 16u << 20;  // What edges take that are not told otherwise.

// For edges that do not know `tool_busy`.
constexpr char kTooManyAnswers[] = "agent busy: too many bytes of answers wait for its connection";
constexpr char kTooManyCalls[] = "agent busy: too many calls under way";
constexpr char kTooManyFiles[] = "agent busy: too many files asked for";

}  // namespace

// A call that takes its time. The loop's own but for `stopped` and the room.
struct AgentCalls::Running {
  Running(asio::io_context& io, Call the_call) : call(std::move(the_call)), timer(io) {}

  Call call;
  asio::steady_timer timer;          // Of a sleep; unused by file tools.
  std::atomic<bool> stopped{false};  // The worker looks at it.
  uint64_t job = 0;                  // At the worker; 0: none.
};

AgentCalls::AgentCalls(asio::io_context& io, SharedByLoops* shared, const std::string& user_id,
                       std::function<void()> on_answer)
    : io_(io),
      shared_(shared),
      user_id_(user_id),
      on_answer_(std::move(on_answer)),
      budget_(std::make_shared<AnswerBudget>(shared->options.answer_bytes_max)),
      result_bytes_max_(shared->options.result_bytes_max) {}

AgentCalls::~AgentCalls() = default;

void AgentCalls::OnConnected() {
  connected_ = true;
  knows_edge_ = false;
  edge_knows_busy_ = false;
  result_bytes_max_ = std::min(shared_->options.result_bytes_max, kResultBytesByDefault);
  CountLate(answers_.DropLate(shared_->clock.Now()));
  StopLate();
}

void AgentCalls::OnDisconnected() {
  if (!connected_) return;
  connected_ = false;
  OnWritten();  // No faster than that.
  const MonoTime now = shared_->clock.Now();
  answers_.OnLost(now);
  if (next_) next_->times.OnLost(now);
  for (const auto& [request_id, running] : running_) running->call.times.OnLost(now);
  while (answers_.size() > kUnsentMax) {
    answers_.DropOldest();
    shared_->answers_dropped.Add(now, user_id_);
  }
}

void AgentCalls::OnHelloAck(const EdgeFrameText& frame) {
  knows_edge_ = true;
  edge_knows_busy_ = (frame.capabilities & kCapabilityBusy) != 0;
  if (!frame.limits.bytes_max) return;
  result_bytes_max_ = std::min(shared_->options.result_bytes_max, static_cast<size_t>(*frame.limits.bytes_max));
}

void AgentCalls::OnNoHelloAck() { knows_edge_ = true; }

AgentCalls::Call AgentCalls::CallOf(const EdgeFrameText& frame) const {
  const MonoTime now = shared_->clock.Now();
  Call call{frame.request_id, frame.tool, now, {}, nullptr};
  // Longer than a month is for ever.
  const auto duration = [](int64_t ms) { return milliseconds(std::min<int64_t>(ms, int64_t{1} << 31)); };
  if (frame.times.timeout_ms) {
    call.times.until = now + duration(*frame.times.timeout_ms);
    call.times.after_loss = Duration::max();
  }
  if (frame.times.lost_timeout_ms) call.times.after_loss = duration(*frame.times.lost_timeout_ms);
  return call;
}

void AgentCalls::OnDeepToolCall(const EdgeFrameText& frame) {
  Finish(CallOf(frame), {false, "",
                         absl::StrCat("the params are nested deeper than the ", shared_->options.json_depth_max,
                                      " levels that this agent takes")});
}

void AgentCalls::OnToolCall(const EdgeFrameText& frame) {
  Call call = CallOf(frame);
  const size_t params_bytes_max = shared_->options.params_bytes_max;
  if (frame.params_json.size() > params_bytes_max) {
    return Finish(std::move(call), {false, "",
                                    absl::StrCat("the params are longer than the ", params_bytes_max,
                                                 " bytes that this agent takes")});
  }
  AgentTools::Plan plan = shared_->tools->PlanCall(call.tool, frame.params_json);
  if (plan.kind == AgentTools::Plan::Kind::kAnswer) {
    call.room = MakeRoom();
    if (!call.room->Resize(plan.outcome.result_json.size())) return FinishBusy(std::move(call), kTooManyAnswers);
    return Finish(std::move(call), std::move(plan.outcome));
  }
  if (running_count_ >= kCallsRunningMax) return FinishBusy(std::move(call), kTooManyCalls);
  const RunningPtr running = Begin(std::move(call));
  if (plan.kind == AgentTools::Plan::Kind::kWait) {
    running->timer.expires_after(plan.wait);
    running->timer.async_wait([this, running, outcome = std::move(plan.outcome)](const std::error_code&) mutable {
      End(running, std::move(outcome));
    });
    return;
  }
  running->call.room = MakeRoom();
  const auto end = [this, running](ToolOutcome&& outcome) {
    asio::post(io_, [this, running, outcome = std::move(outcome)]() mutable { End(running, std::move(outcome)); });
  };
  ToolWorker::Job job;
  job.run = [this, end, running, room = running->call.room, request = std::move(plan.file)] {
    ToolOutcome outcome;
    if (!running->stopped) {
      outcome = shared_->tools->RunFileTool(
          request, {room.get(), &running->stopped, shared_->options.result_bytes_max});
      if (outcome.busy) outcome.error = kTooManyAnswers;
    }
    end(std::move(outcome));
  };
  job.refused = [end] { end({false, "", kTooManyFiles, /*busy=*/true}); };
  job.hangs = [room = running->call.room] { room->YieldUnused(); };
  running->job = shared_->worker->Submit(std::move(job));
  if (running->job != 0) return;
  Forget(running);
  FinishBusy(std::move(running->call), kTooManyFiles);
}

AgentCalls::RunningPtr AgentCalls::Begin(Call&& call) {
  ++running_count_;
  auto running = std::make_shared<Running>(io_, std::move(call));
  running_.insert_or_assign(running->call.request_id, running);
  return running;
}

void AgentCalls::Forget(const RunningPtr& running) {
  --running_count_;
  const auto found = running_.find(running->call.request_id);
  if (found != running_.end() && found->second == running) running_.erase(found);
}

void AgentCalls::End(const RunningPtr& running, ToolOutcome&& outcome) {
  if (running->stopped) return;
  Forget(running);
  if (outcome.busy) return FinishBusy(std::move(running->call), outcome.error);
  Finish(std::move(running->call), std::move(outcome));
}

// A job that hangs keeps its thread. What it has read is not counted any more, or the hung ones would leave no room.
void AgentCalls::Stop(const RunningPtr& running) {
  Forget(running);
  running->stopped = true;
  running->timer.cancel();
  if (running->job != 0) shared_->worker->Cancel(running->job);
  if (running->call.room) running->call.room->Abandon();
}

void AgentCalls::StopLate() {
  const MonoTime now = shared_->clock.Now();
  std::vector<RunningPtr> late;
  for (const auto& [request_id, running] : running_) {
    if (running->call.times.Late(now, 0)) late.push_back(running);
  }
  for (const RunningPtr& running : late) Stop(running);
}

void AgentCalls::OnToolCancel(const std::string& request_id) {
  const auto found = running_.find(request_id);
  if (found == running_.end()) {  // Answered meanwhile. If that still waits, nobody wants it any more.
    const bool is_next = next_ && next_->request_id == request_id;
    if (is_next) next_.reset();
    if (!is_next && !answers_.Remove(request_id)) return;
    ++shared_->cancelled;
    return log::Write(shared_->each_level, "answer withdrawn", {{"requestId", request_id}});
  }
  const RunningPtr running = found->second;
  Stop(running);
  ++shared_->cancelled;
  log::Write(shared_->each_level, "tool call cancelled",
             {{"tool", running->call.tool}, {"requestId", request_id}, {"ms", MsSince(running->call.started)}});
}

void AgentCalls::Finish(Call&& call, ToolOutcome&& outcome) {
  if (knows_edge_) ReplaceIfTooLong(&outcome);
  if (outcome.result_json.empty()) call.room.reset();
  LogCall(call, outcome.success);
  Answer answer{std::move(call.request_id), std::move(outcome), MsSince(call.started), call.times,
                std::move(call.room)};
  if (answer.times.Late(shared_->clock.Now(), answer.bytes())) return CountLate(1);
  // Before `connected` the edge might take it for a stranger's.
  if (!connected_) return KeepForTheNext(std::move(answer));
  if (!answers_.Push(std::move(answer))) shared_->answers_dropped.Add(shared_->clock.Now(), user_id_);
  on_answer_();
}

void AgentCalls::FinishBusy(Call&& call, const std::string& why) {
  shared_->answers_refused.Add(shared_->clock.Now(), user_id_);
  Finish(std::move(call), {false, "", why, /*busy=*/true});
}

// There is no connection: the newest answers stay, as they are wanted longest.
void AgentCalls::KeepForTheNext(Answer answer) {
  while (answers_.size() >= kUnsentMax) {
    answers_.DropOldest();
    shared_->answers_dropped.Add(shared_->clock.Now(), user_id_);
  }
  answers_.Push(std::move(answer));
}

bool AgentCalls::NextFrame(std::string* text) {
  for (;;) {
    if (!next_) {
      Answer answer;
      if (!answers_.Pop(&answer)) return false;
      answer.room.reset();
      next_ = std::move(answer);
    }
    if (!knows_edge_) return false;
    Answer answer = *std::move(next_);
    next_.reset();
    if (ComesTooLate(answer)) {
      CountLate(1);
      continue;
    }
    CountWriting(answer.bytes());
    *text = Encode(std::move(answer));
    ++shared_->answered;
    return true;
  }
}

// Only what begins with a large answer: the kernel takes small ones at once, and that says nothing of the line.
void AgentCalls::CountWriting(size_t bytes) {
  if (writing_bytes_ == 0 && bytes <= AnswerQueue::kSmallBytesMax) return;
  if (writing_bytes_ == 0) writing_since_ = shared_->clock.Now();
  writing_bytes_ += bytes;
}

void AgentCalls::OnWritten() {
  if (writing_bytes_ == 0) return;
  const std::chrono::duration<double> took = shared_->clock.Now() - writing_since_;
  bytes_per_second_ = static_cast<double>(writing_bytes_) / std::max(took.count(), 1e-6);
  writing_bytes_ = 0;
}

// After a reconnect little time is left: a large answer that is begun then keeps the line for nobody.
bool AgentCalls::ComesTooLate(const Answer& answer) const {
  MonoTime there = shared_->clock.Now();
  const bool session_lost = answer.times.lost_at != MonoTime::max();
  if (session_lost && answer.bytes() > AnswerQueue::kSmallBytesMax && bytes_per_second_ > 0) {
    const std::chrono::duration<double> takes(static_cast<double>(answer.bytes()) / bytes_per_second_);
    there += std::chrono::duration_cast<Duration>(std::min(takes, std::chrono::duration<double>(3600)));
  }
  return answer.times.Late(there, answer.bytes());
}

void AgentCalls::ReplaceIfTooLong(ToolOutcome* outcome) const {
  if (!outcome->success || outcome->result_json.size() <= result_bytes_max_) return;
  *outcome = {false, "",
              absl::StrCat("the result would be ", outcome->result_json.size(), " bytes long, more than the ",
                           result_bytes_max_, " that this agent may send")};
}

std::string AgentCalls::Encode(Answer answer) const {
  ReplaceIfTooLong(&answer.outcome);
  const ToolOutcome& outcome = answer.outcome;
  if (outcome.busy && edge_knows_busy_) return EncodeToolBusy(answer.request_id);
  return EncodeToolResponse(answer.request_id, outcome.success, outcome.result_json, outcome.error, answer.ms);
}

int64_t AgentCalls::MsSince(MonoTime time) const {
  return std::chrono::duration_cast<milliseconds>(shared_->clock.Now() - time).count();
}

void AgentCalls::LogCall(const Call& call, bool success) const {
  if (!log::Enabled(shared_->each_level)) return;
  log::Write(
      shared_->each_level, "tool call",
      {{"tool", call.tool}, {"requestId", call.request_id}, {"success", success}, {"ms", MsSince(call.started)}});
}

void AgentCalls::CountLate(size_t answers) {
  for (size_t i = 0; i < answers; ++i) shared_->answers_late.Add(shared_->clock.Now(), user_id_);
}

}  // namespace toolwire
