// The conversation with one Redis server: connections that are dead and look alive, names that lead to another server,
// servers that answer and refuse, and bytes that take their time.
#include <gtest/gtest.h>

#include <asio.hpp>
#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/registry/name_lookup.h"
#include "common/registry/redis_registry.h"
#include "common/registry/redis_socket.h"
#include "tests/contract/redis_fixture.h"
#include "tests/support/await.h"
#include "tests/support/middle.h"

namespace toolwire {
namespace {

using std::chrono::milliseconds;

size_t CountOf(const std::string& text, const std::string& word) {
  size_t count = 0;
  for (size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) ++count;
  return count;
}

class RedisConversationTest : public RedisTest {
 protected:
  void SetUp() override {
    RedisTest::SetUp();
    options_.command_channels = true;
    options_.ping_every = milliseconds(50);
  }
  void LeadThrough(const Middle& middle) { options_.url = absl::StrCat("redis://127.0.0.1:", middle.port()); }
  // A command for the user reaches the edge.
  void ExpectHears(Node& edge, RedisServer& server) {
    Await([&] {
      server.Text({"PUBLISH", "agent:user:commands", "x"});
      return !edge.commands().empty();
    });
  }
};

TEST_F(RedisConversationTest, SubscriptionThatIsDeadBehindAProxyIsMadeAgain) {
  Middle middle(server_->port());
  LeadThrough(middle);
  options_.command_timeout = milliseconds(1000);  // A busy machine stands still for less.
  const auto edge = MakeEdge("edge_1");
  edge->Claim("user");
  middle.Deafen("SUBSCRIBE");
  ExpectHears(*edge, *server_);
  EXPECT_GE(edge->restored(), 1);
}

TEST_F(RedisConversationTest, CommandsAndSubscriptionsGoToTheSameServer) {
  RedisServer other;
  Middle middle(server_->port());
  LeadThrough(middle);
  const auto edge = MakeEdge("edge_1");
  edge->Claim("user");
  middle.LeadTo(other.port());
  server_->Text({"CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"});
  ExpectHears(*edge, other);
  EXPECT_EQ(other.Text({"GET", "agent:user:server"}), "edge_1");
}

TEST_F(RedisConversationTest, ServerThatRefusesWritesIsUnavailableInItsOwnWords) {
  struct Case {
    std::vector<std::string> refuse, take;
    const char* word;
  };
  for (const Case& one : {Case{{"min-replicas-to-write", "1"}, {"min-replicas-to-write", "0"}, "NOREPLICAS"},
                          Case{{"maxmemory", "1"}, {"maxmemory", "0"}, "OOM"}}) {
    ::testing::internal::CaptureStderr();
    {
      const auto edge = MakeEdge("edge_1");
      Node control(options_, "control");  // It only looks.
      control.AwaitConnected();
      edge->Claim("user");
      server_->Text({"CONFIG", "SET", one.refuse[0], one.refuse[1]});
      edge->AwaitLost();
      control.AwaitLost();
      // Edges cannot write who they are, nor that somebody has come.
      const absl::Status why = control.Lookup(one.word).status();
      EXPECT_TRUE(absl::IsUnavailable(why)) << why;
      EXPECT_TRUE(absl::StrContains(why.message(), one.word)) << why;
      const auto claim = edge->StartClaim(one.word);
      server_->Text({"CONFIG", "SET", one.take[0], one.take[1]});
      EXPECT_TRUE(claim.Take().ok());
      edge->AwaitConnected();
      control.AwaitConnected();
      EXPECT_EQ(control.EdgeOf("user"), "edge_1");
    }
    const std::string log = ::testing::internal::GetCapturedStderr();
    EXPECT_EQ(CountOf(log, "redis refuses writes"), 2u) << log;  // One each.
    EXPECT_EQ(CountOf(log, "redis takes writes again"), 2u) << log;
    EXPECT_TRUE(absl::StrContains(log, one.word)) << log;
  }
}

TEST_F(RedisConversationTest, ServerThatTakesNoMessagesIsUnavailableUntilItDoes) {
  ::testing::internal::CaptureStderr();
  {
    const auto edge = MakeEdge("edge_1");
    server_->Text({"ACL", "SETUSER", "default", "-publish"});
    edge->AwaitLost();
    const auto claims = {edge->StartClaim("user"), edge->StartClaim("other")};
    server_->Text({"ACL", "SETUSER", "default", "+publish"});
    for (const auto& claim : claims) EXPECT_TRUE(claim.Take().ok());
  }
  const std::string log = ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(CountOf(log, "redis refuses writes"), 1u) << log;
  EXPECT_EQ(CountOf(log, "redis takes writes again"), 1u) << log;
}

TEST_F(RedisConversationTest, SubscriptionThatWasRefusedIsTriedAgain) {
  const auto edge = MakeEdge("edge_1");
  server_->Text({"ACL", "SETUSER", "default", "resetchannels", "&toolwire:*", "&edge:*"});
  const auto claim = edge->StartClaim("user");
  Await([&] { return edge->registry().counters().errors.value() > 0; });
  EXPECT_FALSE(claim.given());
  server_->Text({"ACL", "SETUSER", "default", "allchannels"});
  EXPECT_TRUE(claim.Take().ok());
  ExpectHears(*edge, *server_);
}

TEST_F(RedisConversationTest, WhyNoClientIsTakenIsLogged) {
  ::testing::internal::CaptureStderr();
  {
    server_->Text({"CONFIG", "SET", "maxclients", "1"});
    Node edge(options_, "edge_1");
    Await([&] { return server_->Info("stats", "rejected_connections") > 0; });
    server_->Text({"CONFIG", "SET", "maxclients", "1000"});
    edge.AwaitConnected();
  }
  const std::string log = ::testing::internal::GetCapturedStderr();
  EXPECT_TRUE(absl::StrContains(log, "max number of clients")) << log;
}

// What the kernels take says nothing of a server that stands still.
TEST_F(RedisConversationTest, ServerThatStandsStillIsLostHoweverMuchItIsAsked) {
  options_.command_timeout = milliseconds(1000);  // A busy machine stands still for less.
  const auto edge = MakeEdge("edge_1");
  server_->Pause();
  Await([&] {
    edge->registry().Publish("response:1", "x", {});
    return !edge->registry().connected();
  });
  server_->Resume();
  edge->AwaitConnected();
}

// 16 MiB at 4 MB/s: for four seconds nothing comes, but bytes go.
TEST_F(RedisConversationTest, ServerThatIsSlowToTakeALargeMessageIsNotLost) {
  Middle middle(server_->port());
  LeadThrough(middle);
  options_.command_timeout = milliseconds(2000);
  const auto edge = MakeEdge("edge_1");
  middle.Slow(32 << 10);
  Answer<absl::StatusOr<int64_t>> published;
  edge->registry().Publish("response:1", std::string(16 << 20, 'x'), published);
  const absl::StatusOr<int64_t> receivers = published.Take();
  EXPECT_TRUE(receivers.ok()) << receivers.status();
  EXPECT_EQ(edge->registry().counters().reconnects.value(), 0u);
}

TEST_F(RedisConversationTest, MessageThatIsPublishedAgainIsReceivedOnceAndOneThatNobodyReceivedIs) {
  const auto edge = MakeEdge("edge_1"), other = MakeEdge("edge_2");
  const auto publish = [&](const std::string& name) {
    Answer<absl::StatusOr<int64_t>> published;
    edge->registry().PublishOnce(name, std::chrono::seconds(60), "response:1", "x", published);
    return published.Take().value_or(-1);
  };
  EXPECT_EQ(publish("a"), 0);
  std::atomic<int> received{0};
  Answer<bool> subscribed;
  other->registry().Subscribe(
      "response:1", [&](const std::string&) { ++received; }, [&] { subscribed(true); });
  subscribed.Take();
  EXPECT_EQ(publish("a"), 1);
  EXPECT_EQ(publish("a"), 1);
  EXPECT_EQ(publish("b"), 1);
  Await([&] { return received == 2; });
  server_->Text({"CONFIG", "SET", "maxmemory", "1"});
  EXPECT_EQ(publish("c"), 1) << "which takes no keys";
  Await([&] { return received == 3; });
}

// --- names and addresses ---------------------------------------------------------------------------------------------

TEST(NameLookupTest, AddressNeedsNoThreadAndANameIsLookedUpOnOne) {
  asio::io_context io;
  NameLookup lookup(io);
  std::vector<absl::StatusOr<NameLookup::Endpoints>> found;
  const auto keep = [&](absl::StatusOr<NameLookup::Endpoints> endpoints) { found.push_back(std::move(endpoints)); };
  lookup.Start("::1", 7, keep);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0]->front().port(), 7);
  EXPECT_FALSE(lookup.is_running());
  asio::executor_work_guard<asio::io_context::executor_type> work(io.get_executor());
  lookup.Start("localhost", 8, keep);
  EXPECT_TRUE(lookup.is_running());
  io.run_one();
  ASSERT_EQ(found.size(), 2u);
  ASSERT_TRUE(found[1].ok()) << found[1].status();
  EXPECT_EQ(found[1]->front().port(), 8);
  lookup.Start("no such name", 8, keep);
  io.run_one();
  EXPECT_TRUE(absl::IsUnavailable(found[2].status()));
}

TEST(NameLookupTest, NobodyWaitsForALookUpThatWasCancelled) {
  asio::io_context io;
  {
    NameLookup lookup(io);
    lookup.Start("localhost", 8, [](const absl::StatusOr<NameLookup::Endpoints>&) { ADD_FAILURE(); });
  }
  io.run_for(milliseconds(50));
}

TEST_F(RedisTest, AddressThatSwallowsEverythingHidesNoOther) {
  asio::io_context io;
  // Its queue is full: more connects are not answered.
  asio::ip::tcp::acceptor full(io, {asio::ip::address_v4::loopback(), 0});
  full.listen(0);
  std::vector<asio::ip::tcp::socket> waiting;
  for (int i = 0; i < 4; ++i) {
    waiting.emplace_back(io).async_connect(full.local_endpoint(), [](const asio::error_code&) {});
  }
  io.run_for(milliseconds(20));
  const auto socket = std::make_shared<RedisSocket>(io, nullptr);
  absl::Status status = absl::UnknownError("no answer");
  socket->Dial({full.local_endpoint(), {asio::ip::address_v4::loopback(), static_cast<uint16_t>(server_->port())}}, "",
               [&, socket](const absl::Status& dialled) {
                 status = dialled;
                 io.stop();
               });
  io.restart();
  io.run_for(kAwaitDeadline);
  EXPECT_TRUE(status.ok()) << status;
  socket->Close();
}

}  // namespace
}  // namespace toolwire
