// Leases in a Redis that forgets: keys that were evicted, deleted or are of a wrong type, a server that was emptied,
// and edges of the version before beside edges of this one.
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/registry/redis_registry.h"
#include "tests/contract/redis_fixture.h"
#include "tests/contract/redis_scripts_before.h"
#include "tests/support/await.h"

namespace toolwire {
namespace {

using std::chrono::milliseconds;

class RedisLeasesTest : public RedisTest {
 protected:
  void SetUp() override {
    RedisTest::SetUp();
    options_.command_channels = true;
    options_.status_keys = true;
  }
  // Publishes a command for the user and waits until this edge has it.
  void Command(Node& to, const std::string& message) {
    server_->Text({"PUBLISH", "agent:user:commands", message});
    Await([&] { return !to.commands().empty() && to.commands().back() == message; });
  }
  // The key of the user's record.
  std::string RecordKey() {
    const auto keys = *server_->Command({"KEYS", "toolwire:epochs:*"});
    EXPECT_EQ(keys.items.size(), 1u);
    return keys.items.empty() ? "" : keys.items[0].text;
  }
};

// --- keys that are gone ----------------------------------------------------------------------------------------------

TEST_F(RedisLeasesTest, AClaimEndsTheLeaseElsewhereWhateverRedisHasForgotten) {
  for (const std::string lost : {"readable keys", "record", "both", "everything"}) {
    server_->Text({"FLUSHALL"});
    options_.edge_refresh = milliseconds(20);
    const auto first = MakeEdge("edge_1"), second = MakeEdge("edge_2"), third = MakeEdge("edge_3");
    const uint64_t older = first->Claim("user");
    Command(*first, "1");
    if (lost == "record" || lost == "both") server_->Text({"DEL", RecordKey()});
    if (lost == "readable keys" || lost == "both") server_->Text({"DEL", "agent:user:server", "agent:user:status"});
    if (lost == "everything") server_->Text({"FLUSHALL"});
    const uint64_t newer = second->Claim("user");
    EXPECT_GT(newer, older);
    Await([&] { return first->replaced("user") == newer; });
    Command(*second, "2");
    EXPECT_EQ(first->commands().size(), 1u) << lost;
    EXPECT_EQ(second->replaced("user"), 0u) << lost;
    second->Refresh();
    Await([&] { return second->EdgeOf("user") == "edge_2"; });
  }
}

TEST_F(RedisLeasesTest, LeaseWhoseReadableKeysAreGoneIsKeptAndReadableAgain) {
  const auto edge = MakeEdge("edge_1");
  const uint64_t epoch = edge->Claim("user");
  server_->Text({"DEL", "agent:user:server", "agent:user:status"});
  edge->Refresh();
  EXPECT_EQ((*edge->Lookup("user"))->epoch, epoch);
  EXPECT_EQ(server_->Text({"GET", "agent:user:status"}), "connected");
  Command(*edge, "1");
}

TEST_F(RedisLeasesTest, OfTwoEdgesThatMakeTheLeaseAgainTheNewerHasIt) {
  const auto first = MakeEdge("edge_1"), second = MakeEdge("edge_2");
  const uint64_t older = first->Claim("user");
  const uint64_t newer = second->Claim("user");
  Await([&] { return first->replaced("user") == newer; });
  server_->Text({"FLUSHALL"});
  first->Hold("user", older);  // As if it had been paused.
  first->Refresh();
  Await([&] { return second->EdgeOf("user") == "edge_2"; });
  EXPECT_EQ((*second->Lookup("user"))->epoch, newer);
  Command(*second, "1");
  EXPECT_TRUE(first->commands().empty());
}

TEST_F(RedisLeasesTest, EmptiedRedisIsNoticedByOneEdgeAndReportedByAll) {
  const auto slow = MakeEdge("edge_1");  // It looks after 5 s.
  slow->Claim("user");
  server_->Text({"FLUSHALL"});
  const auto other = MakeEdge("edge_2");
  Await([&] { return slow->EdgeOf("user") == "edge_1"; });
  EXPECT_EQ(server_->Text({"EXISTS", "toolwire:generation"}), "1");
}

TEST_F(RedisLeasesTest, RecordsOfUsersWithoutALeaseAreRemovedWhenTheyAreOld) {
  options_.edge_refresh = milliseconds(1);
  options_.record_life = milliseconds(0);
  const auto edge = MakeEdge("edge_1");
  edge->Claim("user");
  const std::string record = RecordKey();
  edge->Claim("other");
  edge->Release("user");
  Await([&] { return server_->Text({"EXISTS", record}) == "0"; });
  EXPECT_NE(RecordKey(), record) << "who has a lease keeps it";
}

// --- keys that are broken --------------------------------------------------------------------------------------------

TEST_F(RedisLeasesTest, KeysOfOneUserOfAWrongTypeStopNobodyElse) {
  const auto edge = MakeEdge("edge_1");
  std::vector<std::string> users;
  for (int i = 0; i < 30; ++i) users.push_back(absl::StrCat("user_", i));
  for (const std::string& user : users) edge->Claim(user);
  server_->Text({"DEL", "agent:user_7:server"});
  server_->Text({"RPUSH", "agent:user_7:server", "x"});
  const std::string broken = server_->Text({"EVAL",
                                            "for _, key in ipairs(redis.call('KEYS', 'toolwire:epochs:*')) do "
                                            "  if redis.call('HEXISTS', key, 'user_9') == 1 then return key end "
                                            "end",
                                            "0"});
  server_->Text({"SET", broken, "x"});
  for (const std::string& user : users) server_->Text({"PEXPIRE", absl::StrCat("agent:", user, ":server"), "60000"});
  ::testing::internal::CaptureStderr();
  edge->Refresh();
  EXPECT_EQ(edge->EdgeOf("user_29"), "edge_1");
  const std::string log = ::testing::internal::GetCapturedStderr();
  for (const std::string& user : users) {
    const int64_t left = std::stoll(server_->Text({"PTTL", absl::StrCat("agent:", user, ":server")}));
    EXPECT_EQ(left > 60'000, user != "user_9") << user;
  }
  EXPECT_EQ(edge->EdgeOf("user_7"), "edge_1") << "the key of a wrong type was written over";
  EXPECT_NE(log.find("redis cannot change a lease"), std::string::npos) << log;
  EXPECT_NE(log.find(broken), std::string::npos) << log;
}

TEST_F(RedisLeasesTest, KeysOfEdgesOfAWrongTypeAreWrittenOverAndStopNobody) {
  options_.edge_refresh = milliseconds(20);
  const auto first = MakeEdge("edge_1"), second = MakeEdge("edge_2");
  int claims = 0;
  for (const std::string key : {"edge:edge_1", "toolwire:edges", "toolwire:old-channels", "toolwire:generation",
                                "toolwire:probe", "edge:edge_3"}) {
    server_->Text({"EVAL", "redis.call('DEL', KEYS[1]) return redis.call('ZADD', KEYS[1], 1, 'x')", "1", key});
    const auto third = MakeEdge("edge_3");
    third->Claim(absl::StrCat("user_", ++claims));
    Await([&] {
      Answer<absl::StatusOr<std::vector<std::string>>> listed;
      second->registry().ListEdges(listed);
      const auto edges = listed.Take();
      return edges.ok() && edges->size() == 3;
    });
    EXPECT_EQ(second->EdgeOf(absl::StrCat("user_", claims)), "edge_3") << key;
  }
  EXPECT_EQ(server_->Text({"TYPE", "toolwire:edges"}), "set");
}

// --- environments ----------------------------------------------------------------------------------------------------

TEST_F(RedisLeasesTest, EnvironmentsInDatabasesOfOneServerDoNotHearEachOther) {
  options_.command_channels = false;
  const auto one = MakeEdge("edge_1"), one_more = MakeEdge("edge_2");
  const RedisRegistry::Options ours = options_;
  options_.url = absl::StrCat(ours.url, "/1");
  const auto other = MakeEdge("edge_1"), other_more = MakeEdge("edge_2");
  one->Claim("user");
  other->Claim("user");
  const uint64_t newer = other_more->Claim("user");
  Await([&] { return other->replaced("user") == newer; });
  EXPECT_EQ(one->replaced("user"), 0u);
  EXPECT_EQ(one_more->EdgeOf("user"), "edge_1");
}

TEST_F(RedisLeasesTest, OneEnvironmentOfAServerServesTheOldChannels) {
  options_.edge_refresh = milliseconds(20);
  options_.edge_ttl = milliseconds(2000);  // Longer than a busy machine stands still.
  auto first = MakeEdge("edge_1");
  first->Claim("user");
  const RedisRegistry::Options ours = options_;
  options_.url = absl::StrCat(ours.url, "/1");
  options_.claim_wait_max = milliseconds(200);
  Node second(options_, "edge_1");
  second.Join();
  Await([&] { return absl::StrContains(second.StartClaim("user").Take().status().message(), "environment"); });
  EXPECT_FALSE(second.registry().connected());
  Command(*first, "1");
  EXPECT_TRUE(second.commands().empty());
  server_->Text({"FLUSHALL"});  // Which is no chance for the other one.
  Command(*first, "2");
  EXPECT_FALSE(second.StartClaim("user").Take().ok());
  first.reset();
  Await([&] { return second.StartClaim("user").Take().ok(); });
  EXPECT_TRUE(second.registry().connected());
}

// --- the version before ----------------------------------------------------------------------------------------------

// An edge of the version before, as far as Redis sees it.
class EdgeBefore {
 public:
  EdgeBefore(RedisServer& server, Node& listener, std::string id) : server_(server), id_(std::move(id)) {
    Answer<bool> subscribed;
    listener.registry().Subscribe(
        absl::StrCat("edge:", id_, ":leases"),
        [this](std::string mark) {
          std::lock_guard<std::mutex> lock(mu_);
          marks_.push_back(std::move(mark));
        },
        [subscribed] { subscribed(true); });
    subscribed.Take();
    server_.Text({"SET", absl::StrCat("edge:", id_), "{}"});
  }
  uint64_t Claim() { return std::stoull(Run(kBeforeClaim, {"user", Hash(), id_, "120000", "1"}).text); }
  int64_t Refresh(uint64_t epoch) {
    return Run(kBeforeRefresh, {id_, "120000", "1", "user", Hash(), std::to_string(epoch)}).items.at(0).integer;
  }
  int64_t Release(uint64_t epoch) { return Run(kBeforeRelease, {"user", Hash(), id_, std::to_string(epoch)}).integer; }
  RedisReply Lookup() { return Run(kBeforeLookup, {"user", Hash()}); }
  bool WasReplacedBy(uint64_t epoch) {
    std::lock_guard<std::mutex> lock(mu_);
    return !marks_.empty() && marks_.back() == absl::StrCat("replaced ", epoch, " user");
  }

 private:
  // Where this version has the user's record, once there is one.
  std::string Hash() {
    const auto keys = *server_.Command({"KEYS", "toolwire:epochs:*"});
    return keys.items.empty() ? "" : keys.items[0].text.substr(std::string("toolwire:epochs:").size());
  }
  RedisReply Run(const char* script, std::vector<std::string> args) {
    args.insert(args.begin(), {"EVAL", absl::StrCat(kBeforeCommon, script), "0"});
    auto reply = server_.Command(args);
    EXPECT_TRUE(reply.ok()) << reply.status();
    return reply.value_or(RedisReply());
  }

  RedisServer& server_;
  const std::string id_;
  std::mutex mu_;
  std::vector<std::string> marks_;  // Guarded by mu_.
};

TEST_F(RedisLeasesTest, NewestWinsBetweenEdgesOfThisVersionAndTheOneBefore) {
  const auto edge = MakeEdge("edge_new");
  EdgeBefore before(*server_, *edge, "edge_old");
  const uint64_t first = edge->Claim("user");
  EXPECT_EQ(before.Lookup().items.at(1).text, std::to_string(first));
  const uint64_t second = before.Claim();
  EXPECT_GT(second, first);
  Await([&] { return edge->replaced("user") == second; });
  EXPECT_EQ(edge->EdgeOf("user"), "edge_old");
  const uint64_t third = edge->Claim("user");
  EXPECT_GT(third, second);
  Await([&] { return before.WasReplacedBy(third); });
  EXPECT_EQ(static_cast<uint64_t>(before.Refresh(second)), third);
  EXPECT_EQ(before.Release(second), 0);
  EXPECT_EQ(edge->EdgeOf("user"), "edge_new");
}

TEST_F(RedisLeasesTest, EdgesOfTheVersionBeforeDoNotMakeAgainWhatThisOneReleased) {
  const auto edge = MakeEdge("edge_new");
  EdgeBefore before(*server_, *edge, "edge_old");
  edge->Claim("user");
  const uint64_t theirs = before.Claim();
  const uint64_t ours = edge->Claim("user");
  edge->Release("user");
  EXPECT_EQ(edge->EdgeOf("user"), "");
  EXPECT_GT(static_cast<uint64_t>(before.Refresh(theirs)), ours);
  EXPECT_EQ(edge->EdgeOf("user"), "");
  EXPECT_GT(before.Claim(), ours);
  EXPECT_EQ(edge->EdgeOf("user"), "edge_old");
}

}  // namespace
}  // namespace toolwire
