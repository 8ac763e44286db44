#include "edge/user_place.h"

#include <gtest/gtest.h>

#include <optional>

namespace toolwire {
namespace {

SessionRef Opening(SessionId id, uint64_t epoch) { return SessionRef{0, id, epoch}; }

TEST(UserPlaceTest, SessionsEndReleasesTheLeaseOnce) {
  UserPlace place;
  place.BeginClaim();
  EXPECT_FALSE(place.empty());
  EXPECT_TRUE(place.Open(Opening(1, 5)).current);
  EXPECT_EQ(place.lease(), 5u);
  EXPECT_EQ(place.Close(1), std::optional<uint64_t>(5));
  EXPECT_TRUE(place.empty());
  EXPECT_EQ(place.Close(1), std::nullopt);
}

TEST(UserPlaceTest, LoginThatComesToNothingReleasesWhatItClaimedIfThereIsNoSession) {
  UserPlace place;
  place.BeginClaim();
  EXPECT_EQ(place.GiveUp(5), 5u);
  EXPECT_TRUE(place.empty());
  place.BeginClaim();
  EXPECT_EQ(place.GiveUp(0), 0u) << "its claim was not answered";
  EXPECT_TRUE(place.empty());
}

TEST(UserPlaceTest, LoginThatComesToNothingLeavesItsLeaseToTheSessionThatLives) {
  UserPlace place;
  place.BeginClaim();
  place.Open(Opening(1, 5));
  place.BeginClaim();
  EXPECT_EQ(place.GiveUp(7), 0u);
  EXPECT_EQ(place.lease(), 7u) << "what refreshes have to name";
  EXPECT_EQ(place.session()->epoch, 5u);
  EXPECT_EQ(place.Close(1), std::optional<uint64_t>(7));
  EXPECT_TRUE(place.empty());
}

TEST(UserPlaceTest, SessionThatEndsLeavesItsLeaseToTheLoginsUnderWay) {
  UserPlace place;
  place.BeginClaim();
  place.Open(Opening(1, 5));
  place.BeginClaim();
  place.BeginClaim();
  EXPECT_EQ(place.Close(1), std::optional<uint64_t>(0));
  EXPECT_EQ(place.GiveUp(0), 0u);
  EXPECT_EQ(place.GiveUp(0), 5u) << "the last one that comes to nothing gives it back";
  EXPECT_TRUE(place.empty());
}

TEST(UserPlaceTest, OfManyLoginsThatComeToNothingTheNewestLeaseIsReleasedByTheLast) {
  UserPlace place;
  place.BeginClaim();
  place.BeginClaim();
  EXPECT_EQ(place.GiveUp(6), 0u);
  EXPECT_EQ(place.GiveUp(5), 6u);
  EXPECT_TRUE(place.empty());
}

TEST(UserPlaceTest, NewestSessionStaysInWhateverOrderTheyOpen) {
  UserPlace place;
  place.BeginClaim();
  place.BeginClaim();
  EXPECT_TRUE(place.Open(Opening(2, 6)).current);
  const UserPlace::Opened older = place.Open(Opening(1, 5));
  EXPECT_FALSE(older.current);
  EXPECT_FALSE(older.displaced);
  EXPECT_EQ(place.Close(1), std::nullopt);
  place.BeginClaim();
  const UserPlace::Opened newer = place.Open(Opening(3, 7));
  EXPECT_TRUE(newer.current);
  EXPECT_EQ(newer.displaced->id, 2u);
  EXPECT_EQ(place.Close(2), std::nullopt);
  EXPECT_EQ(place.Close(3), std::optional<uint64_t>(7));
  EXPECT_TRUE(place.empty());
}

}  // namespace
}  // namespace toolwire
