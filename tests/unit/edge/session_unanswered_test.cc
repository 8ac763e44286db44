// Request ids of calls that were sent to a session and not answered: an answer belongs to one attempt.
#include <string>

#include "tests/unit/edge/session_fixture.h"

namespace toolwire {
namespace {

class SessionUnansweredTest : public SessionTest {
 protected:
  // A call that was sent and whose deadline has passed.
  void TimeOut(uint64_t call_id, const std::string& request_id) {
    DeliverAndRead(call_id, request_id, seconds(1));
    Advance(seconds(1) + kTick);
    EXPECT_EQ(OutcomeOf(call_id), "TIMED_OUT SENT");
  }
};

TEST_F(SessionUnansweredTest, LateAnswerNeverAnswersANewerCallOfTheSameIdThroughAnotherLink) {
  OpenAndRead();
  TimeOut(1, "req");
  DeliverTo(kSession, kLink + 1, 2, "req");
  EXPECT_EQ(OutcomeOf(2, kLink + 1), "EARLIER_UNANSWERED NOT_SENT");
  EXPECT_TRUE(Frames().empty());
  Receive(Response("req", "\"of the first\""));
  EXPECT_EQ(strays_.size(), 1u);
  DeliverTo(kSession, kLink + 1, 3, "req");
  Receive(Response("req", "\"too early\""));
  EXPECT_EQ(OutcomeOf(3, kLink + 1), "open") << "it was not sent yet";
  EXPECT_EQ(Frames().size(), 1u);
  Receive(Response("req", "\"of the third\""));
  EXPECT_EQ(OutcomeOf(3, kLink + 1), "success \"of the third\"");
}

TEST_F(SessionUnansweredTest, CancelledCallThatWasSentKeepsItsId) {
  OpenAndRead();
  DeliverAndRead(1, "req");
  Cancel(1);
  Deliver(2, "req");
  EXPECT_EQ(OutcomeOf(2), "EARLIER_UNANSWERED NOT_SENT");
}

TEST_F(SessionUnansweredTest, CallOfALinkThatIsDownKeepsItsIdIfItWasSent) {
  OpenAndRead();
  DeliverAndRead(1, "sent");
  Deliver(2, "waits");
  LinkDown(kLink);
  DeliverTo(kSession, kLink + 1, 3, "sent");
  EXPECT_EQ(OutcomeOf(3, kLink + 1), "EARLIER_UNANSWERED NOT_SENT");
  DeliverTo(kSession, kLink + 1, 4, "waits");
  EXPECT_EQ(OutcomeOf(4, kLink + 1), "open");
}

TEST_F(SessionUnansweredTest, CallThatWasNotSentLeavesItsIdFree) {
  OpenAndRead();
  Deliver(1, "req", seconds(1));
  Advance(seconds(1) + kTick);
  EXPECT_EQ(OutcomeOf(1), "TIMED_OUT NOT_SENT");
  Deliver(2, "req");
  EXPECT_EQ(OutcomeOf(2), "open");
}

TEST_F(SessionUnansweredTest, IdIsFreeInAnotherSessionAndAfterTenMinutes) {
  limits_.heartbeat_timeout = std::chrono::hours(1);
  OpenAndRead();
  TimeOut(1, "req");
  OpenAndRead(kSession + 1, "user_43");
  DeliverTo(kSession + 1, kLink, 2, "req");
  EXPECT_EQ(OutcomeOf(2), "open");
  Advance(std::chrono::minutes(10) - kTick);
  Deliver(3, "req");
  EXPECT_EQ(OutcomeOf(3), "EARLIER_UNANSWERED NOT_SENT");
  Advance(kTick);
  Deliver(4, "req");
  EXPECT_EQ(OutcomeOf(4), "open");
}

TEST_F(SessionUnansweredTest, PastTheLimitTheOldestIdIsFree) {
  limits_.unanswered.requests_max = 2;
  OpenAndRead();
  TimeOut(1, "req_1");
  TimeOut(2, "req_2");
  EXPECT_EQ(counters_.unanswered_full.value(), 0u);
  TimeOut(3, "req_3");
  EXPECT_EQ(counters_.unanswered_full.value(), 1u);
  Deliver(4, "req_1");
  EXPECT_EQ(OutcomeOf(4), "open");
  Deliver(5, "req_2");
  EXPECT_EQ(OutcomeOf(5), "EARLIER_UNANSWERED NOT_SENT");
}

}  // namespace
}  // namespace toolwire
