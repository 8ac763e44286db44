#include "edge/admission.h"

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/fakes/fake_clock.h"

namespace toolwire {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

// Wide open but for what a test sets.
Admission::Options Wide() {
  Admission::Options options;
  options.sessions_max = 1'000'000;
  options.unauthenticated_max = 1'000'000;
  options.handshakes_per_second_max = 1'000'000;
  options.logins_per_address_max = 1'000'000;
  return options;
}

class AdmissionTest : public ::testing::Test {
 protected:
  bool MayAccept(Admission* admission) { return admission->AcceptDelay(clock_.Now()) == Duration::zero(); }
  // How many sockets get in one after the other at this moment.
  int AcceptAll(Admission* admission, int at_most) {
    int accepted = 0;
    while (accepted < at_most && MayAccept(admission)) {
      Accept(admission);
      ++accepted;
    }
    return accepted;
  }

  void Accept(Admission* admission, const std::string& address = "10.0.0.1") {
    places_.push_back(admission->Accepted(++last_id_, address, clock_.Now()));
  }
  // The newest socket has logged in.
  void LogIn() { places_.pop_back(); }
  // The newest socket that is not logged in has gone.
  void CloseNewest(Admission* admission) {
    places_.pop_back();
    admission->Closed();
  }
  Admission& Make(const Admission::Options& options) {
    places_.clear();
    admission_ = std::make_unique<Admission>(
        options, [this](uint64_t id, bool is_closing) { (is_closing ? cut_ : told_).push_back(id); });
    return *admission_;
  }
  // The sockets that have to close, since the last call.
  std::vector<uint64_t> MakingRoom() { return std::exchange(told_, {}); }
  // Of those that are closing.
  std::vector<uint64_t> Cut() { return std::exchange(cut_, {}); }

  FakeClock clock_;
  uint64_t last_id_ = 0;
  std::vector<uint64_t> told_, cut_;
  std::unique_ptr<Admission> admission_;
  std::vector<std::unique_ptr<Admission::Place>> places_;  // In the order of their ids, from 1 on.
};

TEST_F(AdmissionTest, SocketsAreAcceptedUpToTheLimit) {
  Admission::Options options = Wide();
  options.sessions_max = 2;
  options.spare_sockets_max = 1;
  Admission& admission = Make(options);
  EXPECT_EQ(AcceptAll(&admission, 10), 3);
  EXPECT_EQ(admission.sockets(), 3);
  EXPECT_GT(admission.AcceptDelay(clock_.Now()), Duration::zero());
  EXPECT_EQ(admission.counters().sockets_full.value(), 1u) << "however often it is asked while it is full";
  EXPECT_EQ(admission.counters().accepted.value(), 3u);
  LogIn();
  EXPECT_FALSE(MayAccept(&admission)) << "a socket that is logged in is still a socket";
  admission.Closed();
  EXPECT_EQ(AcceptAll(&admission, 10), 1);
  EXPECT_EQ(admission.counters().sockets_full.value(), 2u) << "full once more";
}

TEST_F(AdmissionTest, SocketsThatAreNotLoggedInAreLimitedByThemselves) {
  Admission::Options options = Wide();
  options.unauthenticated_max = 2;
  Admission& admission = Make(options);
  EXPECT_EQ(AcceptAll(&admission, 10), 2);
  EXPECT_EQ(admission.unauthenticated(), 2);
  EXPECT_EQ(admission.counters().unauthenticated_full.value(), 1u);
  EXPECT_EQ(admission.counters().sockets_full.value(), 0u);
  LogIn();
  EXPECT_EQ(AcceptAll(&admission, 10), 1) << "one has logged in";
  CloseNewest(&admission);
  EXPECT_EQ(AcceptAll(&admission, 10), 1) << "one has gone";
  EXPECT_EQ(admission.sockets(), 3);
  EXPECT_EQ(admission.unauthenticated(), 2);
}

TEST_F(AdmissionTest, OldestSilentSocketOfAnAddressMakesRoomForItsNext) {
  Admission::Options options = Wide();
  options.silent_per_address_max = 3;
  Admission& admission = Make(options);
  for (int i = 0; i < 3; ++i) Accept(&admission);
  Accept(&admission, "10.0.0.2");
  clock_.Advance(seconds(1));
  EXPECT_EQ(MakingRoom(), std::vector<uint64_t>()) << "at the limit";
  Accept(&admission);
  EXPECT_EQ(MakingRoom(), std::vector<uint64_t>{1}) << "one past it";
  Accept(&admission, "::ffff:10.0.0.1");
  EXPECT_EQ(MakingRoom(), std::vector<uint64_t>{2}) << "the same address";
  Accept(&admission, "10.0.0.2");
  EXPECT_EQ(MakingRoom(), std::vector<uint64_t>()) << "another's share is its own";
  places_.erase(places_.begin() + 2);
  Accept(&admission);
  EXPECT_EQ(MakingRoom(), std::vector<uint64_t>()) << "the third has gone";
}

TEST_F(AdmissionTest, SocketThatHasSpokenMakesNoRoomAndOneWithSomethingUnreadIsTheNewest) {
  Admission::Options options = Wide();
  options.silent_per_address_max = 2;
  Admission& admission = Make(options);
  for (int i = 0; i < 10'000; ++i) {  // A storm of logins from one address.
    Accept(&admission);
    admission.Spoke(places_.back().get(), places_.back()->address());
  }
  EXPECT_EQ(MakingRoom(), std::vector<uint64_t>());
  Accept(&admission);
  Accept(&admission);
  Accept(&admission);
  EXPECT_EQ(MakingRoom(), std::vector<uint64_t>()) << "their requests may be under way";
  clock_.Advance(seconds(1));
  Accept(&admission);
  EXPECT_EQ(MakingRoom(), (std::vector<uint64_t>{10'001, 10'002}));
  admission.Keep(places_[10'000].get());
  EXPECT_EQ(MakingRoom(), std::vector<uint64_t>());
  Accept(&admission);
  EXPECT_EQ(MakingRoom(), std::vector<uint64_t>{10'003}) << "not the one that was kept";
}

TEST_F(AdmissionTest, SilentSocketCountsAsTheClientsOnceItsProxyHasNamedIt) {
  Admission::Options options = Wide();
  options.silent_per_address_max = 2;
  Admission& admission = Make(options);
  for (int i = 0; i < 3; ++i) {
    Accept(&admission, "10.9.9.9");
    admission.Named(places_.back().get(), "192.0.2.1", clock_.Now());
    EXPECT_EQ(places_.back()->address(), "192.0.2.1");
  }
  clock_.Advance(seconds(1));
  EXPECT_EQ(admission.unauthenticated(), 3) << "they are silent still";
  Accept(&admission, "10.9.9.9");
  EXPECT_EQ(MakingRoom(), std::vector<uint64_t>()) << "the proxy's others are not its clients'";
  admission.Named(places_.back().get(), "192.0.2.1", clock_.Now());
  EXPECT_EQ(MakingRoom(), (std::vector<uint64_t>{1, 2})) << "the client has too many";
  Accept(&admission, "10.9.9.9");
  admission.Named(places_.back().get(), "192.0.2.2", clock_.Now());
  EXPECT_EQ(MakingRoom(), std::vector<uint64_t>());
}

TEST_F(AdmissionTest, SocketThatWasAskedToMakeRoomIsNotSilentAgainWhenItIsNamed) {
  Admission::Options options = Wide();
  options.silent_per_address_max = 1;
  Admission& admission = Make(options);
  Accept(&admission, "10.9.9.9");
  clock_.Advance(seconds(1));
  Accept(&admission, "10.9.9.9");
  EXPECT_EQ(MakingRoom(), std::vector<uint64_t>{1});
  admission.Named(places_[0].get(), "192.0.2.1", clock_.Now());
  EXPECT_EQ(admission.unauthenticated(), 1);
}

TEST_F(AdmissionTest, NoAddressTakesMoreThanAQuarterOfAllByBeingSilent) {
  Admission::Options options = Wide();
  options.unauthenticated_max = 8;
  options.silent_per_address_max = 1024;
  Admission& admission = Make(options);
  for (int i = 0; i < 2; ++i) Accept(&admission);
  clock_.Advance(seconds(1));
  Accept(&admission);
  EXPECT_EQ(MakingRoom(), std::vector<uint64_t>{1});
}

TEST_F(AdmissionTest, WhenAllIsFullOneThatHasBeenSilentForASecondMakesRoomForEachThatIsAccepted) {
  Admission::Options options = Wide();
  options.unauthenticated_max = 3;
  Admission& admission = Make(options);
  for (int i = 1; i <= 3; ++i) Accept(&admission, "10.0.0." + std::to_string(i));
  admission.Spoke(places_[0].get(), places_[0]->address());
  EXPECT_GT(admission.AcceptDelay(clock_.Now()), milliseconds(1));
  EXPECT_EQ(MakingRoom(), std::vector<uint64_t>()) << "their requests may be under way";
  clock_.Advance(seconds(1));
  EXPECT_TRUE(MayAccept(&admission));
  EXPECT_TRUE(MayAccept(&admission));
  EXPECT_EQ(MakingRoom(), std::vector<uint64_t>{2}) << "one, however often it is asked";
  Accept(&admission);
  EXPECT_EQ(admission.unauthenticated(), 3);
  EXPECT_TRUE(MayAccept(&admission));
  EXPECT_EQ(MakingRoom(), std::vector<uint64_t>{3});
  Accept(&admission);
  EXPECT_FALSE(MayAccept(&admission)) << "one has spoken, and two are not silent for long";
}

TEST_F(AdmissionTest, WhenAllIsFullTheAddressThatHasMostMakesRoom) {
  Admission::Options options = Wide();
  options.unauthenticated_max = 8;
  Admission& admission = Make(options);
  Accept(&admission, "10.0.0.1");
  Accept(&admission, "10.0.0.2");
  for (int i = 0; i < 6; ++i) Accept(&admission, "10.0.0.3");
  clock_.Advance(seconds(1));
  for (uint64_t i = 3; i <= 7; ++i) {
    EXPECT_TRUE(MayAccept(&admission));
    EXPECT_EQ(MakingRoom(), std::vector<uint64_t>{i});
    Accept(&admission, "10.0.1." + std::to_string(i));
  }
}

TEST_F(AdmissionTest, AddressThatFillsAllWithinASecondCostsOthersNoSocket) {
  Admission::Options options = Wide();
  options.unauthenticated_max = 8;
  Admission& admission = Make(options);
  Accept(&admission, "10.0.0.2");
  clock_.Advance(seconds(1));
  EXPECT_EQ(AcceptAll(&admission, 100), 7);
  EXPECT_EQ(MakingRoom(), std::vector<uint64_t>());
  clock_.Advance(seconds(1));
  EXPECT_TRUE(MayAccept(&admission));
  EXPECT_EQ(MakingRoom(), std::vector<uint64_t>{2});
}

TEST_F(AdmissionTest, SocketsThatDoNotGoWhenAskedLetFewMoreIn) {
  Admission::Options options = Wide();
  options.unauthenticated_max = 100;
  options.silent_per_address_max = 100;
  Admission& admission = Make(options);
  for (int i = 2; i < 102; ++i) Accept(&admission, "10.0.0." + std::to_string(i));
  clock_.Advance(seconds(1));
  EXPECT_EQ(AcceptAll(&admission, 1000), 16);
  EXPECT_EQ(admission.sockets(), 116);
}

TEST_F(AdmissionTest, SocketThatIsClosingLeavesItsPlaceToOthers) {
  Admission::Options options = Wide();
  options.unauthenticated_max = 2;
  Admission& admission = Make(options);
  EXPECT_EQ(AcceptAll(&admission, 10), 2);
  admission.Spoke(places_[0].get(), places_[0]->address());
  admission.Closing(places_[0].get());
  EXPECT_EQ(admission.unauthenticated(), 1);
  EXPECT_EQ(AcceptAll(&admission, 10), 1);
  EXPECT_EQ(admission.sockets(), 3) << "its descriptor counts";
  EXPECT_EQ(Cut(), std::vector<uint64_t>());
}

TEST_F(AdmissionTest, OldestThatIsClosingIsResetWhenThereAreTooMany) {
  Admission::Options options = Wide();
  options.closing_max = 4;
  options.closing_per_address_max = 3;
  Admission& admission = Make(options);
  const auto close = [&](const std::string& address) {
    Accept(&admission, address);
    admission.Closing(places_.back().get());
  };
  close("10.0.0.9");
  for (int i = 0; i < 3; ++i) close("10.0.0.1");
  EXPECT_EQ(Cut(), std::vector<uint64_t>()) << "at the limits";
  close("10.0.0.1");
  EXPECT_EQ(Cut(), std::vector<uint64_t>{2}) << "one past that of an address";
  close("10.0.0.2");
  EXPECT_EQ(Cut(), std::vector<uint64_t>{3}) << "one past that of all: of the address that has most";
  EXPECT_EQ(admission.counters().closing_cut.value(), 2u);
}

TEST_F(AdmissionTest, AtTheLimitOfSocketsOneThatIsClosingIsResetForEachThatIsAccepted) {
  Admission::Options options = Wide();
  options.sessions_max = 3;
  options.spare_sockets_max = 2;
  Admission& admission = Make(options);
  EXPECT_EQ(AcceptAll(&admission, 10), 5);
  for (uint64_t i = 0; i < 3; ++i) {
    places_.erase(places_.begin());
    EXPECT_TRUE(admission.TakeRoom(/*beyond=*/false));
  }
  EXPECT_FALSE(MayAccept(&admission));
  const auto ended = admission.SessionEnded(1, "10.0.0.1");
  EXPECT_TRUE(admission.HasRoom());
  admission.Closing(places_[1].get());
  EXPECT_TRUE(MayAccept(&admission));
  EXPECT_EQ(Cut(), std::vector<uint64_t>{5}) << "at once, and before a socket that was a session's";
  Accept(&admission, "10.0.0.2");
  EXPECT_TRUE(MayAccept(&admission));
  EXPECT_EQ(Cut(), std::vector<uint64_t>{1});
  Accept(&admission, "10.0.0.2");
  EXPECT_FALSE(MayAccept(&admission));
  EXPECT_EQ(MakingRoom(), std::vector<uint64_t>());
  EXPECT_EQ(admission.counters().closing_cut.value(), 2u);
}

TEST_F(AdmissionTest, RoomForSessionsIsLimitedByThoseThatHaveTakenIt) {
  Admission::Options options = Wide();
  options.sessions_max = 2;
  Admission& admission = Make(options);
  AcceptAll(&admission, 10);
  EXPECT_TRUE(admission.HasRoom()) << "sockets that are not logged in are no sessions";
  EXPECT_TRUE(admission.TakeRoom(false));
  EXPECT_TRUE(admission.HasRoom());
  EXPECT_TRUE(admission.TakeRoom(false));
  EXPECT_FALSE(admission.HasRoom());
  EXPECT_FALSE(admission.TakeRoom(false));
  EXPECT_TRUE(MayAccept(&admission)) << "health checks still come in";
  EXPECT_EQ(admission.counters().sessions_full.value(), 2u);
  EXPECT_TRUE(admission.TakeRoom(true)) << "beyond the limit, as the user's older session ends";
  admission.GiveRoomBack();
  EXPECT_FALSE(admission.HasRoom());
  LogIn();
  LogIn();
  CloseNewest(&admission);
  EXPECT_FALSE(admission.HasRoom()) << "that one was no session";
  admission.GiveRoomBack();
  EXPECT_TRUE(admission.HasRoom()) << "its socket may linger";
  admission.Closed();
  EXPECT_EQ(admission.sockets(), 8);
  EXPECT_EQ(admission.unauthenticated(), 7);
}

TEST_F(AdmissionTest, EverySocketIsGivenBack) {
  Admission& admission = Make(Wide());
  AcceptAll(&admission, 5);
  LogIn();
  LogIn();
  for (int i = 0; i < 2; ++i) admission.Closed();
  for (int i = 0; i < 3; ++i) CloseNewest(&admission);
  EXPECT_EQ(admission.sockets(), 0);
  EXPECT_EQ(admission.unauthenticated(), 0);
}

TEST_F(AdmissionTest, HandshakesComeAtTheirRateWithATenthOfASecondAtOnce) {
  Admission::Options options = Wide();
  options.handshakes_per_second_max = 100;
  Admission& admission = Make(options);
  EXPECT_EQ(AcceptAll(&admission, 1000), 10) << "after a rest, a tenth of a second's worth";
  EXPECT_EQ(AcceptAll(&admission, 1000), 0);
  EXPECT_GT(admission.counters().paced.value(), 0u);
  clock_.Advance(milliseconds(50));
  EXPECT_NEAR(AcceptAll(&admission, 1000), 5, 1);
  clock_.Advance(seconds(100));
  EXPECT_EQ(AcceptAll(&admission, 1000), 10) << "a long rest saves no more than that";
}

TEST_F(AdmissionTest, WaitingAsLongAsToldLetsTheNextSocketIn) {
  for (const int rate : {1, 7, 100, 5000}) {
    SCOPED_TRACE(rate);
    Admission::Options options = Wide();
    options.handshakes_per_second_max = rate;
    Admission& admission = Make(options);
    AcceptAll(&admission, 1'000'000);
    int accepted = 0;
    const MonoTime start = clock_.Now();
    while (clock_.Now() - start < seconds(5)) {
      const Duration wait = admission.AcceptDelay(clock_.Now());
      if (wait == Duration::zero()) {
        Accept(&admission);
        ++accepted;
        continue;
      }
      clock_.Advance(wait);
      ASSERT_EQ(admission.AcceptDelay(clock_.Now()), Duration::zero()) << "it waited " << wait.count() << " ns";
    }
    // A millisecond's grace for each wait costs some of the rate, but never adds to it.
    EXPECT_LE(accepted, 5 * rate + 1);
    EXPECT_GE(accepted, 5 * rate / 8);
  }
}

TEST_F(AdmissionTest, LowestRateStillLetsOneIn) {
  Admission::Options options = Wide();
  options.handshakes_per_second_max = 1;
  Admission& admission = Make(options);
  EXPECT_EQ(AcceptAll(&admission, 10), 1);
  clock_.Advance(milliseconds(999));
  EXPECT_EQ(AcceptAll(&admission, 10), 0);
  clock_.Advance(milliseconds(2));
  EXPECT_EQ(AcceptAll(&admission, 10), 1);
}

TEST_F(AdmissionTest, LoginsUnderWayOfOneAddressAreLimited) {
  Admission::Options options = Wide();
  options.logins_per_address_max = 2;
  Admission& admission = Make(options);
  const auto speak = [&](const std::string& address) {
    Accept(&admission, address);
    return admission.Spoke(places_.back().get(), address);
  };
  EXPECT_TRUE(speak("2001:db8::1"));
  EXPECT_TRUE(speak("2001:db8::2"));
  EXPECT_FALSE(speak("2001:db8::3")) << "one past the limit, of one /64";
  EXPECT_TRUE(speak("10.0.0.2"));
  admission.Closing(places_[2].get());
  admission.Closing(places_[0].get());
  EXPECT_TRUE(speak("2001:db8::4")) << "who is closing has no login under way";
  places_.clear();
  EXPECT_TRUE(speak("2001:db8::5"));
}

TEST_F(AdmissionTest, NoAddressTakesMoreThanThreeQuartersOfAllByLogins) {
  Admission::Options options = Wide();
  options.unauthenticated_max = 8;
  Admission& admission = Make(options);
  for (int i = 1; i <= 7; ++i) {
    Accept(&admission);
    EXPECT_EQ(admission.Spoke(places_.back().get(), "10.0.0.1"), i <= 6) << i;
  }
}

TEST_F(AdmissionTest, LoginCountsForTheAddressThatItsRequestNames) {
  Admission::Options options = Wide();
  options.logins_per_address_max = 1;
  Admission& admission = Make(options);
  for (int i = 0; i < 3; ++i) {
    Accept(&admission, "10.9.9.9");
    EXPECT_TRUE(admission.Spoke(places_.back().get(), "10.0.0." + std::to_string(i)));
  }
  Accept(&admission, "10.9.9.9");
  EXPECT_FALSE(admission.Spoke(places_.back().get(), "10.0.0.1"));
}

TEST_F(AdmissionTest, CountsHoldWhenManyThreadsComeAndGo) {
  Admission& admission = Make(Wide());
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 1000; ++i) {
        admission.AcceptDelay(clock_.Now());
        auto place = admission.Accepted(static_cast<uint64_t>(t * 1000 + i), "10.0.0.1", clock_.Now());
        if (i % 2 == 0) admission.Spoke(place.get(), place->address());
        if (i % 3 == 0) admission.Keep(place.get());
        if (i % 5 == 0) admission.Closing(place.get());
        place.reset();
        admission.Closed();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(admission.sockets(), 0);
  EXPECT_EQ(admission.unauthenticated(), 0);
  EXPECT_EQ(admission.counters().accepted.value(), 4000u);
}

}  // namespace
}  // namespace toolwire
