// Any bytes as a program: what agents, controls and time do to the sessions of one loop. Each step is one byte for
// what happens and some for its details (see `Run`). A model beside the table knows which calls are open and which
// frames were taken for writing; whatever the order of events, every delivered call gets exactly one answer or
// refusal, it tells the truth about what left, and nothing is left over in the end. Frames beyond the base protocol go
// only to agents that said hello, and cancels only for calls that they were sent.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <iterator>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/broken_json.h"
#include "common/base/json_text.h"
#include "common/wire/wire_codec.h"
#include "edge/session_table.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fuzz/require.h"

namespace {

using namespace toolwire;  // NOLINT: a program of one file.
using E = v1::CallError;
using R = v1::Refusal;
using std::chrono::milliseconds;

constexpr size_t kSessionsMax = 6;
constexpr int kLinks = 3;
constexpr Duration kTick = SessionTable::kTick;

SessionLimits Limits() {
  SessionLimits limits;
  limits.heartbeat_timeout = std::chrono::seconds(5);
  limits.calls_in_flight_max = 5;
  limits.edge_calls_in_flight_max = 12;
  limits.queued_bytes_max = 1200;
  limits.queued_replies_max = 4;
  limits.edge_queued_bytes_max = 4000;
  limits.payload.payload_bytes_max = 64;
  limits.bad_frames_max = 4;
  limits.payload.json_depth_max = 16;
  return limits;
}

class Program {
 public:
  Program(const uint8_t* data, size_t size) : data_(data), size_(size) {}
  bool done() const { return at_ >= size_; }
  uint8_t Byte() { return at_ < size_ ? data_[at_++] : 0; }
  std::string Bytes(size_t count) {
    count = std::min(count, size_ - std::min(at_, size_));
    std::string bytes(reinterpret_cast<const char*>(data_ + at_), count);
    at_ += count;
    return bytes;
  }

 private:
  const uint8_t* data_;
  const size_t size_;
  size_t at_ = 0;
};

struct ModelCall {
  SessionId session = 0;
  std::string request_id;
  MonoTime deadline;
  bool sent = false;
};

struct ModelSession {
  std::string user_id;
  uint64_t epoch = 0;
  bool close_due = false;               // For the loop to carry out.
  bool closing = false;                 // The session itself has ended its part.
  int hellos = 0;                       // Not yet acknowledged.
  bool can_cancel = false;              // By the last hello that came,
  bool told_it_can = false;             // and by the last hello_ack that was taken.
  std::multiset<std::string> given_up;  // Request ids of sent calls that may be cancelled.
};

// Whether an agent's frame has this request id, by a reader other than the codec.
bool Names(std::string_view text, const std::string& request_id) {
  const std::string_view name = "requestId";
  json::Member found;
  if (json::PickMembers(text, 100000, {&name, 1}, {&found, 1}) != json::Error::kNone) {
    json::BrokenMember broken;
    json::FindBrokenMembers(text, {&name, 1}, {&broken, 1});
    return broken.text == request_id;
  }
  std::string plain;
  return !found.value.empty() && found.kind == json::Kind::kString && json::Unescape(found.value, &plain) &&
         plain == request_id;
}

using CallKey = std::pair<LinkId, uint64_t>;

class Fuzzer {
 public:
  Fuzzer() : table_(clock_, limits_, counters_, "edge", [](SessionId) { return Duration::max(); }) {}

  void Run(Program program) {
    while (!program.done()) {
      Step(&program);
      Collect();
      Check();
    }
    while (!sessions_.empty()) {
      CloseSocket(sessions_.begin()->first, false);
      Collect();
    }
    Check();
    REQUIRE(open_.empty());
    REQUIRE(table_.calls() == 0 && table_.size() == 0 && !table_.has_timers());
    REQUIRE(counters_.calls_in_flight.load() == 0);
    REQUIRE(counters_.queued_bytes.load() == 0);
    REQUIRE(counters_.tool_cancels.value() == given_up_);
    REQUIRE(counters_.answered.value() == answers_ && counters_.refused.value() == refusals_);
    REQUIRE(counters_.bad_answers.value() == unreadable_);
    REQUIRE(counters_.sessions_opened.value() == counters_.sessions_closed.value());
  }

 private:
  void Step(Program* program) {
    answers_lost_ = false;
    received_.clear();
    switch (program->Byte() % 12) {
      case 0:
        return Open(program->Byte());
      case 1: {
        const SessionId id = Pick(program->Byte());
        return CloseSocket(id, program->Byte() % 2 == 1);
      }
      case 2:
      case 3:
        return Deliver(program);
      case 4: {  // An answer, right or not.
        const SessionId id = Pick(program->Byte());
        const std::string request_id = RequestId(program->Byte());
        const uint8_t how = program->Byte();
        std::string frame = R"({"type":"tool_response","requestId":")" + request_id + R"(","success":)";
        frame += how % 2 == 0 ? "true" : "false,\"error\":\"e\"";
        if (how % 8 != 7) frame += ",\"result\":\"" + std::string(how % 4 == 3 ? 100 : how / 4 % 64, 'x') + "\"";
        return Receive(id, frame + "}");
      }
      case 5: {
        const uint8_t which = program->Byte();
        if (which % 8 == 5) return Receive(Pick(which), R"({"type":"hello","capabilities":["cancel"]})");
        if (which % 8 == 6) return Receive(Pick(which), R"({"type":"hello","capabilities":["other"]})");
        return Receive(Pick(which), R"({"type":"heartbeat","timestamp":1})");
      }
      case 6: {  // Whatever the agent likes.
        const SessionId id = Pick(program->Byte());
        const size_t size = program->Byte();
        return Receive(id, program->Bytes(size));
      }
      case 7:
      case 8: {
        const SessionId id = Pick(program->Byte());
        return Write(id, program->Byte() % 8);
      }
      case 9: {
        const uint8_t which = program->Byte();
        if (open_.empty()) return table_.Cancel(links_[which % kLinks], which);
        const CallKey key = std::next(open_.begin(), which % open_.size())->first;
        table_.Cancel(key.first, key.second);
        expected_end_.insert(key);
        return;
      }
      case 10: {
        const uint8_t what = program->Byte();
        if (what % 4 == 0) return LinkDown(what / 4 % kLinks);
        if (what % 4 == 1) return Snapshot(what / 4 % kLinks);
        return CloseWhatIsDue();
      }
      case 11: {
        const uint8_t how_long = program->Byte();
        clock_.Advance(milliseconds(how_long * how_long / 8));
        table_.Advance();
        advanced_ = true;
        return;
      }
    }
  }

  // --- what happens ---
  SessionId Pick(uint8_t which) const {
    // One in eight is of nobody.
    if (sessions_.empty() || which % 8 == 7) return 1'000'000;
    return std::next(sessions_.begin(), which / 8 % sessions_.size())->first;
  }
  static std::string RequestId(uint8_t which) { return "r" + std::to_string(which % 8); }

  void Open(uint8_t user) {
    if (sessions_.size() >= kSessionsMax) return;
    const SessionId id = ++last_session_;
    ModelSession& session = sessions_[id];
    session.user_id = "user_" + std::to_string(user % 3);
    session.epoch = ++last_epoch_;
    heard_[id] = clock_.Now();
    table_.Open(id, session.user_id, session.epoch);
    expected_events_.push_back({id, true});
  }
  void CloseSocket(SessionId id, bool answers_lost) {
    table_.Close(id, answers_lost);
    answers_lost_ = answers_lost;
    auto found = sessions_.find(id);
    if (found == sessions_.end()) return;
    for (const auto& [key, call] : open_) {
      if (call.session == id) expected_end_.insert(key);
    }
    expected_events_.push_back({id, false});
    closed_[id] = found->second;
    sessions_.erase(found);
  }
  void Deliver(Program* program) {
    const SessionId id = Pick(program->Byte());
    const uint8_t which = program->Byte();
    const uint8_t size = program->Byte();
    v1::Deliver deliver;
    deliver.set_call_id(++last_call_);
    deliver.set_request_id(RequestId(which));
    deliver.set_tool("tool");
    deliver.set_params_json("{\"p\":\"" + std::string(size >= 250 ? 1000 : size, 'x') + "\"}");
    const Duration timeout = milliseconds(which * which / 4 - 50);
    deliver.set_timeout_us(std::chrono::duration_cast<std::chrono::microseconds>(timeout).count());
    const CallKey key(links_[which / 8 % kLinks], last_call_);
    open_[key] = ModelCall{id, deliver.request_id(), clock_.Now() + timeout, false};
    auto session = sessions_.find(id);
    if (session == sessions_.end() || session->second.closing) expected_end_.insert(key);
    table_.Deliver(id, key.first, std::move(deliver));
  }
  void Receive(SessionId id, const std::string& text) {
    const uint64_t bad = counters_.bad_frames.value();
    const uint64_t in = counters_.frames_in.value();
    table_.Receive(id, text);
    received_ = text;
    if (counters_.frames_in.value() == in) return;  // Nobody there, or closing.
    REQUIRE(sessions_.count(id) == 1 && !sessions_[id].closing);
    if (counters_.bad_frames.value() == bad) heard_[id] = clock_.Now();
    AgentFrame frame;
    WireDecoder(limits_.payload.json_depth_max + 1).Decode(text, &frame);
    if (frame.type != AgentFrame::Type::kHello) return;
    ++sessions_[id].hellos;
    sessions_[id].can_cancel = (frame.capabilities & kCapabilityCancel) != 0;
  }
  void Write(SessionId id, int frames) {
    std::string text;
    while (frames-- > 0 && table_.NextFrame(id, &text)) {
      REQUIRE(sessions_.count(id) == 1);
      const EdgeFrameText frame = DecodeEdgeFrame(text, 64);
      REQUIRE(frame.type != EdgeFrameText::Type::kBad && frame.type != EdgeFrameText::Type::kUnknown);
      ModelSession& session = sessions_[id];
      if (frame.type == EdgeFrameText::Type::kHelloAck) {
        REQUIRE(session.hellos-- > 0);
        session.told_it_can = (frame.capabilities & kCapabilityCancel) != 0;
      } else if (frame.type == EdgeFrameText::Type::kToolCancel) {
        REQUIRE(session.told_it_can);
        const auto given_up = session.given_up.find(frame.request_id);
        REQUIRE(given_up != session.given_up.end());
        session.given_up.erase(given_up);
      }
      if (frame.type != EdgeFrameText::Type::kToolCall) continue;
      int found = 0;
      for (auto& [key, call] : open_) {
        if (call.session != id || call.request_id != frame.request_id) continue;
        REQUIRE(!call.sent);
        call.sent = true;
        ++found;
      }
      REQUIRE(found == 1);  // Frames of calls that have ended are withdrawn.
    }
  }
  void LinkDown(int which) {
    const LinkId link = links_[which];
    table_.LinkDown(link);
    for (auto it = open_.begin(); it != open_.end();) it = it->first.first == link ? open_.erase(it) : std::next(it);
    links_down_.insert(link);
    links_[which] = ++last_link_;
  }
  void Snapshot(int which) {
    std::vector<SessionId> ids = table_.SessionIds();
    table_.Snapshot(links_[which], &ids);
    REQUIRE(ids.empty());
    snapshot_ = links_[which];
  }
  void CloseWhatIsDue() {
    std::vector<SessionId> due;
    for (const auto& [id, session] : sessions_) {
      if (session.close_due) due.push_back(id);
    }
    for (const SessionId id : due) CloseSocket(id, false);
  }

  // --- what came of it ---
  void Collect() {
    LinkBatches& batches = table_.batches();
    for (const auto& [link, frame] : *batches.frames()) {
      REQUIRE(links_down_.count(link) == 0);
      for (const v1::Answer& answer : frame.answers()) CheckAnswer({link, answer.call_id()}, answer);
      for (const v1::Refusal& refusal : frame.refusals()) CheckRefusal({link, refusal.call_id()}, refusal);
      if (frame.sessions_size() == 0) continue;
      REQUIRE(snapshot_ == link);
      REQUIRE(static_cast<size_t>(frame.sessions_size()) == sessions_.size());
    }
    snapshot_ = 0;
    for (const v1::StrayAnswer& stray : *batches.strays()) {
      REQUIRE(stray.answer().call_id() == 0 && !stray.request_id().empty());
      REQUIRE(stray.user_id().substr(0, 5) == "user_");
    }
    REQUIRE(static_cast<size_t>(batches.sessions()->size()) == expected_events_.size());
    for (size_t i = 0; i < expected_events_.size(); ++i) {
      const auto [id, connected] = expected_events_[i];
      const ModelSession& session = connected ? sessions_.at(id) : closed_.at(id);
      const v1::SessionEvent& event = batches.sessions()->at(i);
      REQUIRE(event.connected() == connected && event.user_id() == session.user_id && event.epoch() == session.epoch);
    }
    expected_events_.clear();
    batches.Clear();
    for (const auto& [id, close] : table_.closing()) {
      auto found = sessions_.find(id);
      if (found == sessions_.end()) continue;
      found->second.close_due = true;
      if (close.code == CloseCode::kNoHeartbeat) {
        REQUIRE(clock_.Now() - heard_[id] >= limits_.heartbeat_timeout);
      } else {
        REQUIRE(!found->second.closing);  // Announced once.
        found->second.closing = true;
      }
    }
    table_.closing().clear();
    for (const SessionId id : table_.writable()) REQUIRE(id <= last_session_);
    table_.writable().clear();
    // Calls that were cancelled, or whose session has gone or is going, have ended by now.
    for (const CallKey& key : expected_end_) REQUIRE(open_.count(key) == 0);
    expected_end_.clear();
  }
  void CheckAnswer(const CallKey& key, const v1::Answer& answer) {
    auto found = open_.find(key);
    REQUIRE(found != open_.end() && found->second.sent);
    REQUIRE(answer.result_json().size() <= limits_.payload.payload_bytes_max);
    REQUIRE(answer.result_json().empty() ||
            json::Validate(answer.result_json(), limits_.payload.json_depth_max, nullptr) == json::Error::kNone);
    REQUIRE(answer.unreadable().empty() || Names(received_, found->second.request_id));
    open_.erase(found);
    ++(answer.unreadable().empty() ? answers_ : unreadable_);
  }
  void CheckRefusal(const CallKey& key, const v1::Refusal& refusal) {
    auto found = open_.find(key);
    REQUIRE(found != open_.end());
    const ModelCall& call = found->second;
    const bool by_agent = refusal.cause() == R::AGENT_BUSY && call.sent;
    REQUIRE(by_agent ? Names(received_, call.request_id) : refusal.delivery() == (call.sent ? E::SENT : E::NOT_SENT));
    switch (refusal.cause()) {
      case R::NOT_HERE:
      case R::EDGE_UNAVAILABLE:
      case R::DUPLICATE_REQUEST:
      case R::EARLIER_UNANSWERED:
      case R::PARAMS_REFUSED:
        REQUIRE(!call.sent);
        break;
      case R::AGENT_BUSY:
        break;
      case R::ANSWER_LOST:
        // Its own answer broke a limit, or the socket ended for one that did.
        REQUIRE(call.sent && (answers_lost_ || Names(received_, call.request_id)));
        break;
      case R::TIMED_OUT:
        REQUIRE(clock_.Now() >= call.deadline);
        break;
      default:
        REQUIRE(refusal.cause() == R::CANCELLED || refusal.cause() == R::SESSION_LOST);
    }
    if (call.sent && (refusal.cause() == R::CANCELLED || refusal.cause() == R::TIMED_OUT)) GivenUp(call);
    open_.erase(found);
    ++refusals_;
  }

  void GivenUp(const ModelCall& call) {
    ModelSession& session = sessions_.at(call.session);
    if (session.closing || !session.can_cancel) return;
    session.given_up.insert(call.request_id);
    ++given_up_;
  }

  // What is true after every step.
  void Check() {
    std::map<SessionId, size_t> calls;
    for (const auto& [key, call] : open_) {
      REQUIRE(sessions_.count(call.session) == 1);
      REQUIRE(++calls[call.session] <= static_cast<size_t>(limits_.calls_in_flight_max));
      // Rounded up to the tick, and one for calls that come with no time left.
      REQUIRE(!advanced_ || clock_.Now() < call.deadline + 2 * kTick || clock_.Now() < last_advance_ + 2 * kTick);
    }
    REQUIRE(open_.size() <= static_cast<size_t>(limits_.edge_calls_in_flight_max));
    REQUIRE(open_.size() == table_.calls());
    REQUIRE(open_.size() == static_cast<size_t>(counters_.calls_in_flight.load()));
    REQUIRE(open_.empty() == !table_.has_timers());
    REQUIRE(sessions_.size() == table_.size());
    if (advanced_) {
      for (const auto& [id, session] : sessions_) {
        REQUIRE(session.close_due || clock_.Now() - heard_[id] < limits_.heartbeat_timeout + std::chrono::seconds(1));
      }
    }
    if (advanced_) last_advance_ = clock_.Now();
    advanced_ = false;
  }

  FakeClock clock_;
  const SessionLimits limits_ = Limits();
  EdgeCounters counters_;
  SessionTable table_;

  std::map<SessionId, ModelSession> sessions_;
  std::map<SessionId, ModelSession> closed_;
  std::map<SessionId, MonoTime> heard_;  // When the session's last good frame came.
  std::map<CallKey, ModelCall> open_;
  std::set<CallKey> expected_end_;
  std::vector<std::pair<SessionId, bool>> expected_events_;
  std::set<LinkId> links_down_;
  LinkId links_[kLinks] = {1, 2, 3};
  LinkId last_link_ = kLinks;
  LinkId snapshot_ = 0;
  SessionId last_session_ = 0;
  uint64_t last_epoch_ = 0;
  uint64_t last_call_ = 0;
  uint64_t answers_ = 0;
  uint64_t unreadable_ = 0;
  uint64_t refusals_ = 0;
  uint64_t given_up_ = 0;  // Cancels that agents were told, or that were dropped.
  bool advanced_ = false;
  bool answers_lost_ = false;  // A socket was closed so in this step.
  std::string received_;       // The frame of this step.
  MonoTime last_advance_ = clock_.Now();
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Fuzzer().Run(Program(data, size));
  return 0;
}
