#include "control/caller_auth.h"

#include <gtest/gtest.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "tests/fakes/fake_clock.h"
#include "tests/support/jwt_maker.h"
#include "tests/unit/control/tokens_fixture.h"

namespace toolwire {
namespace {

using E = v1::CallError;

class CallerAuthTest : public ::testing::Test {
 protected:
  // `expires=` so long after now.
  std::string ExpiresIn(std::chrono::milliseconds time) {
    return "expires=" + absl::FormatTime(absl::RFC3339_full, absl::FromUnixMillis(clock_.WallMs() + time.count()),
                                         absl::UTCTimeZone());
  }
  void Take(const std::string& file) {
    const absl::Status taken = auth_.Take(file);
    EXPECT_TRUE(taken.ok()) << taken;
  }
  CallerAuth::Admission Admit(const std::string& value, Scope scope = Scope::kCall) {
    return auth_.Admit({value}, scope);
  }
  static std::string Bearer(int n) { return "Bearer " + TokenText(n); }
  // How it was refused; unspecified: it was not.
  static E::Reason ReasonOf(const CallerAuth::Admission& admission) {
    EXPECT_NE(admission.caller == nullptr, !admission.refused.has_value());
    if (!admission.refused) return E::REASON_UNSPECIFIED;
    EXPECT_EQ(admission.refused->detail().delivery(), E::NOT_SENT);
    EXPECT_EQ(admission.refused->message().find("tw_A"), std::string::npos) << "it shows a token";
    return admission.refused->detail().reason();
  }
  E::Reason UserProblem(const CallerAuth::Admission& admission, const std::string& user_id) {
    const auto refused = auth_.CheckUser(admission.caller.get(), user_id, "r1");
    if (!refused) return E::REASON_UNSPECIFIED;
    EXPECT_EQ(refused->detail().request_id(), "r1");
    EXPECT_EQ(refused->detail().delivery(), E::NOT_SENT);
    return refused->detail().reason();
  }

  FakeClock clock_;
  CallerAuth auth_{clock_};
};

TEST_F(CallerAuthTest, WithoutTokensEverybodyMayDoEverything) {
  for (const Scope scope : {Scope::kCall, Scope::kRead, Scope::kAdmin}) {
    const auto admission = auth_.Admit({}, scope);
    EXPECT_EQ(admission.caller, nullptr);
    EXPECT_FALSE(admission.refused);
  }
  EXPECT_FALSE(auth_.CheckUser(nullptr, "anybody"));
}

TEST_F(CallerAuthTest, ScopesAllowWhatTheySay) {
  const struct {
    const char* scopes;
    bool call, read, admin;
  } cases[] = {{"call", true, false, false},
               {"read", false, true, false},
               {"call,read", true, true, false},
               {"admin", true, true, true},
               {"read,admin", true, true, true}};
  std::string file;
  for (size_t n = 0; n < std::size(cases); ++n) file += LineOf(static_cast<int>(n), "name", cases[n].scopes);
  Take(file);
  uint64_t refused = 0;
  for (size_t n = 0; n < std::size(cases); ++n) {
    const auto expect = [&](Scope scope, bool may) {
      EXPECT_EQ(ReasonOf(Admit(Bearer(static_cast<int>(n)), scope)), may ? E::REASON_UNSPECIFIED : E::PERMISSION_DENIED)
          << cases[n].scopes << " and " << NameOf(scope);
      if (!may) ++refused;
    };
    expect(Scope::kCall, cases[n].call);
    expect(Scope::kRead, cases[n].read);
    expect(Scope::kAdmin, cases[n].admin);
  }
  EXPECT_EQ(auth_.counters().scope.value(), refused);
}

TEST_F(CallerAuthTest, TokensThatAreMissingWrongOrDoubleAreRefusedAndCounted) {
  Take(LineOf(1, "shop", "call"));
  for (const std::string& value : {Bearer(1), "bearer " + TokenText(1), "BEARER   " + TokenText(1)}) {
    EXPECT_EQ(ReasonOf(Admit(value)), E::REASON_UNSPECIFIED) << value;
  }
  for (const std::string& value : {std::string(), std::string("Bearer"), std::string("Bearer "), TokenText(1),
                                   "Basic " + TokenText(1), "Bearer" + TokenText(1)}) {
    EXPECT_EQ(ReasonOf(Admit(value)), E::UNAUTHENTICATED) << value;
  }
  const std::string good = Bearer(1);
  EXPECT_EQ(ReasonOf(auth_.Admit({}, Scope::kCall)), E::UNAUTHENTICATED);
  EXPECT_EQ(ReasonOf(auth_.Admit({good, good}, Scope::kCall)), E::UNAUTHENTICATED);
  EXPECT_EQ(auth_.counters().missing.value(), 8u);
  for (const std::string& value : {Bearer(2), Bearer(1) + " ", Bearer(1) + "A", "Bearer " + TokenText(1).substr(0, 45),
                                   "Bearer " + std::string(100'000, 'A')}) {
    EXPECT_EQ(ReasonOf(Admit(value)), E::UNAUTHENTICATED);
  }
  EXPECT_EQ(auth_.counters().unknown.value(), 5u);
}

TEST_F(CallerAuthTest, CallersMayNameTheirUsersAlone) {
  Take(LineOf(1, "all", "call") + LineOf(2, "one", "call", "user=ab") + LineOf(3, "some", "call", "user-prefix=ab"));
  const auto all = Admit(Bearer(1)), one = Admit(Bearer(2)), some = Admit(Bearer(3));
  EXPECT_EQ(UserProblem(all, "x"), E::REASON_UNSPECIFIED);
  EXPECT_EQ(UserProblem(one, "ab"), E::REASON_UNSPECIFIED);
  EXPECT_EQ(UserProblem(one, "abc"), E::PERMISSION_DENIED);
  EXPECT_EQ(UserProblem(some, "abc"), E::REASON_UNSPECIFIED);
  EXPECT_EQ(UserProblem(some, "a"), E::PERMISSION_DENIED);
  EXPECT_EQ(auth_.counters().user.value(), 2u);
}

TEST_F(CallerAuthTest, TokensExpireAtTheirTimeForNewAndOldCallers) {
  Take(LineOf(1, "shop", "call", ExpiresIn(std::chrono::seconds(10))));
  const auto early = Admit(Bearer(1));
  clock_.Advance(std::chrono::milliseconds(9'999));
  EXPECT_EQ(ReasonOf(Admit(Bearer(1))), E::REASON_UNSPECIFIED);
  EXPECT_EQ(UserProblem(early, "u"), E::REASON_UNSPECIFIED);
  clock_.Advance(std::chrono::milliseconds(1));
  EXPECT_EQ(ReasonOf(Admit(Bearer(1))), E::UNAUTHENTICATED);
  EXPECT_EQ(UserProblem(early, "u"), E::UNAUTHENTICATED);
  EXPECT_EQ(auth_.counters().expired.value(), 2u);
}

TEST_F(CallerAuthTest, CallersOfLinesThatStayGoOnAndOthersAreRemoved) {
  const std::string rest = LineOf(2, "changed", "call") + LineOf(3, "gone", "call") + LineOf(4, "narrowed", "call");
  Take(LineOf(1, "stays", "call") + rest);
  std::vector<CallerAuth::Admission> before;
  for (int n = 1; n <= 4; ++n) before.push_back(Admit(Bearer(n)));
  Take(LineOf(5, "new", "call") + LineOf(1, "stays", "call", ExpiresIn(std::chrono::seconds(1))) +
       LineOf(2, "changed", "read") + LineOf(4, "narrowed", "call", "user=u"));
  EXPECT_EQ(auth_.tokens(), 4u);
  EXPECT_FALSE(before[0].caller->IsRemoved());
  EXPECT_EQ(Admit(Bearer(1)).caller, before[0].caller);
  for (int n = 2; n <= 4; ++n) {
    EXPECT_TRUE(before[n - 1].caller->IsRemoved()) << n;
    EXPECT_EQ(UserProblem(before[n - 1], "u"), E::UNAUTHENTICATED) << n;
  }
  EXPECT_EQ(ReasonOf(Admit(Bearer(3))), E::UNAUTHENTICATED);
  EXPECT_EQ(ReasonOf(Admit(Bearer(2), Scope::kRead)), E::REASON_UNSPECIFIED);
  EXPECT_EQ(ReasonOf(Admit(Bearer(5))), E::REASON_UNSPECIFIED);
  clock_.Advance(std::chrono::seconds(1));
  EXPECT_EQ(UserProblem(before[0], "u"), E::UNAUTHENTICATED) << "with the new line's expiry";
}

TEST_F(CallerAuthTest, FileThatIsWrongChangesNothing) {
  Take(LineOf(1, "shop", "call"));
  const auto before = Admit(Bearer(1));
  EXPECT_TRUE(absl::IsInvalidArgument(auth_.Take(LineOf(2, "other", "call") + "junk\n")));
  EXPECT_TRUE(absl::IsInvalidArgument(auth_.Take("")));
  EXPECT_EQ(ReasonOf(Admit(Bearer(2))), E::UNAUTHENTICATED);
  EXPECT_EQ(Admit(Bearer(1)).caller, before.caller);
  EXPECT_FALSE(before.caller->IsRemoved());
  EXPECT_EQ(auth_.counters().not_taken.value(), 2u);
  EXPECT_EQ(auth_.counters().taken.value(), 1u);
}

TEST_F(CallerAuthTest, CallsAreCountedByNameAcrossChangesOfTheFile) {
  Take(LineOf(1, "shop", "call") + LineOf(2, "shop", "call") + LineOf(3, "ops", "admin"));
  for (int n = 1; n <= 3; ++n) Admit(Bearer(n)).caller->counts->calls += 10;
  Take(LineOf(2, "shop", "call") + LineOf(4, "shop", "call"));
  Admit(Bearer(4)).caller->counts->calls += 1;
  std::vector<Sample> samples;
  auth_.AddSamples(&samples);
  std::vector<std::pair<std::string, double>> counted;
  for (const Sample& sample : samples) {
    if (sample.name == "toolwire_control_calls_of_caller_total")
      counted.emplace_back(sample.labels.at(0).second, sample.value);
  }
  EXPECT_EQ(counted, (std::vector<std::pair<std::string, double>>{{"shop", 21}})) << "no name but those of the file";
}

// Tokens of an issuer beside those of the file.
class CallerAuthJwtTest : public CallerAuthTest {
 protected:
  CallerAuthJwtTest() {
    JwtOptions options;
    options.rules.issuer = kIssuer;
    options.rules.audience = kAudience;
    options.failures_per_second_max = 2;
    jwt_auth_.emplace(clock_, options);
  }
  void TakeKeys(const std::string& file) {
    std::vector<std::string> skipped;
    EXPECT_TRUE(jwt_auth_->jwt().Take(file, &skipped).ok());
  }
  CallerAuth::Admission Show(const std::string& token, Scope scope = Scope::kCall) {
    return jwt_auth_->Admit({"Bearer " + token}, scope);
  }
  std::string Jwt(const char* claim = "jti", const nlohmann::json& value = 1) {
    nlohmann::json claims = GoodClaims(clock_.WallMs());
    claims[claim] = value;
    return key_.Token(claims);
  }

  const IssuerKey key_ = IssuerKey::Ec("key");
  std::optional<CallerAuth> jwt_auth_;
};

TEST_F(CallerAuthJwtTest, EitherKindOfTokenIsTakenAndOneIsAskedForOnceThereAreKeys) {
  EXPECT_FALSE(Show(Jwt()).refused) << "nobody is asked";
  EXPECT_EQ(jwt_auth_->Admit({}, Scope::kCall).caller, nullptr);
  TakeKeys(JwksOf(key_));
  EXPECT_EQ(ReasonOf(jwt_auth_->Admit({}, Scope::kCall)), E::UNAUTHENTICATED);
  ASSERT_TRUE(jwt_auth_->Take(LineOf(1, "shop", "call")).ok());
  EXPECT_EQ(Show(TokenText(1)).caller->name, "shop");
  EXPECT_EQ(Show(Jwt()).caller->name, "jwt:user_1");
  EXPECT_EQ(ReasonOf(Show(TokenText(2))), E::UNAUTHENTICATED);
}

TEST_F(CallerAuthJwtTest, ScopesUsersAndExpiryAreThoseOfTheClaims) {
  TakeKeys(JwksOf(key_));
  const auto admitted = Show(Jwt());
  EXPECT_EQ(ReasonOf(admitted), E::REASON_UNSPECIFIED);
  EXPECT_EQ(ReasonOf(Show(Jwt(), Scope::kAdmin)), E::PERMISSION_DENIED);
  EXPECT_FALSE(jwt_auth_->CheckUser(admitted.caller.get(), "user_1"));
  EXPECT_EQ(jwt_auth_->CheckUser(admitted.caller.get(), "user_2")->detail().reason(), E::PERMISSION_DENIED);
  const std::string token = Jwt();
  clock_.Advance(std::chrono::seconds(3600 + 60));
  EXPECT_EQ(ReasonOf(Show(token)), E::UNAUTHENTICATED);
  EXPECT_EQ(jwt_auth_->CheckUser(admitted.caller.get(), "user_1")->detail().reason(), E::UNAUTHENTICATED);
  EXPECT_EQ(jwt_auth_->counters().expired.value(), 2u);
}

TEST_F(CallerAuthJwtTest, KeyThatIsGoneEndsItsCallers) {
  TakeKeys(JwksOf(key_));
  const std::string token = Jwt();
  const auto admitted = Show(token);
  TakeKeys(JwksOf(IssuerKey::Ec("next")));
  EXPECT_TRUE(admitted.caller->IsRemoved());
  EXPECT_EQ(jwt_auth_->CheckUser(admitted.caller.get(), "user_1")->detail().reason(), E::UNAUTHENTICATED);
  EXPECT_EQ(ReasonOf(Show(token)), E::UNAUTHENTICATED);
  EXPECT_EQ(jwt_auth_->counters().unknown.value(), 2u);
}

TEST_F(CallerAuthJwtTest, WhatIsWrongIsSaidWithoutTheToken) {
  TakeKeys(JwksOf(key_));
  const std::string token = Jwt("aud", "other");
  const auto refused = Show(token);
  EXPECT_EQ(ReasonOf(refused), E::UNAUTHENTICATED);
  EXPECT_NE(refused.refused->message().find("its aud does not name"), std::string::npos);
  EXPECT_EQ(refused.refused->message().find(token.substr(0, 10)), std::string::npos);
  EXPECT_EQ(jwt_auth_->counters().invalid.value(), 1u);
}

TEST_F(CallerAuthJwtTest, TokensOfAnAddressThatFailsTooOftenAreRefusedForALittleWhile) {
  TakeKeys(JwksOf(key_));
  for (int i = 0; i < 2; ++i) Show(Jwt("aud", std::to_string(i)));
  const auto refused = Show(Jwt());
  EXPECT_EQ(ReasonOf(refused), E::CALLER_BUSY);
  EXPECT_TRUE(refused.refused->detail().has_retry_after());
}

}  // namespace
}  // namespace toolwire
