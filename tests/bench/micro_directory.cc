// What an event of one agent costs beside watchers whom it does not concern, and what watching costs. A part of
// micro_bench.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "control/agent_directory.h"
#include "tests/bench/micro_load.h"

namespace toolwire {
namespace {

using Events = google::protobuf::RepeatedPtrField<v1::SessionEvent>;

Events EventOf(const std::string& user_id, uint64_t epoch) {
  Events events;
  v1::SessionEvent* const event = events.Add();
  event->set_user_id(user_id);
  event->set_epoch(epoch);
  event->set_connected(true);
  return events;
}

std::string User(int64_t n) { return "user_" + std::to_string(n); }

void Connect(int64_t agents, AgentDirectory* directory) {
  for (int64_t i = 0; i < agents; ++i) directory->Apply("edge-1", EventOf(User(i), 1));
}

// One agent moves; nobody watches it.
void Move(benchmark::State& state, AgentDirectory* directory) {
  uint64_t epoch = 1;
  for (auto _ : state) directory->Apply("edge-1", EventOf(User(0), ++epoch));
}

void EventBesideWatchersOfOneUserEach(benchmark::State& state) {
  AgentDirectory directory;
  Connect(100'000, &directory);
  for (int64_t i = 1; i <= state.range(0); ++i) {
    directory.Continue(directory.Watch({User(i)}, [](const AgentDirectory::WatchBytes&) {}));
  }
  Move(state, &directory);
}
BENCHMARK(EventBesideWatchersOfOneUserEach)->Arg(0)->Arg(1000)->Arg(10'000);

void EventBesideWatchersOfPrefixes(benchmark::State& state) {
  AgentDirectory directory;
  for (int64_t i = 1; i <= state.range(0); ++i) {
    const UserBound bound{UserBound::Kind::kPrefix, "shop_" + std::to_string(i) + "_"};
    directory.Continue(directory.Watch({}, [](const AgentDirectory::WatchBytes&) {}, bound));
  }
  Connect(100'000, &directory);
  Move(state, &directory);
}
BENCHMARK(EventBesideWatchersOfPrefixes)->Arg(0)->Arg(1000)->Arg(4000);

// A watch of its own for one user of 100,000, as each waiting call had: opened, reported and closed.
void WatchOneUser(benchmark::State& state) {
  AgentDirectory directory;
  Connect(100'000, &directory);
  Ring ring(100'000);
  for (auto _ : state) {
    const uint64_t watch_id = directory.Watch({User(ring.Next())}, [](const AgentDirectory::WatchBytes&) {});
    directory.Continue(watch_id);
    directory.Unwatch(watch_id);
  }
}
BENCHMARK(WatchOneUser);

// A watch with all names again for each new user, as clients do that have no FollowAgents.
void WatchAgainWithOneMore(benchmark::State& state) {
  AgentDirectory directory;
  Connect(100'000, &directory);
  std::set<std::string> users;
  for (int64_t i = 0; i < state.range(0); ++i) users.insert(User(i));
  for (auto _ : state) {
    const uint64_t watch_id = directory.Watch(users, [](const AgentDirectory::WatchBytes&) {});
    while (!directory.Continue(watch_id)) continue;
    directory.Unwatch(watch_id);
  }
}
BENCHMARK(WatchAgainWithOneMore)->Arg(100)->Arg(6000);

void FollowOneMore(benchmark::State& state) {
  AgentDirectory directory;
  Connect(100'000, &directory);
  const uint64_t watch_id = directory.WatchNamed([](const AgentDirectory::WatchBytes&) {});
  AgentDirectory::Followed followed;
  for (int64_t i = 0; i < state.range(0); ++i) directory.Follow(watch_id, {User(i)}, 10'000, &followed);
  const std::string user_id = User(50'000);
  for (auto _ : state) {
    directory.Follow(watch_id, {user_id}, 10'000, &followed);
    directory.Unfollow(watch_id, {user_id}, &followed);
  }
}
BENCHMARK(FollowOneMore)->Arg(100)->Arg(6000);

// An edge goes with its agents.
void EdgeGoes(benchmark::State& state) {
  for (auto _ : state) {
    state.PauseTiming();
    AgentDirectory directory;
    Connect(state.range(0), &directory);
    for (int64_t i = 0; i < 1000; ++i) {
      directory.Continue(directory.Watch({User(i)}, [](const AgentDirectory::WatchBytes&) {}));
    }
    state.ResumeTiming();
    directory.RemoveEdge("edge-1", 1);
    state.PauseTiming();
    if (directory.size() != 0) state.SkipWithError("agents are left");
    state.ResumeTiming();
  }
  CountItems(state, state.range(0));
}
BENCHMARK(EdgeGoes)->Arg(100'000)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace toolwire
