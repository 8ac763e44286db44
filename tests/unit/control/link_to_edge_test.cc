// Between the dispatcher and a link whose connection is away, so that everything waits.
#include "control/link_to_edge.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace toolwire {
namespace {

using CallIds = std::vector<uint64_t>;

class LinkToEdgeTest : public ::testing::Test {
 protected:
  static constexpr size_t kMessageMax = 1u << 20, kRoom = 8u << 20;

  v1::ControlFrame Call(uint64_t call_id, const std::string& user_id, size_t bytes = 10) {
    v1::ControlFrame frame;
    v1::Deliver* const deliver = frame.add_deliveries();
    deliver->set_call_id(call_id);
    deliver->set_user_id(user_id);
    deliver->set_params_json(std::string(bytes, ' '));
    deliver->set_timeout_us(60'000'000);
    return frame;
  }
  bool Send(v1::ControlFrame frame) { return to_edge_.Send(std::move(frame)); }
  v1::ControlFrame Cancel(uint64_t call_id) {
    v1::ControlFrame frame;
    frame.add_cancels(call_id);
    return frame;
  }
  // "3 CANCELLED" for each refusal that came since; all are NOT_SENT and of link 7.
  std::vector<std::string> Refused() {
    std::vector<std::string> all;
    for (const auto& [number, frame] : std::exchange(refused_, {})) {
      EXPECT_EQ(number, 7u);
      for (const v1::Refusal& refusal : frame.refusals()) {
        EXPECT_EQ(refusal.delivery(), v1::CallError::NOT_SENT);
        all.push_back(std::to_string(refusal.call_id()) + " " + v1::Refusal::Cause_Name(refusal.cause()));
      }
    }
    std::sort(all.begin(), all.end());
    return all;
  }
  CallIds Waiting() {
    CallIds ids = link_->End("the test has ended").refs;
    std::sort(ids.begin(), ids.end());
    return ids;
  }
  using Strings = std::vector<std::string>;

  const RecordSender::Limits limits_{kMessageMax, 16 * kMessageMax, 100};
  std::shared_ptr<Link> link_ =
      std::make_shared<Link>(MakeHello("edge_a", "start", limits_), limits_, kRoom, Link::Events{});
  std::vector<std::pair<uint64_t, v1::EdgeFrame>> refused_;
  LinkToEdge to_edge_{link_, [this](uint64_t number, v1::EdgeFrame&& refusals) {
                        refused_.emplace_back(number, std::move(refusals));
                      }};
};

TEST_F(LinkToEdgeTest, CancelTakesOutACallThatWaits) {
  to_edge_.SetNumber(7);
  EXPECT_TRUE(Send(Call(1, "a")));
  EXPECT_TRUE(Send(Call(2, "a")));
  EXPECT_TRUE(Send(Cancel(1)));
  EXPECT_EQ(Refused(), Strings{"1 CANCELLED"});
  EXPECT_EQ(Waiting(), CallIds{2});
}

TEST_F(LinkToEdgeTest, RevocationTakesOutWhatWaitsForTheUser) {
  to_edge_.SetNumber(7);
  for (uint64_t id = 1; id <= 3; ++id) EXPECT_TRUE(Send(Call(id, id == 2 ? "b" : "a")));
  v1::ControlFrame frame;
  frame.add_disconnects()->set_user_id("a");
  frame.mutable_disconnects(0)->set_cause(v1::Disconnect::CREDENTIAL_REVOKED);
  EXPECT_TRUE(Send(frame));
  EXPECT_EQ(Refused(), (Strings{"1 SESSION_LOST", "3 SESSION_LOST"}));
  EXPECT_EQ(Waiting(), CallIds{2});
}

TEST_F(LinkToEdgeTest, OtherDisconnectsLeaveWhatWaits) {
  to_edge_.SetNumber(7);
  EXPECT_TRUE(Send(Call(1, "a")));
  v1::ControlFrame frame;
  frame.add_disconnects()->set_user_id("a");
  EXPECT_TRUE(Send(frame));
  EXPECT_EQ(Refused(), Strings{});
  EXPECT_EQ(Waiting(), CallIds{1});
}

TEST_F(LinkToEdgeTest, WhatIsRefusedBeforeTheLinkHasANumberIsToldOnceItHasOne) {
  EXPECT_TRUE(Send(Call(1, "a")));
  EXPECT_TRUE(Send(Call(2, "a")));
  EXPECT_TRUE(Send(Cancel(1)));
  EXPECT_TRUE(Send(Cancel(2)));
  EXPECT_TRUE(refused_.empty());
  to_edge_.SetNumber(7);
  EXPECT_EQ(Refused(), (Strings{"1 CANCELLED", "2 CANCELLED"}));
  EXPECT_EQ(Waiting(), CallIds{});
}

TEST_F(LinkToEdgeTest, CallThatTheEdgeDoesNotTakeFailsAlone) {
  to_edge_.SetNumber(7);
  v1::ControlFrame frame = Call(1, "a", kMessageMax + 1);
  frame.MergeFrom(Call(2, "b"));
  EXPECT_TRUE(Send(frame));
  EXPECT_EQ(Refused(), Strings{"1 EDGE_UNAVAILABLE"});
  EXPECT_EQ(Waiting(), CallIds{2});
}

TEST_F(LinkToEdgeTest, CallsPastTheirUsersShareAreBusyAndOthersAreTaken) {
  to_edge_.SetNumber(7);
  uint64_t id = 0;
  while (refused_.empty() && id < 1000) EXPECT_TRUE(Send(Call(++id, "a", kMessageMax / 2)));
  EXPECT_EQ(Refused(), Strings{std::to_string(id) + " AGENT_BUSY"});
  EXPECT_TRUE(Send(Call(1001, "b")));
  EXPECT_EQ(Refused(), Strings{});
  EXPECT_EQ(Waiting().back(), 1001u);
}

TEST_F(LinkToEdgeTest, CallsWhoseTimeIsUpAreTold) {
  to_edge_.SetNumber(7);
  to_edge_.Expired({4, 5});
  EXPECT_EQ(Refused(), (Strings{"4 TIMED_OUT", "5 TIMED_OUT"}));
}

// The dispatcher looks again for an edge for those, so all must be named, and nothing else.
TEST_F(LinkToEdgeTest, EndedLinkNamesTheCallsThatHaveNotLeft) {
  to_edge_.SetNumber(7);
  EXPECT_TRUE(Send(Call(1, "a")));
  EXPECT_EQ(Waiting(), CallIds{1});
  v1::ControlFrame frame = Call(2, "a");
  frame.MergeFrom(Call(3, "b", 100'000));
  frame.MergeFrom(Cancel(1));
  frame.add_disconnects()->set_user_id("a");
  EXPECT_FALSE(to_edge_.Send(std::move(frame)));
  CallIds named;
  for (const v1::Deliver& deliver : frame.deliveries()) named.push_back(deliver.call_id());
  EXPECT_EQ(named, (CallIds{2, 3}));
  EXPECT_EQ(frame.cancels_size(), 0);
  EXPECT_EQ(Refused(), Strings{});
}

}  // namespace
}  // namespace toolwire
