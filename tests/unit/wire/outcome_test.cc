#include "common/wire/outcome.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <string_view>

namespace toolwire {
namespace {

using E = v1::CallError;
using R = v1::Refusal;

// The outcomes that tool.proto promises, a second copy of outcome.cc on purpose: callers in the field depend on every
// number.
const struct {
  Reason reason;
  const char* name;
  int grpc_code;
  int http_status;
  int retry_after_ms;
} kTable[] = {
    {E::REASON_UNSPECIFIED, "INTERNAL", 13, 500, 0},
    {E::AGENT_NOT_CONNECTED, "AGENT_NOT_CONNECTED", 14, 503, 1000},
    {E::EDGE_UNAVAILABLE, "EDGE_UNAVAILABLE", 14, 503, 1000},
    {E::AGENT_BUSY, "AGENT_BUSY", 8, 429, 100},
    {E::CALL_TIMEOUT, "CALL_TIMEOUT", 4, 504, 0},
    {E::AGENT_LOST, "AGENT_LOST", 10, 502, 0},
    {E::CALLER_CANCELLED, "CALLER_CANCELLED", 1, 499, 0},
    {E::INVALID_REQUEST, "INVALID_REQUEST", 3, 400, 0},
    {E::DUPLICATE_REQUEST, "DUPLICATE_REQUEST", 6, 409, 0},
    {E::CALLER_BUSY, "CALLER_BUSY", 8, 429, 100},
    {E::UNAUTHENTICATED, "UNAUTHENTICATED", 16, 401, 0},
    {E::PERMISSION_DENIED, "PERMISSION_DENIED", 7, 403, 0},
};

TEST(OutcomeTest, EveryReasonHasItsRow) {
  std::set<int> seen;
  for (const auto& row : kTable) {
    SCOPED_TRACE(row.name);
    const OutcomeRow& actual = RowOf(row.reason);
    EXPECT_EQ(actual.reason, row.reason);
    EXPECT_STREQ(actual.name, row.name);
    EXPECT_EQ(actual.grpc_code, row.grpc_code);
    EXPECT_EQ(actual.http_status, row.http_status);
    EXPECT_EQ(actual.retry_after_ms, row.retry_after_ms);
    EXPECT_FALSE(std::string_view(actual.sentence).empty());
    seen.insert(row.reason);
  }
  const google::protobuf::EnumDescriptor& reasons = *E::Reason_descriptor();
  for (int i = 0; i < reasons.value_count(); ++i) {
    EXPECT_EQ(seen.count(reasons.value(i)->number()), 1u) << reasons.value(i)->name() << " has no row here";
    const std::string name = i == 0 ? "INTERNAL" : reasons.value(i)->name();
    EXPECT_EQ(RowOf(static_cast<Reason>(reasons.value(i)->number())).name, name);
  }
}

TEST(OutcomeTest, ReasonOfANewerPeerCountsAsInternal) {
  EXPECT_STREQ(RowOf(static_cast<Reason>(99)).name, "INTERNAL");
  EXPECT_EQ(MakeFailure(static_cast<Reason>(99), E::SENT, "req_1").code(), 13);
}

TEST(OutcomeTest, RefusalsMeanWhatTheTableSays) {
  EXPECT_EQ(ReasonOf(R::NOT_HERE), E::AGENT_NOT_CONNECTED);
  EXPECT_EQ(ReasonOf(R::EDGE_UNAVAILABLE), E::EDGE_UNAVAILABLE);
  EXPECT_EQ(ReasonOf(R::AGENT_BUSY), E::AGENT_BUSY);
  EXPECT_EQ(ReasonOf(R::TIMED_OUT), E::CALL_TIMEOUT);
  EXPECT_EQ(ReasonOf(R::CANCELLED), E::CALLER_CANCELLED);
  EXPECT_EQ(ReasonOf(R::DUPLICATE_REQUEST), E::DUPLICATE_REQUEST);
  EXPECT_EQ(ReasonOf(R::EARLIER_UNANSWERED), E::DUPLICATE_REQUEST);
  EXPECT_EQ(ReasonOf(R::SESSION_LOST), E::AGENT_LOST);
  EXPECT_EQ(ReasonOf(R::ANSWER_LOST), E::AGENT_LOST);
  EXPECT_EQ(ReasonOf(R::PARAMS_REFUSED), E::INVALID_REQUEST);
  EXPECT_EQ(ReasonOf(R::CAUSE_UNSPECIFIED), E::REASON_UNSPECIFIED);
  EXPECT_EQ(ReasonOf(static_cast<R::Cause>(99)), E::REASON_UNSPECIFIED);
  const google::protobuf::EnumDescriptor& causes = *R::Cause_descriptor();
  EXPECT_EQ(causes.value_count(), 11) << "a new cause needs its line above";
}

TEST(OutcomeTest, FailureSaysWhatHappenedAndWhetherTheToolMayHaveRun) {
  const v1::CallFailure failure = MakeFailure(E::AGENT_LOST, E::SENT, "req_1");
  EXPECT_EQ(failure.code(), 10);
  EXPECT_EQ(failure.message(), RowOf(E::AGENT_LOST).sentence);
  EXPECT_EQ(failure.detail().reason(), E::AGENT_LOST);
  EXPECT_EQ(failure.detail().delivery(), E::SENT);
  EXPECT_EQ(failure.detail().request_id(), "req_1");
  EXPECT_EQ(failure.detail().field(), "");
  EXPECT_FALSE(failure.detail().has_retry_after());
}

TEST(OutcomeTest, OwnMessageAndFieldReplaceTheDefaults) {
  const v1::CallFailure failure =
      MakeFailure(E::INVALID_REQUEST, E::NOT_SENT, "req_1", "tool must not be empty", "tool");
  EXPECT_EQ(failure.message(), "tool must not be empty");
  EXPECT_EQ(failure.detail().field(), "tool");
}

TEST(OutcomeTest, RetryIsAdvisedOnlyWhereTheCallWasNotSent) {
  for (const auto& row : kTable) {
    SCOPED_TRACE(row.name);
    const v1::CallError not_sent = MakeFailure(row.reason, E::NOT_SENT, "").detail();
    EXPECT_EQ(not_sent.has_retry_after(), row.retry_after_ms > 0);
    EXPECT_EQ(not_sent.retry_after().seconds() * 1000 + not_sent.retry_after().nanos() / 1000000, row.retry_after_ms);
    EXPECT_FALSE(MakeFailure(row.reason, E::SENT, "").detail().has_retry_after());
  }
}

TEST(OutcomeTest, DetailsSurviveTheTrailer) {
  for (const auto& row : kTable) {
    const v1::CallFailure failure = MakeFailure(row.reason, E::NOT_SENT, "req_ü", "a message", "field");
    v1::CallFailure unpacked;
    ASSERT_TRUE(UnpackStatusDetails(PackStatusDetails(failure), &unpacked)) << row.name;
    EXPECT_EQ(unpacked.SerializeAsString(), failure.SerializeAsString()) << row.name;
  }
}

TEST(OutcomeTest, TrailerHasTheFormThatOtherClientsRead) {
  v1::StatusDetails details;
  ASSERT_TRUE(details.ParseFromString(PackStatusDetails(MakeFailure(E::AGENT_BUSY, E::NOT_SENT, "req_1"))));
  EXPECT_EQ(details.code(), 8);
  ASSERT_EQ(details.details_size(), 1);
  EXPECT_EQ(details.details(0).type_url(), "type.googleapis.com/toolwire.v1.CallError");
}

TEST(OutcomeTest, ForeignTrailersAreNotOurs) {
  v1::CallFailure failure;
  EXPECT_FALSE(UnpackStatusDetails("", &failure));
  EXPECT_FALSE(UnpackStatusDetails("\xff\xff\xff", &failure));
  v1::StatusDetails details;
  details.set_code(14);
  details.set_message("of someone else");
  EXPECT_FALSE(UnpackStatusDetails(details.SerializeAsString(), &failure)) << "without any detail";
  v1::PackedDetail* detail = details.add_details();
  detail->set_type_url("type.googleapis.com/google.rpc.ErrorInfo");
  detail->set_value("x");
  EXPECT_FALSE(UnpackStatusDetails(details.SerializeAsString(), &failure)) << "of another type";
  detail->set_type_url("type.googleapis.com/toolwire.v1.CallError");
  detail->set_value("\xff\xff\xff");
  EXPECT_FALSE(UnpackStatusDetails(details.SerializeAsString(), &failure)) << "of our type, broken";
}

TEST(OutcomeTest, OursIsFoundAmongForeignDetails) {
  v1::StatusDetails details;
  ASSERT_TRUE(details.ParseFromString(PackStatusDetails(MakeFailure(E::CALL_TIMEOUT, E::SENT, "req_1"))));
  v1::PackedDetail* foreign = details.add_details();
  foreign->set_type_url("type.googleapis.com/google.rpc.ErrorInfo");
  details.mutable_details()->SwapElements(0, 1);
  v1::CallFailure failure;
  ASSERT_TRUE(UnpackStatusDetails(details.SerializeAsString(), &failure));
  EXPECT_EQ(failure.detail().reason(), E::CALL_TIMEOUT);
  EXPECT_EQ(failure.detail().delivery(), E::SENT);
}

}  // namespace
}  // namespace toolwire
