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
  LeaseEvents Make() {
    return LeaseEvents(
        {[this](const std::string&, uint64_t epoch) { heard_.push_back("replaced " + std::to_string(epoch)); },
         [this](const std::string&, std::string message, MonoTime) { heard_.push_back(std::move(message)); },
         [this](const std::string&, uint64_t epoch) { heard_.push_back("contested " + std::to_string(epoch)); },
         [this](const std::string&) { heard_.push_back("forgotten"); }});
  }
  // A claim without anything happening meanwhile.
  void Claim(uint64_t epoch) {
    events_.ClaimBegun("user");
    events_.Marked("user", epoch);
    events_.Claimed("user", epoch, true);
  }

  Heard heard_;
  LeaseEvents events_ = Make();
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

TEST_F(LeaseEventsTest, NewsOfUsersWhoseLeaseIsNotHeldAreNone) {
  events_.Replaced("user", 3);
  events_.MarkedReplaced("user", 4);
  events_.Marked("user", 5);
  EXPECT_EQ(heard_, Heard{});
}

// All edges are told of a claim when it is not known who had the lease; the claiming one, too.
TEST_F(LeaseEventsTest, WhatAllEdgesAreToldOfItsOwnClaimIsNoNews) {
  events_.ClaimBegun("user");
  events_.MarkedReplaced("user", 1);
  events_.Marked("user", 1);
  events_.Claimed("user", 1, true);
  events_.MarkedReplaced("user", 1);
  events_.Message("user", "ours");
  EXPECT_EQ(heard_, Heard{"ours"});
}

TEST_F(LeaseEventsTest, OlderLeaseThatIsMadeAgainElsewhereIsContestedAndItsMessagesAreNotOurs) {
  Claim(5);
  events_.MarkedReplaced("user", 4);
  events_.Message("user", "of the other edge");
  EXPECT_EQ(heard_, Heard{"contested 5"});
  EXPECT_TRUE(events_.OwnershipUnknown("user"));
  events_.Marked("user", 5);
  events_.Message("user", "ours");
  EXPECT_EQ(heard_, (Heard{"contested 5", "ours"}));
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
