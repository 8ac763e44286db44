#include "common/registry/lease_events.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace toolwire {
namespace {

using Heard = std::vector<std::string>;

class LeaseEventsTest : public ::testing::Test {
 protected:
  LeaseEvents Make(bool messages) {
    return LeaseEvents(
        messages,
        {[this](const std::string&, uint64_t epoch) { heard_.push_back("replaced " + std::to_string(epoch)); },
         [this](const std::string&, std::string message) { heard_.push_back(std::move(message)); },
         [this](const std::string&) { heard_.push_back("forgotten"); }});
  }
  // A claim without anything happening meanwhile.
  void Claim(uint64_t epoch) {
    events_.ClaimBegun("user");
    events_.Marked("user", epoch);
    events_.Claimed("user", epoch, true);
  }

  Heard heard_;
  LeaseEvents events_ = Make(true);
};

TEST_F(LeaseEventsTest, MessagesAreOursBetweenTheMarks) {
  events_.Message("user", "of nobody");
  events_.ClaimBegun("user");
  events_.Message("user", "before the lease");
  events_.Marked("user", 1);
  events_.Claimed("user", 1, true);
  events_.Message("user", "ours");
  events_.MarkedReplaced("user", 2);
  events_.Message("user", "after the lease");
  EXPECT_EQ(heard_, (Heard{"ours", "replaced 2", "forgotten"}));
}

TEST_F(LeaseEventsTest, WhatOvertakesTheClaimsAnswerWaitsForIt) {
  events_.ClaimBegun("user");
  events_.Marked("user", 1);
  events_.Message("user", "ours");
  events_.MarkedReplaced("user", 2);
  events_.Message("user", "of another edge");
  EXPECT_EQ(heard_, Heard{});
  events_.Claimed("user", 1, true);
  EXPECT_EQ(heard_, (Heard{"ours", "replaced 2", "forgotten"}));
}

TEST_F(LeaseEventsTest, ClaimsAnswerThatOvertakesTheMarkChangesNothingForMessages) {
  events_.ClaimBegun("user");
  events_.Claimed("user", 1, true);
  events_.Message("user", "before the lease");
  events_.Marked("user", 1);
  events_.Message("user", "ours");
  EXPECT_EQ(heard_, Heard{"ours"});
}

TEST_F(LeaseEventsTest, MessagesOfTheOlderLeaseStayOursUntilTheNewerOnesMark) {
  Claim(1);
  events_.ClaimBegun("user");
  events_.Claimed("user", 2, true);
  events_.Message("user", "of the older lease");
  events_.Marked("user", 2);
  events_.Message("user", "of the newer lease");
  EXPECT_EQ(heard_, (Heard{"of the older lease", "of the newer lease"}));
}

TEST_F(LeaseEventsTest, LeaseOfAnotherEdgeBetweenTwoOfOursIsNoNewsAndItsMessagesAreNotOurs) {
  Claim(1);
  events_.ClaimBegun("user");
  events_.Claimed("user", 3, true);
  events_.Message("user", "ours");
  events_.MarkedReplaced("user", 2);
  events_.Message("user", "of another edge");
  events_.Marked("user", 3);
  events_.Message("user", "ours again");
  EXPECT_EQ(heard_, (Heard{"ours", "ours again"}));
}

TEST_F(LeaseEventsTest, TwoClaimsUnderWayAreOneWait) {
  events_.ClaimBegun("user");
  events_.ClaimBegun("user");
  events_.Marked("user", 1);
  events_.Message("user", "ours");
  events_.Claimed("user", 1, true);
  EXPECT_EQ(heard_, Heard{});
  events_.Marked("user", 2);
  events_.Claimed("user", 2, true);
  EXPECT_EQ(heard_, Heard{"ours"});
}

TEST_F(LeaseEventsTest, FailedClaimForgetsTheUserUnlessALeaseIsHeld) {
  events_.ClaimBegun("user");
  events_.Marked("user", 1);
  events_.Message("user", "for nobody");
  events_.ClaimFailed("user");
  EXPECT_EQ(heard_, Heard{"forgotten"});
  Claim(2);
  events_.ClaimBegun("user");
  events_.ClaimFailed("user");
  events_.Message("user", "ours");
  EXPECT_EQ(heard_, (Heard{"forgotten", "ours"}));
}

TEST_F(LeaseEventsTest, OnlyTheReleaseOfTheHeldLeaseForgets) {
  Claim(1);
  Claim(2);
  events_.Released("user", 1);
  events_.Message("user", "ours");
  events_.Released("user", 2);
  events_.Message("user", "late");
  EXPECT_EQ(heard_, (Heard{"ours", "forgotten"}));
}

TEST_F(LeaseEventsTest, RefreshTellsOnceAndOnlyWhatIsNewer) {
  Claim(5);
  events_.Replaced("user", 4);
  events_.Replaced("user", 5);
  EXPECT_EQ(heard_, Heard{});
  events_.Replaced("user", 6);
  EXPECT_EQ(heard_, (Heard{"replaced 6", "forgotten"}));
}

TEST_F(LeaseEventsTest, AfterAnInterruptionMessagesWaitForCertainty) {
  Claim(1);
  events_.Interrupted();
  EXPECT_TRUE(events_.OwnershipUnknown("user"));
  events_.Message("user", "kept");
  EXPECT_EQ(heard_, Heard{});
  events_.Confirmed("user", 1);
  events_.Message("user", "ours");
  EXPECT_EQ(heard_, (Heard{"kept", "ours"}));
}

TEST_F(LeaseEventsTest, AMarkAfterAnInterruptionSaysThatEarlierMessagesWereNotOurs) {
  Claim(1);
  events_.Interrupted();
  events_.Message("user", "while the lease was lost");
  events_.Marked("user", 1);
  events_.Message("user", "ours");
  EXPECT_EQ(heard_, Heard{"ours"});
}

TEST_F(LeaseEventsTest, ClaimOfBeforeAnInterruptionLeavesOwnershipUnknown) {
  events_.ClaimBegun("user");
  events_.Interrupted();
  events_.Claimed("user", 1, false);
  EXPECT_TRUE(events_.OwnershipUnknown("user"));
  events_.Message("user", "kept");
  events_.Replaced("user", 2);
  EXPECT_EQ(heard_, (Heard{"replaced 2", "forgotten"}));
}

TEST_F(LeaseEventsTest, WithoutMessagesNothingIsRememberedBetweenClaims) {
  LeaseEvents events = Make(false);
  events.ClaimBegun("user");
  events.Replaced("user", 2);
  EXPECT_EQ(heard_, Heard{});
  events.Claimed("user", 1, true);
  EXPECT_EQ(heard_, (Heard{"replaced 2", "forgotten"}));
  events.Replaced("user", 3);
  EXPECT_EQ(heard_, (Heard{"replaced 2", "forgotten", "replaced 3"}));
}

TEST_F(LeaseEventsTest, WhatIsKeptIsLimited) {
  Claim(1);
  events_.Interrupted();
  for (int i = 0; i < 70; ++i) events_.Message("user", std::string(1 << 20, 'x'));
  EXPECT_GT(events_.counters().dropped.value(), 0u);
  events_.Confirmed("user", 1);
  EXPECT_EQ(heard_.size() + events_.counters().dropped.value(), 70u);
  const uint64_t dropped = events_.counters().dropped.value();
  events_.Interrupted();
  events_.Message("user", std::string(1 << 20, 'x'));  // There is room again.
  EXPECT_EQ(events_.counters().dropped.value(), dropped);
}

}  // namespace
}  // namespace toolwire
