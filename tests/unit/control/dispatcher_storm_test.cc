// Everything at once: a random world, and many threads.
#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/unit/control/dispatcher_fixture.h"

namespace toolwire {
namespace {

// Random events in a random order. The edges tell the truth about what left for an agent, and write it down: nothing
// that left may be delivered again, and nothing that is reported NOT_SENT may ever have left.
class DispatcherStormTest : public DispatcherTest {
 protected:
  static constexpr int kEdges = 3;
  static constexpr int kUsers = 4;

  // A delivery, from the moment that control hands it to a link until the edge is rid of it.
  struct Held {
    v1::Deliver deliver;
    bool arrived = false;  // Else it waits in this process.
    bool left = false;     // The agent has it.
  };
  struct StormEdge {
    std::string id;
    LinkedEdge link;  // No number: down.
    bool full = false;
    std::map<uint64_t, Held> held;
  };

  int Random(int below) { return static_cast<int>(random_() % static_cast<unsigned>(below)); }
  bool Chance(int percent) { return Random(100) < percent; }
  std::string RandomUser() { return "user_" + std::to_string(Random(kUsers)); }
  StormEdge& RandomEdge() { return edges_[Random(kEdges)]; }
  // A delivery at that edge that `fits`.
  Held* RandomHeld(StormEdge* edge, const std::function<bool(const Held&)>& fits) {
    std::vector<Held*> fitting;
    for (auto& [call_id, held] : edge->held) {
      if (fits(held)) fitting.push_back(&held);
    }
    return fitting.empty() ? nullptr : fitting[Random(static_cast<int>(fitting.size()))];
  }

  void SetUpStorm(unsigned seed) {
    random_.seed(seed);
    for (int i = 0; i < kEdges; ++i) edges_[i].id = "edge_" + std::to_string(i);
    registry_.SetJudge([this](const std::string&) -> ScriptedRegistry::Answer {
      if (Chance(5)) return absl::UnavailableError("no route");
      if (Chance(10)) return std::optional<Lease>();
      return std::optional<Lease>(Lease{RandomEdge().id, NextEpoch()});
    });
  }
  uint64_t NextEpoch() { return Chance(80) ? ++epoch_ : epoch_; }

  bool Take(StormEdge* edge, const v1::ControlFrame& frame) {
    if (edge->link.number == 0 || edge->full) return false;
    for (const v1::Deliver& deliver : frame.deliveries()) {
      EXPECT_EQ(left_.count(deliver.call_id()), 0u) << "delivered again although it left";
      EXPECT_EQ(outstanding_[deliver.call_id()]++, 0) << "delivered while another edge may have it";
      EXPECT_GT(deliver.timeout_us(), -1);
      edge->held[deliver.call_id()].deliver = deliver;
    }
    return true;
  }

  // --- events ---
  void LinkUp(StormEdge* edge) {
    if (edge->link.number != 0) return;
    edge->link = LinkedEdge();
    edge->full = false;
    edge->link.edge->SetJudge([this, edge](const v1::ControlFrame& frame) { return Take(edge, frame); });
    edge->link.number = dispatcher_.LinkUp(edge->id, edge->link.edge);
    if (Chance(70)) Connect(edge->link, RandomUser(), NextEpoch());
  }
  void LinkDown(StormEdge* edge) {
    if (edge->link.number == 0) return;
    std::vector<uint64_t> unsent;
    for (auto it = edge->held.begin(); it != edge->held.end();) {
      if (!it->second.arrived && Chance(70)) {
        unsent.push_back(it->first);
        --outstanding_[it->first];
      } else if (it->second.left || Chance(50)) {
        // The edge goes on without the link: the agent may get the call and answer whoever listens then.
        left_.insert(it->first);
        strays_.push_back(it->second.deliver);
      }
      it = edge->held.erase(it);
    }
    const uint64_t number = std::exchange(edge->link.number, 0);
    dispatcher_.LinkDown(number, unsent);
  }
  void BeginSome() {
    std::vector<Call> calls;
    for (int i = Random(4); i >= 0; --i) {
      const bool same = !ids_.empty() && Chance(10);
      const auto [user_id, request_id] =
          same ? ids_[Random(static_cast<int>(ids_.size()))] : std::pair<std::string, std::string>(RandomUser(), "");
      calls.push_back(MakeCall(user_id, request_id, milliseconds(Random(3000))));
      ids_.emplace_back(user_id, calls.back().request_id);
      call_ids_.push_back(calls.back().call_id);
    }
    dispatcher_.Begin(std::move(calls));
  }
  void CancelSome() {
    if (call_ids_.empty()) return;
    std::vector<uint64_t> cancels;
    for (int i = Random(3); i >= 0; --i) cancels.push_back(call_ids_[Random(static_cast<int>(call_ids_.size()))]);
    dispatcher_.Cancel(cancels);
  }
  void Finish(StormEdge* edge, Held* held, R::Cause cause) {
    const uint64_t call_id = held->deliver.call_id();
    const Delivery delivery = held->left ? E::SENT : E::NOT_SENT;
    if (held->left && cause == R::SESSION_LOST) strays_.push_back(held->deliver);
    if (!held->left) --outstanding_[call_id];
    edge->held.erase(call_id);
    Refuse(edge->link, call_id, cause, delivery);
  }
  void EdgeActs(StormEdge* edge) {
    if (edge->link.number == 0) return;
    const auto is_new = [](const Held& held) { return !held.arrived; };
    const auto waits = [](const Held& held) { return held.arrived && !held.left; };
    const auto left = [](const Held& held) { return held.left; };
    const auto here = [](const Held& held) { return held.arrived; };
    switch (Random(7)) {
      case 0:
      case 1:
        if (Held* held = RandomHeld(edge, is_new)) {
          held->arrived = true;
          const R::Cause causes[] = {R::NOT_HERE, R::EDGE_UNAVAILABLE, R::AGENT_BUSY, R::DUPLICATE_REQUEST};
          if (Chance(40)) Finish(edge, held, causes[Random(4)]);
        }
        return;
      case 2:
      case 3:
        if (Held* held = RandomHeld(edge, waits)) {
          held->left = true;
          left_.insert(held->deliver.call_id());
        }
        return;
      case 4:
        if (Held* held = RandomHeld(edge, left)) {
          const v1::Deliver deliver = held->deliver;
          edge->held.erase(deliver.call_id());
          AnswerTo(*edge, deliver);
          if (Chance(20)) AnswerTo(*edge, deliver);
          if (Chance(20)) strays_.push_back(deliver);
        }
        return;
      case 5:
        if (Held* held = RandomHeld(edge, here)) {
          const R::Cause causes[] = {R::TIMED_OUT, R::CANCELLED, R::SESSION_LOST, R::SESSION_LOST};
          Finish(edge, held, held->left && Chance(20) ? R::ANSWER_LOST : causes[Random(4)]);
        }
        return;
      case 6:
        edge->full = Chance(30);
        return;
    }
  }
  void AnswerTo(const StormEdge& edge, const v1::Deliver& deliver) {
    Answer(edge.link, deliver.call_id(), "\"" + deliver.user_id() + " " + deliver.request_id() + "\"");
  }
  void SendStray(StormEdge* edge) {
    if (strays_.empty() || edge->link.number == 0) return;
    const v1::Deliver& deliver = strays_[Random(static_cast<int>(strays_.size()))];
    v1::EdgeFrame frame;
    v1::StrayAnswer* stray = frame.add_strays();
    stray->set_user_id(deliver.user_id());
    stray->set_request_id(deliver.request_id());
    stray->mutable_answer()->set_success(true);
    stray->mutable_answer()->set_result_json("\"" + deliver.user_id() + " " + deliver.request_id() + "\"");
    dispatcher_.Receive(edge->link.number, std::move(frame));
  }
  void SessionEvent(StormEdge* edge) {
    if (edge->link.number == 0) return;
    v1::EdgeFrame frame;
    v1::SessionEvent* event = frame.add_sessions();
    event->set_user_id(RandomUser());
    event->set_epoch(NextEpoch());
    event->set_connected(Chance(70));
    dispatcher_.Receive(edge->link.number, std::move(frame));
  }
  void Step() {
    const int what = Random(100);
    if (what < 20) return BeginSome();
    if (what < 65) return EdgeActs(&RandomEdge());
    if (what < 72) return CancelSome();
    if (what < 78) return Advance(milliseconds(Random(300)));
    if (what < 82) return SendStray(&RandomEdge());
    if (what < 87) return SessionEvent(&RandomEdge());
    if (what < 91) return LinkUp(&RandomEdge());
    if (what < 93) return LinkDown(&RandomEdge());
    if (what < 95) return registry_.Hold();
    if (what < 96) return registry_.LetGo();
    registry_.AnswerNext();
  }

  // What is true of every call at the end, besides what TearDown checks.
  void CheckTruth() {
    for (const auto& [id, call] : begun_) {
      const std::vector<v1::DispatchAnswer> outcomes = sink_->Of(id);
      ASSERT_EQ(outcomes.size(), 1u);
      SCOPED_TRACE(call.tool + ": " + Describe(outcomes[0]));
      if (outcomes[0].has_response()) {
        EXPECT_EQ(outcomes[0].response().result_json(), "\"" + call.user_id + " " + call.request_id + "\"");
      } else if (outcomes[0].failure().detail().delivery() == E::NOT_SENT) {
        EXPECT_EQ(left_.count(call.call_id), 0u) << "reported NOT_SENT, but it left";
        EXPECT_EQ(outstanding_[call.call_id], 0) << "reported NOT_SENT, but an edge may have it";
      }
      ++seen_[Describe(outcomes[0]).substr(0, 7) == "success" ? "success" : Describe(outcomes[0])];
    }
  }

  std::mt19937 random_;
  StormEdge edges_[kEdges];
  uint64_t epoch_ = 0;
  std::vector<uint64_t> call_ids_;
  std::vector<std::pair<std::string, std::string>> ids_;  // User and request ids that were used.
  std::set<uint64_t> left_;                               // Calls that some agent may have got.
  std::map<uint64_t, int> outstanding_;                   // Deliveries of each call that were not taken back.
  std::vector<v1::Deliver> strays_;                       // Answers that may come through another session.
  std::map<std::string, int> seen_;
};

// One seed in one fixture, so that TearDown checks each.
class DispatcherStorm : public DispatcherStormTest, public ::testing::WithParamInterface<unsigned> {};

TEST_P(DispatcherStorm, EveryCallSettlesOnceAndTheTruthIsTold) {
  SCOPED_TRACE(::testing::Message() << "seed " << GetParam());
  SetUpStorm(GetParam());
  for (StormEdge& edge : edges_) LinkUp(&edge);
  for (int step = 0; step < 1500 && !HasFailure(); ++step) Step();
  if (GetParam() % 2 == 0) {
    // Time alone settles everything, whatever the edges and the registry still owe.
    dispatcher_.StopAccepting();
    for (int i = 0; i < 500; ++i) Advance(kTick);
    EXPECT_TRUE(dispatcher_.WaitIdle(Duration::zero()));
  } else {
    dispatcher_.FailAll();
  }
  EXPECT_EQ(dispatcher_.in_flight(), 0u);
  const size_t settled = sink_->settled();
  CheckTruth();
  // Whatever comes now concerns nobody.
  for (int step = 0; step < 100; ++step) {
    EdgeActs(&RandomEdge());
    SendStray(&RandomEdge());
    registry_.AnswerNext();
    Advance(seconds(1));
  }
  EXPECT_EQ(sink_->settled(), settled);
  for (const char* outcome : {"success", "CALL_TIMEOUT NOT_SENT", "CALL_TIMEOUT SENT", "CALLER_CANCELLED NOT_SENT",
                              "AGENT_LOST SENT", "EDGE_UNAVAILABLE NOT_SENT"}) {
    EXPECT_GT(seen_[outcome], 0) << "this storm is too mild: no call ended with " << outcome;
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, DispatcherStorm, ::testing::Range(1u, 31u),
                         [](const auto& info) { return "Seed" + std::to_string(info.param); });

// Callers, edges, the registry and the ticker on threads of their own, as in production.
TEST_F(DispatcherTest, CallsFromManyThreadsSettleOnceEach) {
  constexpr int kCallers = 3;
  constexpr int kCallsEach = 300;
  registry_.SetLease(kUser, "edge_a", 1);
  LinkedEdge edge = LinkWithAgent("edge_a", 1);
  // Answers one call in two, from the thread that sends.
  std::atomic<uint64_t> link_number{edge.number};
  const auto judge = [&](const v1::ControlFrame& frame) {
    for (const v1::Deliver& deliver : frame.deliveries()) {
      if (deliver.call_id() % 2 == 0) Answer(LinkedEdge{nullptr, link_number.load()}, deliver.call_id());
    }
    return true;
  };
  edge.edge->SetJudge(judge);
  std::vector<std::vector<Call>> calls(kCallers);
  for (auto& each : calls) {
    for (int i = 0; i < kCallsEach; ++i) each.push_back(MakeCall(kUser, "", std::chrono::hours(1)));
  }
  std::atomic<bool> done{false};
  std::thread ticker([&] {
    while (!done) {
      Advance(milliseconds(5));
      std::this_thread::yield();
    }
  });
  std::thread links([&] {
    while (!done) {
      LinkedEdge next;
      next.edge->SetJudge(judge);
      next.number = dispatcher_.LinkUp("edge_a", next.edge);
      link_number = next.number;
      Connect(next, kUser, 1);
      std::this_thread::yield();
    }
  });
  std::vector<std::thread> callers;
  for (auto& each : calls) {
    callers.emplace_back([&] {
      for (Call& call : each) {
        const uint64_t call_id = call.call_id;
        Begin(std::move(call));
        if (call_id % 3 == 0) dispatcher_.Cancel({call_id});
        if (call_id % 5 == 0) {
          Refuse(LinkedEdge{nullptr, link_number.load()}, call_id, R::SESSION_LOST, E::NOT_SENT);
        }
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  done = true;
  ticker.join();
  links.join();
  dispatcher_.StopAccepting();
  dispatcher_.FailAll();
  EXPECT_TRUE(dispatcher_.WaitIdle(kForever));
  EXPECT_EQ(sink_->settled(), static_cast<size_t>(kCallers * kCallsEach));
}

}  // namespace
}  // namespace toolwire
