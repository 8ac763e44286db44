// One agent's calls under way, and the answers that wait for its connection.
#ifndef TOOLWIRE_CLI_AGENT_AGENT_CALLS_H_
#define TOOLWIRE_CLI_AGENT_AGENT_CALLS_H_

#include <asio/io_context.hpp>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "cli/agent/answer_queue.h"
#include "cli/agent/answer_room.h"
#include "common/base/clock.h"
#include "common/wire/wire_codec.h"

namespace toolwire {

struct SharedByLoops;

// Decides what becomes of each call, without any networking: frames of the edge go in, frames for it come out. Carries
// out sleeps on the loop and file tools on the threads of `shared->worker`, whose jobs post to the loop. Bounded by the
// options and by the limits at the top of the .cc: calls under way, answers that wait and their bytes, those that are
// being made included. What is over a bound is answered at once: busy. Loop thread only.
//
// An answer outlives its session, for as long as somebody waits for it; it leaves once the edge has said what it takes.
// A call that was cancelled gets no answer: a sleep ends, a file tool that waits for its turn does not start, one at
// work keeps nothing but its thread, an answer that waits is withdrawn.
class AgentCalls {
 public:
  // `on_answer`: there may be a frame to send. Both outlive this.
  AgentCalls(asio::io_context& io, SharedByLoops* shared, const std::string& user_id, std::function<void()> on_answer);
  ~AgentCalls();

  // A session begins. What its edge takes is not known yet: answers wait.
  void OnConnected();
  // The session is lost, or closing.
  void OnDisconnected();
  void OnHelloAck(const EdgeFrameText& frame);
  // The edge does not answer a hello: it takes what edges take by default.
  void OnNoHelloAck();
  bool knows_edge() const { return knows_edge_; }

  void OnToolCall(const EdgeFrameText& frame);
  // Its params are deeper than this agent takes.
  void OnDeepToolCall(const EdgeFrameText& frame);
  void OnToolCancel(const std::string& request_id);

  // The next answer to send. False: there is none, or its edge is not known. Only while connected.
  bool NextFrame(std::string* text);
  // All frames that it gave are written.
  void OnWritten();
  bool waiting() const { return next_.has_value() || !answers_.empty(); }

 private:
  struct Call {
    std::string request_id;
    std::string tool;
    MonoTime started;
    CallTimes times;
    std::shared_ptr<AnswerRoom> room;  // Null: none was needed so far.
  };
  struct Running;
  using RunningPtr = std::shared_ptr<Running>;
  using Answer = AnswerQueue::Answer;

  Call CallOf(const EdgeFrameText& frame) const;
  RunningPtr Begin(Call&& call);
  // The tool has ended, by itself or because it was stopped.
  void End(const RunningPtr& running, ToolOutcome&& outcome);
  void Forget(const RunningPtr& running);
  // Nobody wants its answer.
  void Stop(const RunningPtr& running);
  void StopLate();
  void Finish(Call&& call, ToolOutcome&& outcome);
  // There is no room for the call, which was not run.
  void FinishBusy(Call&& call, const std::string& why);
  void KeepForTheNext(Answer answer);
  // A result past the edge's limit would end the session.
  void ReplaceIfTooLong(ToolOutcome* outcome) const;
  std::string Encode(Answer answer) const;
  std::shared_ptr<AnswerRoom> MakeRoom() { return std::make_shared<AnswerRoom>(budget_); }
  int64_t MsSince(MonoTime time) const;
  void LogCall(const Call& call, bool success) const;
  void CountLate(size_t answers);
  void CountWriting(size_t bytes);
  // Whether nobody will wait any more when the answer arrives.
  bool ComesTooLate(const Answer& answer) const;

  asio::io_context& io_;
  SharedByLoops* const shared_;
  const std::string& user_id_;
  const std::function<void()> on_answer_;
  const std::shared_ptr<AnswerBudget> budget_;
  // Of two with the same id only the newer can be cancelled.
  absl::flat_hash_map<std::string, RunningPtr> running_;
  uint32_t running_count_ = 0;
  AnswerQueue answers_;
  std::optional<Answer> next_;  // Out of the queue, and not yet sent.
  size_t result_bytes_max_;     // Of the options, or less if the edge takes less.
  size_t writing_bytes_ = 0;    // Of a large answer that is being written, and what came behind it; 0: none is.
  MonoTime writing_since_;
  double bytes_per_second_ = 0;  // The last time; 0: no large one was written yet.
  bool connected_ = false;
  bool knows_edge_ = false;
  bool edge_knows_busy_ = false;
};

}  // namespace toolwire

#endif  // TOOLWIRE_CLI_AGENT_AGENT_CALLS_H_
