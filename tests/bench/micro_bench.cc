// What the steps of a call cost, each alone on one thread. For the sum of them over sockets there is scripts/bench.
//
// `build/release/tests/micro_bench --benchmark_filter=Decode`. Messages that a step consumes are made inside the timed
// loop: making them is part of what the step's caller does, and stopping the clock would cost more than it. Real
// clocks are used, since reading them is part of the steps too.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <deque>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/audit/audit_log.h"
#include "common/base/clock.h"
#include "common/base/json_text.h"
#include "common/base/timer_wheel.h"
#include "common/link/link.h"
#include "common/link/link_frames.h"
#include "common/link/record_sender.h"
#include "common/registry/memory_registry.h"
#include "common/store/store.h"
#include "common/wire/wire_codec.h"
#include "control/agent_directory.h"
#include "control/dispatcher.h"
#include "edge/session_table.h"
#include "edge/user_directory.h"
#include "tests/bench/micro_load.h"

namespace toolwire {
namespace {

constexpr int kJsonDepthMax = 512;
constexpr std::string_view kEscaped = "\\\"Bericht\\\" f\u00fcr \u65e5\u672c\\n\\u00e9\\ud83d\\ude00.txt";

// --- text ------------------------------------------------------------------------------------------------------------

void DecodeToolResponse(benchmark::State& state, std::string_view name) {
  const std::string text = EncodeToolResponse(kRequestId, true, JsonOfSize(state.range(0), name), "", 3);
  const WireDecoder decoder(kJsonDepthMax);
  bool all_good = true;
  for (auto _ : state) {
    AgentFrame frame;
    decoder.Decode(text, &frame);
    all_good &= frame.type == AgentFrame::Type::kToolResponse;
    benchmark::DoNotOptimize(frame);
  }
  if (!all_good) state.SkipWithError("not decoded");
  CountBytes(state, text.size());
}
BENCHMARK_CAPTURE(DecodeToolResponse, plain, kPlain)->Arg(100)->Arg(300)->Arg(16 << 10);
BENCHMARK_CAPTURE(DecodeToolResponse, escaped, kEscaped)->Arg(300)->Arg(16 << 10);

void ValidateParams(benchmark::State& state, std::string_view name) {
  const std::string text = JsonOfSize(state.range(0), name);
  bool all_good = true;
  for (auto _ : state) {
    json::Kind kind = json::Kind::kNull;
    all_good &= json::Validate(text, kJsonDepthMax, &kind) == json::Error::kNone && kind == json::Kind::kObject;
  }
  if (!all_good) state.SkipWithError("not valid");
  CountBytes(state, text.size());
}
BENCHMARK_CAPTURE(ValidateParams, plain, kPlain)->Arg(300)->Arg(16 << 10)->Arg(1 << 20);
BENCHMARK_CAPTURE(ValidateParams, escaped, kEscaped)->Arg(16 << 10);

void EncodeToolCallFrame(benchmark::State& state) {
  const std::string params = JsonOfSize(state.range(0));
  for (auto _ : state) benchmark::DoNotOptimize(EncodeToolCall(kRequestId, kTool, params));
  CountBytes(state, params.size());
}
BENCHMARK(EncodeToolCallFrame)->Arg(300)->Arg(16 << 10)->Arg(1 << 20);

// --- edge ------------------------------------------------------------------------------------------------------------

v1::Deliver MakeDeliver(const std::string& user_id, const std::string& params) {
  v1::Deliver deliver;
  deliver.set_user_id(user_id);
  deliver.set_request_id(kRequestId.data(), kRequestId.size());
  deliver.set_tool(kTool.data(), kTool.size());
  deliver.set_params_json(params);
  deliver.set_timeout_us(60'000'000);
  return deliver;
}

// A call through the edge, from the control's message to the message for control, without the socket. The calls go
// round the sessions, so that with many of them each finds its own out of the cache.
void SessionStep(benchmark::State& state) {
  constexpr LinkId kLink = 1;
  const size_t sessions = state.range(0);
  const SystemClock clock;
  const SessionLimits limits;
  EdgeCounters counters;
  SessionTable table(clock, limits, counters, "edge-1", [](SessionId) { return Duration::max(); });
  std::string frame;
  for (size_t id = 1; id <= sessions; ++id) {
    table.Open(id, UserNumber(id), id);
    table.NextFrame(id, &frame);
  }
  const auto clear = [&table] {
    table.batches().Clear();
    table.writable().clear();
    table.closing().clear();
  };
  clear();

  const std::string answer = EncodeToolResponse(kRequestId, true, JsonOfSize(kUsualBytes), "", 3);
  const v1::Deliver pattern = MakeDeliver("user_1", JsonOfSize(kUsualBytes));
  const std::vector<size_t> order = Shuffled(sessions);
  Ring ring(sessions);
  uint64_t call_id = 0;
  for (auto _ : state) {
    const SessionId id = order[ring.Next()] + 1;
    v1::Deliver deliver = pattern;
    deliver.set_call_id(++call_id);
    table.Deliver(id, kLink, std::move(deliver));
    table.NextFrame(id, &frame);
    table.Receive(id, answer);
    benchmark::DoNotOptimize(table.batches().frames()->size());
    clear();
  }
  if (counters.answered.value() != call_id || table.calls() != 0) state.SkipWithError("calls without an answer");
  CountItems(state, 1);
}
BENCHMARK(SessionStep)->Arg(1)->Arg(10000);

void FindSession(benchmark::State& state) {
  const std::vector<std::string> users = ShuffledUsers(state.range(0));
  UserDirectory directory;
  for (size_t i = 0; i < users.size(); ++i) directory.Insert(users[i], SessionRef{0, i + 1, i + 1});
  Ring ring(users.size());
  for (auto _ : state) benchmark::DoNotOptimize(directory.Find(users[ring.Next()]));
  CountItems(state, 1);
}
BENCHMARK(FindSession)->Arg(100)->Arg(10000);

// --- control ---------------------------------------------------------------------------------------------------------

void Connect(const std::vector<std::string>& users, const std::string& edge_id, AgentDirectory* directory) {
  v1::EdgeFrame frame;
  for (const std::string& user_id : users) {
    v1::SessionEvent* event = frame.add_sessions();
    event->set_user_id(user_id);
    event->set_epoch(1);
    event->set_connected(true);
  }
  directory->Apply(edge_id, frame.sessions());
}

void FindRoute(benchmark::State& state) {
  const std::vector<std::string> users = ShuffledUsers(state.range(0));
  AgentDirectory directory;
  Connect(users, "edge-1", &directory);
  Ring ring(users.size());
  for (auto _ : state) benchmark::DoNotOptimize(directory.Find(users[ring.Next()]));
  CountItems(state, 1);
}
BENCHMARK(FindRoute)->Arg(100)->Arg(10000);

// Keeps the last frame, which the loop below answers.
class LastFrame final : public ToEdge {
 public:
  bool Send(v1::ControlFrame&& frame) override {
    this->frame = std::move(frame);
    return true;
  }
  v1::ControlFrame frame;
};

class CountingSink final : public CallSink {
 public:
  void Settle(v1::DispatchAnswer&& outcome) override {
    const v1::DispatchAnswer taken = std::move(outcome);  // A stream takes it over and frees it later.
    succeeded += taken.response().success() ? 1 : 0;
  }
  void Flush() override {}
  uint64_t succeeded = 0;
};

// Calls through the control, from the checked requests to their outcomes, without gRPC and without an audit log.
void DispatcherRoundTrip(benchmark::State& state) {
  const size_t batch = state.range(0);
  const std::vector<std::string> users = ShuffledUsers(10000);
  const SystemClock clock;
  SingleEdgeRegistry registry;
  AgentDirectory directory;
  Dispatcher dispatcher(clock, registry, directory, nullptr, Dispatcher::Options());
  const auto edge = std::make_shared<LastFrame>();
  const auto sink = std::make_shared<CountingSink>();
  const uint64_t link = dispatcher.LinkUp("edge-1", edge);
  Connect(users, "edge-1", &directory);

  const std::string params = JsonOfSize(kUsualBytes), result = JsonOfSize(kUsualBytes);
  Ring ring(users.size());
  uint64_t begun = 0;
  for (auto _ : state) {
    std::vector<Call> calls(batch);
    const MonoTime deadline = clock.Now() + std::chrono::minutes(1);
    for (Call& call : calls) {
      call.call_id = dispatcher.NextCallId();
      call.user_id = users[ring.Next()];
      call.request_id = kRequestId;
      call.tool = kTool;
      call.params_json = params;
      call.deadline = deadline;
      call.caller_id = ++begun;
      call.sink = sink;
    }
    dispatcher.Begin(std::move(calls));
    v1::EdgeFrame answers;
    for (const v1::Deliver& deliver : edge->frame.deliveries()) {
      v1::Answer* answer = answers.add_answers();
      answer->set_call_id(deliver.call_id());
      answer->set_success(true);
      answer->set_result_json(result);
    }
    dispatcher.Receive(link, std::move(answers));
  }
  if (sink->succeeded != begun || dispatcher.in_flight() != 0) state.SkipWithError("calls without an answer");
  CountItems(state, batch);
}
BENCHMARK(DispatcherRoundTrip)->Arg(1)->Arg(64);

// --- everything at once ----------------------------------------------------------------------------------------------
// What one event costs that concerns all sessions or all calls: it holds up a loop, or all who wait for a lock.

constexpr size_t kManySessions = 10'000, kManyCalls = 100'000;

class LateClock final : public Clock {
 public:
  MonoTime Now() const override { return real_.Now() + late; }
  int64_t WallMs() const override { return real_.WallMs(); }
  Duration late{};

 private:
  const SystemClock real_;
};

// A loop with so many sessions, and calls spread over them.
struct FullTable {
  explicit FullTable(size_t calls, size_t sessions = kManySessions) {
    limits.calls_in_flight_max = limits.edge_calls_in_flight_max = static_cast<int>(kManyCalls);
    std::string frame;
    for (size_t id = 1; id <= sessions; ++id) {
      table.Open(id, UserNumber(id), id);
      table.NextFrame(id, &frame);
    }
    for (size_t i = 1; i <= calls; ++i) {
      v1::Deliver deliver = MakeDeliver(UserNumber(i), "{}");
      deliver.set_call_id(i);
      deliver.set_request_id("request_" + std::to_string(i));
      table.Deliver(1 + i % sessions, 1, std::move(deliver));
      table.NextFrame(1 + i % sessions, &frame);
    }
    Clear();
  }
  void Clear() {
    table.batches().Clear();
    table.writable().clear();
    table.closing().clear();
  }
  LateClock clock;
  SessionLimits limits;
  EdgeCounters counters;
  SessionTable table{clock, limits, counters, "edge-1", [](SessionId) { return Duration::max(); }};
};

// `step` on a full table that is made anew for each time.
template <typename Step>
void AtFullTable(benchmark::State& state, size_t calls, size_t sessions, Step step) {
  for (auto _ : state) {
    state.PauseTiming();
    auto full = std::make_unique<FullTable>(calls, sessions);
    state.ResumeTiming();
    step(full.get());
    state.PauseTiming();
    full.reset();
    state.ResumeTiming();
  }
}
void AllCallsOverdue(benchmark::State& state) {
  AtFullTable(state, kManyCalls, kManySessions, [](FullTable* full) {
    full->clock.late = std::chrono::minutes(1);
    full->table.Advance();
  });
}
BENCHMARK(AllCallsOverdue)->Unit(benchmark::kMillisecond)->Iterations(5);

void LinkDownWithAllCalls(benchmark::State& state) {
  AtFullTable(state, kManyCalls, kManySessions, [](FullTable* full) { full->table.LinkDown(1); });
}
BENCHMARK(LinkDownWithAllCalls)->Unit(benchmark::kMillisecond)->Iterations(5);

void LinkDownWithoutCalls(benchmark::State& state) {
  AtFullTable(state, kManyCalls, kManySessions, [](FullTable* full) { full->table.LinkDown(2); });
}
BENCHMARK(LinkDownWithoutCalls)->Unit(benchmark::kMillisecond)->Iterations(5);

void SnapshotOfAllSessions(benchmark::State& state) {
  AtFullTable(state, 0, kManySessions, [](FullTable* full) {
    std::vector<SessionId> ids = full->table.SessionIds();
    full->table.Snapshot(2, &ids);
  });
}
BENCHMARK(SnapshotOfAllSessions)->Unit(benchmark::kMillisecond)->Iterations(5);

// Of all sessions, or of none (0).
void RefreshOfSessions(benchmark::State& state) {
  AtFullTable(state, 0, kManySessions, [&](FullTable* full) {
    const Duration since = state.range(0) != 0 ? Duration::zero() : std::chrono::minutes(1);
    size_t due = 0;
    full->table.TakeUnrefreshed(full->clock.Now() - since, [&](const std::string&, uint64_t) { ++due; });
    benchmark::DoNotOptimize(due);
  });
}
BENCHMARK(RefreshOfSessions)->Arg(0)->Arg(1)->Unit(benchmark::kMillisecond)->Iterations(5);

void SessionLostWithItsCalls(benchmark::State& state) {
  AtFullTable(state, 4096, 1, [](FullTable* full) { full->table.Close(1, false); });
}
BENCHMARK(SessionLostWithItsCalls)->Unit(benchmark::kMillisecond)->Iterations(5);

void ListOfUsers(benchmark::State& state) {
  UserDirectory directory;
  for (size_t i = 0; i < kManySessions; ++i) directory.Insert(UserNumber(i), SessionRef{0, i + 1, i + 1});
  for (auto _ : state) benchmark::DoNotOptimize(directory.Users());
}
BENCHMARK(ListOfUsers)->Unit(benchmark::kMillisecond);

// A control with all calls delivered to one edge.
template <typename Step>
void AtFullDispatcher(benchmark::State& state, Step step) {
  const std::vector<std::string> users = ShuffledUsers(kManySessions);
  for (auto _ : state) {
    state.PauseTiming();
    LateClock clock;
    SingleEdgeRegistry registry;
    AgentDirectory directory;
    auto dispatcher = std::make_unique<Dispatcher>(clock, registry, directory, nullptr, Dispatcher::Options());
    const auto sink = std::make_shared<CountingSink>();
    const uint64_t link = dispatcher->LinkUp("edge-1", std::make_shared<LastFrame>());
    Connect(users, "edge-1", &directory);
    std::vector<Call> calls(kManyCalls);
    for (size_t i = 0; i < calls.size(); ++i) {
      calls[i].call_id = dispatcher->NextCallId();
      calls[i].user_id = users[i % users.size()];
      calls[i].request_id = "request_" + std::to_string(i);
      calls[i].params_json = "{}";
      calls[i].deadline = clock.Now() + std::chrono::minutes(1);
      calls[i].sink = sink;
    }
    dispatcher->Begin(std::move(calls));
    state.ResumeTiming();
    step(dispatcher.get(), &clock, link);
    state.PauseTiming();
    dispatcher.reset();
    state.ResumeTiming();
  }
}
void DispatcherLinkDownWithAllCalls(benchmark::State& state) {
  AtFullDispatcher(state, [](Dispatcher* at, LateClock*, uint64_t link) { at->LinkDown(link, {}); });
}
BENCHMARK(DispatcherLinkDownWithAllCalls)->Unit(benchmark::kMillisecond)->Iterations(5);

void DispatcherAllCallsOverdue(benchmark::State& state) {
  AtFullDispatcher(state, [](Dispatcher* at, LateClock* clock, uint64_t) {
    clock->late = std::chrono::minutes(2);
    at->Tick();
  });
}
BENCHMARK(DispatcherAllCallsOverdue)->Unit(benchmark::kMillisecond)->Iterations(5);

// --- common ----------------------------------------------------------------------------------------------------------

// With so many timers armed, one of them is disarmed and armed again.
void TimerDisarmAndArm(benchmark::State& state) {
  const size_t timers = state.range(0);
  MonoTime now{};
  TimerWheel wheel(std::chrono::milliseconds(8), 4096, now);
  std::deque<TimerNode> nodes(timers);
  const auto arm = [&](size_t i) {
    now += std::chrono::microseconds(10);
    wheel.Arm(&nodes[i], now + std::chrono::minutes(1));
  };
  for (size_t i = 0; i < timers; ++i) arm(i);
  const std::vector<size_t> order = Shuffled(timers);
  Ring ring(timers);
  for (auto _ : state) {
    const size_t i = order[ring.Next()];
    wheel.Disarm(&nodes[i]);
    arm(i);
  }
  if (wheel.size() != timers) state.SkipWithError("timers lost");
  CountItems(state, 1);
}
BENCHMARK(TimerDisarmAndArm)->Arg(1)->Arg(10000);

class StoreThatTakesAll final : public Store {
 public:
  absl::StatusOr<std::vector<bool>> CheckCredentials(const std::vector<CredentialCheck>& checks) override {
    return std::vector<bool>(checks.size(), true);
  }
  absl::StatusOr<std::vector<bool>> CheckDigests(const std::vector<SecretCheck>& checks) override {
    return std::vector<bool>(checks.size(), true);
  }
  absl::StatusOr<std::vector<StatusUpdate>> UpdateStatus(const std::vector<StatusUpdate>&) override {
    return std::vector<StatusUpdate>();
  }
  absl::Status AppendAudit(const std::vector<AuditRow>&) override { return absl::OkStatus(); }
  absl::Status CreateCredentials(const std::vector<NewCredential>&) override { return absl::OkStatus(); }
  absl::StatusOr<std::vector<Credential>> ListCredentials(const std::string&, int, const IsGone&) override {
    return std::vector<Credential>();
  }
  absl::Status ReplaceSecret(const std::string&, const std::string&) override { return absl::OkStatus(); }
  absl::Status Revoke(const std::string&) override { return absl::OkStatus(); }
  absl::StatusOr<std::vector<ListedAuditRow>> ListAudit(const AuditQuery&, const IsGone&) override {
    return std::vector<ListedAuditRow>();
  }
};

// What a call's thread pays; the log's own thread frees the rows meanwhile. `dropped` should be 0: dropping is cheaper.
void AuditAppend(benchmark::State& state) {
  StoreThatTakesAll store;
  AuditLog audit(store, AuditLog::Options());
  AuditRow pattern;
  pattern.user_id = UserNumber(1);
  pattern.request_id = kRequestId;
  pattern.tool = kTool;
  pattern.params_json = pattern.result_json = JsonOfSize(kUsualBytes);
  pattern.success = true;
  for (auto _ : state) audit.Append(pattern);
  if (!audit.Flush(std::chrono::minutes(1))) state.SkipWithError("rows not written");
  state.counters["dropped"] = static_cast<double>(audit.counters().dropped);
  CountItems(state, 1);
}
BENCHMARK(AuditAppend)->UseRealTime();

// What a call's threads pay from its beginning to its end, without a spool (0) and with one (1); `inflight` calls are
// between the two. As above, `dropped` and `unspooled` should be 0.
void AuditBeginAndSettle(benchmark::State& state) {
  const bool spooled = state.range(0) != 0;
  const size_t in_flight = state.range(1);
  std::string directory = "/tmp/toolwire_bench_XXXXXX";
  if (spooled && mkdtemp(directory.data()) == nullptr) return state.SkipWithError("no directory");
  {
    StoreThatTakesAll store;
    AuditLog::Options options;
    if (spooled) options.spool.directory = directory + "/spool";
    AuditLog audit(store, options);
    const std::string user_id = UserNumber(1), json = JsonOfSize(200);
    const auto begin = [&] { return audit.Begin({user_id, kRequestId, kTool, json, 1'700'000'000'000}); };
    AuditRow pattern;
    pattern.user_id = user_id;
    pattern.request_id = kRequestId;
    pattern.tool = kTool;
    pattern.params_json = pattern.result_json = json;
    pattern.success = true;
    std::vector<AuditTicket> tickets;
    for (size_t i = 0; i < in_flight; ++i) tickets.push_back(begin());
    Ring ring(in_flight);
    for (auto _ : state) {
      const size_t i = ring.Next();
      audit.Settle(std::exchange(tickets[i], begin()), pattern);
    }
    for (const AuditTicket& ticket : tickets) audit.Settle(ticket, pattern);
    if (!audit.Flush(std::chrono::minutes(1))) state.SkipWithError("rows not written");
    state.counters["dropped"] = static_cast<double>(audit.counters().dropped);
    state.counters["unspooled"] = static_cast<double>(audit.counters().spool_errors);
  }
  std::filesystem::remove_all(directory);
  CountItems(state, 1);
}
BENCHMARK(AuditBeginAndSettle)->ArgNames({"spool", "inflight"})->ArgsProduct({{0, 1}, {64, 10000}})->UseRealTime();

// A frame that waits for nothing becomes a record, and is acknowledged.
void SayNow(benchmark::State& state) {
  v1::ControlFrame frame;
  *frame.add_deliveries() = MakeDeliver("user_1", JsonOfSize(kUsualBytes));
  RecordSender sender(64u << 20, LinkLimits(16u << 20));
  const MonoTime now = std::chrono::steady_clock::now();
  uint64_t said = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(frame.ByteSizeLong());  // As Link does.
    benchmark::DoNotOptimize(sender.SayNow(frame, now));
    sender.Taken();
    sender.Acked(++said, now);
  }
  CountItems(state, 1);
}
BENCHMARK(SayNow);

// So many calls are pushed one by one and leave together.
void PushAndNext(benchmark::State& state) {
  const size_t calls = state.range(0);
  const v1::Deliver pattern = MakeDeliver("user_1", JsonOfSize(kUsualBytes));
  RecordSender sender(64u << 20, LinkLimits(16u << 20));
  const MonoTime now = std::chrono::steady_clock::now();
  uint64_t said = 0, call_id = 0;
  std::string_view record;
  for (auto _ : state) {
    for (size_t i = 0; i < calls; ++i) {
      v1::ControlFrame frame;
      *frame.add_deliveries() = pattern;
      frame.mutable_deliveries(0)->set_call_id(++call_id);
      for (LinkItem& item : ItemsOf(std::move(frame), now)) sender.Push(std::move(item));
    }
    while (sender.Next(now, &record)) sender.Acked(++said, now);
  }
  if (sender.waiting_bytes() != 0) state.SkipWithError("not all has left");
  CountItems(state, calls);
}
BENCHMARK(PushAndNext)->Arg(1)->Arg(64);

}  // namespace
}  // namespace toolwire

BENCHMARK_MAIN();
