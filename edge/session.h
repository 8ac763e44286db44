// DEEP: one agent's protocol, without I/O. Events and the time go in; frames to write, outcomes and closes come out.
#ifndef TOOLWIRE_EDGE_SESSION_H_
#define TOOLWIRE_EDGE_SESSION_H_

#include <atomic>
#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "common/base/clock.h"
#include "common/base/counter.h"
#include "common/base/timer_wheel.h"
#include "common/base/unanswered_requests.h"
#include "common/store/secret.h"
#include "common/wire/payload_options.h"
#include "common/wire/wire_codec.h"
#include "edge/close_reason.h"
#include "toolwire/v1/relay.pb.h"

namespace toolwire {

// Numbers one link to a control for as long as this edge runs.
using LinkId = uint32_t;
// Numbers one session for as long as this edge runs; never used twice.
using SessionId = uint64_t;

struct SessionLimits {
  Duration heartbeat_timeout = std::chrono::seconds(90);  // Three heartbeats missed.
  int calls_in_flight_max = 4096;                         // For one agent; more are refused with AGENT_BUSY.
  // For the whole edge; more are refused with EDGE_UNAVAILABLE. About 100 MB of pending state at 1 kB each.
  int edge_calls_in_flight_max = 100000;
  // Frames of one session waiting to be written, as the memory they take: two of the largest.
  size_t queued_bytes_max = 32u << 20;
  // Of those, replies that the agent causes itself (acks), past which it closes with 1008. Far beyond what waits for an
  // agent that reads.
  int queued_replies_max = 1000;
  // Frames waiting in all sessions of the edge; past it calls are refused with EDGE_UNAVAILABLE. Replies are not, but
  // count.
  size_t edge_queued_bytes_max = 512u << 20;
  int bad_frames_max = 10;  // Within a minute: closes with 1008.
  // Answers to no call that the session knows, within a minute; more close with 1008. Those to its own calls that ended
  // before do not count. More than an agent that comes back may owe, and 64 of the largest.
  int strays_max = 10000;
  size_t stray_bytes_max = 1u << 30;
  // Calls of each loop that were sent to a session and not answered, whose ids that session refuses meanwhile.
  UnansweredRequests::Options unanswered;
  PayloadOptions payload;  // A larger result closes the session with 1009.
};

// Shared by the loops of one edge. Written by the loop threads, read by anyone.
struct EdgeCounters : CounterSet {
  Counter sessions_opened{this, "toolwire_edge_sessions_opened_total", "Sessions begun."};
  Counter sessions_closed{this, "toolwire_edge_sessions_closed_total", "Sessions ended."};
  Counter sessions_replaced{this, "toolwire_edge_sessions_replaced_total", "Sessions ended by a newer one (4001)."};
  Counter sessions_revoked{this, "toolwire_edge_sessions_revoked_total",
                           "Sessions ended since their credentials were revoked (1008)."};
  Counter sessions_ended_by_operator{this, "toolwire_edge_sessions_ended_by_operator_total",
                                     "Sessions ended by an operator (4003)."};
  Counter logins_revoked{this, "toolwire_edge_logins_revoked_total",
                         "Logins whose credentials were revoked while they were under way."};
  Counter heartbeats{this, "toolwire_edge_heartbeats_total", "Heartbeats received."};
  Counter heartbeat_timeouts{this, "toolwire_edge_heartbeat_timeouts_total", "Sessions ended for silence (4002)."};
  Counter frames_in{this, "toolwire_edge_frames_in_total", "Frames received from agents."};
  Counter frames_out{this, "toolwire_edge_frames_out_total", "Frames sent to agents."};
  Counter bad_frames{this, "toolwire_edge_bad_frames_total", "Frames that do not parse and end no call."};
  Counter bad_answers{this, "toolwire_edge_bad_answers_total", "Answers that cannot be read, of calls that they end."};
  Counter unknown_frames{this, "toolwire_edge_unknown_frames_total", "Frames of unknown types."};
  Counter delivered{this, "toolwire_edge_calls_delivered_total", "Calls taken by sessions."};
  Counter answered{this, "toolwire_edge_calls_answered_total", "Calls answered by agents."};
  Counter agent_busy{this, "toolwire_edge_agent_busy_total", "Calls that agents refused as they had too much to do."};
  Counter refused{this, "toolwire_edge_calls_refused_total", "Calls ended here without an answer."};
  Counter strays{this, "toolwire_edge_stray_answers_total", "Answers to calls this session does not know."};
  Counter strays_offered{this, "toolwire_edge_stray_answers_offered_total",
                         "Of these, those that were offered because they are large."};
  Counter strays_fetched{this, "toolwire_edge_stray_answers_fetched_total", "Of these, those that were fetched."};
  Counter tool_cancels{this, "toolwire_edge_tool_cancels_total", "Calls that agents were told to cancel."};

  LimitCounter too_big{this, kEdgeLimitHits, "frame_bytes"};
  LimitCounter bad_frames_full{this, kEdgeLimitHits, "bad_frames"};
  LimitCounter strays_full{this, kEdgeLimitHits, "strays"};
  LimitCounter stray_bytes_full{this, kEdgeLimitHits, "stray_bytes"};
  LimitCounter kept_strays_full{this, kEdgeLimitHits, "kept_strays"};
  LimitCounter busy_calls{this, kEdgeLimitHits, "agent_calls"};
  LimitCounter params_refused{this, kEdgeLimitHits, "agent_params"};
  LimitCounter busy_bytes{this, kEdgeLimitHits, "session_queue_bytes"};
  LimitCounter slow_closed{this, kEdgeLimitHits, "session_queue_replies"};
  LimitCounter busy_edge{this, kEdgeLimitHits, "edge_calls"};
  LimitCounter busy_edge_bytes{this, kEdgeLimitHits, "edge_queue_bytes"};
  LimitCounter logins_late{this, kEdgeLimitHits, "login_time"};
  LimitCounter links_full{this, kEdgeLimitHits, "links"};
  LimitCounter address_links_full{this, kEdgeLimitHits, "address_links"};
  LimitCounter link_strangers_closed{this, kEdgeLimitHits, "link_strangers"};
  LimitCounter link_handshakes_paced{this, kEdgeLimitHits, "link_handshakes_per_second"};
  LimitCounter tls_handshakes_paced{this, kEdgeLimitHits, "tls_handshakes_per_second"};
  LimitCounter address_tls_handshakes_full{this, kEdgeLimitHits, "address_tls_handshakes"};
  LimitCounter link_waiting_full{this, kEdgeLimitHits, "link_waiting_bytes"};
  LimitCounter unanswered_full{this, kEdgeLimitHits, "unanswered_requests"};
  LimitCounter early_full{this, kEdgeLimitHits, "early_frames"};

  std::atomic<int64_t> calls_in_flight{0};
  std::atomic<int64_t> queued_bytes{0};  // Frames waiting in sessions, as the memory they take.
};

// Frames for the controls, gathered while a loop works through its events; sent at the end of the round.
class LinkBatches {
 public:
  // Until the next `For` of another link.
  v1::EdgeFrame* For(LinkId link) { return &frames_[link]; }
  absl::flat_hash_map<LinkId, v1::EdgeFrame>* frames() { return &frames_; }
  // For every link: answers whose call this edge does not know. The edge offers those that are large.
  std::vector<v1::StrayAnswer>* strays() { return &strays_; }
  // For every link: sessions that began or ended.
  std::vector<v1::SessionEvent>* sessions() { return &sessions_; }
  bool empty() const { return frames_.empty() && strays_.empty() && sessions_.empty(); }
  void Clear() {
    frames_.clear();
    strays_.clear();
    sessions_.clear();
  }

 private:
  absl::flat_hash_map<LinkId, v1::EdgeFrame> frames_;
  std::vector<v1::StrayAnswer> strays_;
  std::vector<v1::SessionEvent> sessions_;
};

class Session;

struct SessionCall;

// A frame that waits in a session's queue.
struct OutFrame {
  enum class Kind : uint8_t { kCall, kReply, kCancel };
  // What a tool_call takes beside its three texts, about: known before it is made.
  static constexpr size_t kCallOverheadBytes = 192;
  std::string text;
  Kind kind = Kind::kReply;
  SessionCall* call = nullptr;  // Of a kCall.

  // The memory that it takes, with the list's node and what malloc adds to both.
  size_t bytes() const { return text.capacity() + sizeof(OutFrame) + 4 * sizeof(void*); }
};

// One call at one session, from delivery to outcome.
struct SessionCall : TimerNode {
  Session* session = nullptr;
  LinkId link = 0;
  uint64_t call_id = 0;
  std::string request_id;
  bool sent = false;                    // The frame was handed to the socket: the tool may run.
  std::list<OutFrame>::iterator frame;  // Its place in the session's queue, while it is not sent.
};

// One live, authenticated socket. Owned by its loop's SessionTable; loop thread only. Bounded by SessionLimits: calls,
// queued bytes, bad frames. Nothing here blocks. Every delivered call leaves exactly one answer or refusal in `out`.
class Session {
 public:
  // What the table passes to every event. No pointer is null.
  struct Context {
    const SessionLimits* limits = nullptr;
    EdgeCounters* counters = nullptr;
    WireDecoder* decoder = nullptr;
    TimerWheel* call_wheel = nullptr;
    UnansweredRequests* unanswered = nullptr;
    LinkBatches* out = nullptr;
    absl::flat_hash_map<std::pair<LinkId, uint64_t>, SessionCall*>* calls = nullptr;  // All calls of the loop.
    const std::vector<LinkId>* links_down = nullptr;  // Whose calls are not all dropped yet.
    std::vector<SessionId>* heartbeats = nullptr;     // Sessions that sent one: their leases are due.
    MonoTime now{};
    int64_t wall_ms = 0;
  };

  Session(SessionId id, std::string user_id, uint64_t epoch, MonoTime now, int64_t wall_ms,
          const SecretDigest& secret = {})
      : id_(id),
        user_id_(std::move(user_id)),
        epoch_(epoch),
        connected_at_ms_(wall_ms),
        last_heard_(now),
        secret_(secret) {}
  ~Session();

  SessionId id() const { return id_; }
  const std::string& user_id() const { return user_id_; }
  uint64_t epoch() const { return epoch_; }
  // What controls receive about this session.
  v1::SessionEvent Event(bool connected, bool replaced = false) const;
  MonoTime last_heard() const { return last_heard_; }
  // What is stored for its user, as long as the session may stay.
  const SecretDigest& secret() const { return secret_; }
  void set_secret(const SecretDigest& secret) { secret_ = secret; }
  size_t calls_in_flight() const { return calls_.size(); }
  size_t queued_bytes() const { return queued_bytes_; }

  // Queues the `connected` frame.
  void Welcome(std::string_view server_id, const Context& context);
  // A control delivers a call.
  void Deliver(LinkId link, v1::Deliver&& deliver, const Context& context);
  // The agent sent a text frame. A close is due if `close` is set afterwards.
  void Receive(std::string_view text, const Context& context);
  // The same, decoded already: `*frame` is of `text`.
  void Receive(std::string_view text, AgentFrame* frame, const Context& context);
  // The call's deadline has passed, or its caller has cancelled.
  void TimeOut(SessionCall* call, const Context& context) { EndUnanswered(call, v1::Refusal::TIMED_OUT, context); }
  void Cancel(SessionCall* call, const Context& context) { EndUnanswered(call, v1::Refusal::CANCELLED, context); }
  // The link of this call is down: nothing is reported.
  void Orphan(SessionCall* call, const Context& context);
  // The socket is gone. With `answers_lost`, no answer will come by another way either.
  void Lose(bool answers_lost, const Context& context);

  // The next frame to write, oldest first; its call counts as sent from now on. False if there is none.
  bool NextFrame(std::string* text, EdgeCounters* counters);
  bool has_frames() const { return !queue_.empty(); }

  // Why this side must close the session; null while it need not.
  const CloseReason* close() const { return closing_ ? &close_ : nullptr; }

 private:
  void ReceiveResponse(AgentFrame* frame, const Context& context);
  void ReceiveBusy(const AgentFrame& frame, const Context& context);
  void ReceiveBad(std::string_view text, AgentFrame* frame, const Context& context);
  // Why the agent does not take these params, as far as it has said; empty if it does.
  std::string WhyNotTaken(std::string_view params_json, const Context& context) const;
  // False if the frame ends no call of this session, in flight or ended before.
  bool EndUnreadable(AgentFrame* frame, const Context& context);
  // Counts an answer that matches no call. False if there were too many: the session is to be closed.
  bool MayStray(size_t bytes, const Context& context);
  // The minute for which bad frames and strays are counted.
  void BeginMinute(MonoTime now);
  // Null if there is none. One whose link is down is dropped here.
  SessionCall* FindCall(std::string_view request_id, const Context& context);
  void Queue(OutFrame::Kind kind, std::string text, SessionCall* call, const Context& context);
  // Takes a frame out of the queue and what it counts for.
  std::string Dequeue(std::list<OutFrame>::iterator frame, EdgeCounters* counters);
  void QueueReply(std::string text, const Context& context);
  // Drops the call; an agent that has it, and can cancel, gets a `tool_cancel`.
  void EndUnanswered(SessionCall* call, v1::Refusal::Cause cause, const Context& context);
  // This session among the owners of unanswered requests.
  std::string_view owner() const { return {reinterpret_cast<const char*>(&id_), sizeof id_}; }
  // Ends the call without an answer; withdraws its frame if that has not been written.
  void Drop(SessionCall* call, v1::Refusal::Cause cause, const Context& context);
  // Reports to its control that it ended so; `ran`: the tool may have run.
  void Report(const SessionCall& call, v1::Refusal::Cause cause, bool ran, const Context& context);
  void Remove(SessionCall* call, const Context& context);
  // The part of Remove that concerns the queue and the loop.
  void Detach(SessionCall* call, const Context& context);
  void CloseWith(const CloseReason& reason);

  const SessionId id_;
  const std::string user_id_;
  const uint64_t epoch_;
  const int64_t connected_at_ms_;
  MonoTime last_heard_;
  SecretDigest secret_;
  MonoTime minute_began_{};  // Bad frames and strays are counted from here.
  size_t stray_bytes_ = 0;
  int strays_ = 0;
  int unanswered_ = 0;  // Sent calls that ended otherwise: for so many answers there was a call.
  int bad_frames_ = 0;
  bool closing_ = false;
  Capabilities capabilities_ = 0;  // What the agent's hello and this edge have in common.
  PayloadLimits params_limits_;    // What the agent's hello says.
  CloseReason close_;
  size_t queued_bytes_ = 0;
  int replies_waiting_ = 0;
  std::list<OutFrame> queue_;
  absl::flat_hash_map<std::string_view, std::unique_ptr<SessionCall>> calls_;  // By request id, which the call owns.
};

// Reports to its control a call that never got to a session.
void Refuse(LinkId link, uint64_t call_id, v1::Refusal::Cause cause, v1::CallError::Delivery delivery,
            LinkBatches* out);

}  // namespace toolwire

#endif  // TOOLWIRE_EDGE_SESSION_H_
