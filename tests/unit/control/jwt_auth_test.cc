#include "control/jwt_auth.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "tests/fakes/fake_clock.h"
#include "tests/support/jwt_maker.h"

namespace toolwire {
namespace {

using JoseJson = nlohmann::json;
using P = JwtProblem;
using std::chrono::milliseconds;
using std::chrono::seconds;

// Made once: an RSA key takes 100 ms.
const IssuerKey& Old() {
  static const IssuerKey key = IssuerKey::Rsa("2026-01");
  return key;
}
const IssuerKey& New() {
  static const IssuerKey key = IssuerKey::Ec("2026-02");
  return key;
}

JwtOptions IssuerOptions() {
  JwtOptions options;
  options.rules.issuer = kIssuer;
  options.rules.audience = kAudience;
  return options;
}

class JwtAuthTest : public ::testing::Test {
 protected:
  explicit JwtAuthTest(JwtOptions options = IssuerOptions()) : auth_(clock_, options) { Take(JwksOf(Old(), New())); }

  void Take(const std::string& file) {
    std::vector<std::string> skipped;
    const absl::Status taken = auth_.Take(file, &skipped);
    EXPECT_TRUE(taken.ok()) << taken;
  }
  std::string TokenOf(const IssuerKey& key, const std::string& user = "user_1") {
    JoseJson claims = GoodClaims(clock_.WallMs());
    claims["sub"] = user;
    return key.Token(claims);
  }
  P ProblemOf(const std::string& token) {
    const JwtAuth::Found found = auth_.Find(token, kPeer);
    EXPECT_NE(found.caller == nullptr, found.problem == P::kNone && !found.busy);
    return found.problem;
  }
  uint64_t checked() { return auth_.counters().checked.value(); }

  static constexpr char kPeer[] = "ipv4:192.0.2.1:4000";
  FakeClock clock_;
  JwtAuth auth_;
};

TEST_F(JwtAuthTest, GoodTokenIsCheckedOnceAndThenKnown) {
  for (const IssuerKey* key : {&Old(), &New()}) {
    const uint64_t before = checked();
    const std::string token = TokenOf(*key);
    const auto first = auth_.Find(token, kPeer), second = auth_.Find(token, kPeer);
    ASSERT_NE(first.caller, nullptr);
    EXPECT_EQ(second.caller, first.caller);
    EXPECT_EQ(checked() - before, 1u);
    EXPECT_EQ(first.caller->name, "jwt:user_1");
    EXPECT_TRUE(first.caller->May(Scope::kCall));
    EXPECT_FALSE(first.caller->May(Scope::kAdmin));
    EXPECT_TRUE(first.caller->users.Covers("user_1"));
    EXPECT_FALSE(first.caller->users.Covers("user_2"));
  }
}

TEST_F(JwtAuthTest, TokenThatWasChangedAnywhereIsRefused) {
  for (const IssuerKey* key : {&Old(), &New()}) {
    const std::string token = TokenOf(*key);
    ASSERT_EQ(ProblemOf(token), P::kNone);
    for (size_t i = 0; i < token.size(); i += 3) {
      std::string changed = token;
      changed[i] = changed[i] == 'A' ? 'B' : 'A';
      EXPECT_NE(ProblemOf(changed), P::kNone) << i;
      EXPECT_NE(ProblemOf(token.substr(0, i)), P::kNone) << i;
      clock_.Advance(milliseconds(10));
    }
    EXPECT_NE(ProblemOf(token + "A"), P::kNone);
    EXPECT_NE(ProblemOf(token + "="), P::kNone);
  }
}

TEST_F(JwtAuthTest, AlgorithmIsTheKeysAndNotTheTokens) {
  const JoseJson claims = GoodClaims(clock_.WallMs());
  const auto with_header = [&](const IssuerKey& key, const char* name, const JoseJson& value) {
    JoseJson header = key.Header();
    header[name] = value;
    return key.TokenOf(claims.dump(), header);
  };
  EXPECT_EQ(ProblemOf(with_header(Old(), "alg", "ES256")), P::kAlgorithm);
  EXPECT_EQ(ProblemOf(with_header(New(), "alg", "RS256")), P::kAlgorithm);
  EXPECT_EQ(ProblemOf(with_header(New(), "kid", Old().kid)), P::kAlgorithm);
  EXPECT_EQ(checked(), 0u) << "no signature was looked at";
  EXPECT_EQ(ProblemOf(IssuerKey::Ec(New().kid).Token(claims)), P::kSignature) << "another's key under a known id";
  EXPECT_EQ(ProblemOf(IssuerKey::Ec("unknown").Token(claims)), P::kUnknownKey);
}

TEST_F(JwtAuthTest, TokenThatIsGoodForSomebodyElseIsRefused) {
  JoseJson claims = GoodClaims(clock_.WallMs());
  claims["aud"] = "another program";
  EXPECT_EQ(ProblemOf(New().Token(claims)), P::kAudience);
  claims = GoodClaims(clock_.WallMs());
  claims["iss"] = "https://another.example";
  EXPECT_EQ(ProblemOf(New().Token(claims)), P::kIssuer);
}

TEST_F(JwtAuthTest, TokenThatIsNotValidYetIsTakenWhenItIs) {
  JoseJson claims = GoodClaims(clock_.WallMs());
  claims["nbf"] = clock_.WallMs() / 1000 + 61;
  const std::string token = New().Token(claims);
  EXPECT_EQ(ProblemOf(token), P::kNotYet);
  clock_.Advance(seconds(1));
  EXPECT_EQ(ProblemOf(token), P::kNone);
}

TEST_F(JwtAuthTest, ExpiredTokenStaysKnownSoThatRefusingItAgainCostsNothing) {
  JoseJson claims = GoodClaims(clock_.WallMs());
  claims["exp"] = clock_.WallMs() / 1000 + 10;
  const std::string token = New().Token(claims);
  const auto early = auth_.Find(token, kPeer);
  ASSERT_NE(early.caller, nullptr);
  clock_.Advance(seconds(70) - milliseconds(1));
  EXPECT_FALSE(early.caller->HasExpired(clock_.WallMs())) << "within the leeway";
  clock_.Advance(milliseconds(1));
  EXPECT_TRUE(early.caller->HasExpired(clock_.WallMs()));
  EXPECT_EQ(auth_.Find(token, kPeer).caller, early.caller);
  EXPECT_EQ(checked(), 1u);
}

TEST_F(JwtAuthTest, RemovedKeyEndsItsCallersAndTheOthersGoOn) {
  const std::string old_token = TokenOf(Old()), new_token = TokenOf(New());
  const auto of_old = auth_.Find(old_token, kPeer), of_new = auth_.Find(new_token, kPeer);
  ASSERT_TRUE(of_old.caller != nullptr && of_new.caller != nullptr);
  Take(JwksOf(New()));
  EXPECT_TRUE(of_old.caller->IsRemoved());
  EXPECT_FALSE(of_new.caller->IsRemoved());
  EXPECT_EQ(ProblemOf(old_token), P::kUnknownKey) << "what is known does not outlive its key";
  EXPECT_EQ(auth_.Find(new_token, kPeer).caller, of_new.caller);
  EXPECT_EQ(auth_.keys(), 1u);
  // The key comes back: its tokens are good again, and the callers of before stay removed.
  Take(JwksOf(Old(), New()));
  const auto again = auth_.Find(old_token, kPeer);
  ASSERT_NE(again.caller, nullptr);
  EXPECT_NE(again.caller, of_old.caller);
  EXPECT_TRUE(of_old.caller->IsRemoved());
}

TEST_F(JwtAuthTest, AnotherKeyUnderTheSameIdIsAnotherKey) {
  const std::string token = TokenOf(New());
  const auto before = auth_.Find(token, kPeer);
  ASSERT_NE(before.caller, nullptr);
  const IssuerKey replaced = IssuerKey::Ec(New().kid);
  Take(JwksOf(replaced));
  EXPECT_TRUE(before.caller->IsRemoved());
  EXPECT_EQ(ProblemOf(token), P::kSignature);
  EXPECT_EQ(ProblemOf(TokenOf(replaced)), P::kNone);
}

TEST_F(JwtAuthTest, FileThatIsNotValidChangesNothing) {
  const std::string token = TokenOf(New());
  const auto before = auth_.Find(token, kPeer);
  std::vector<std::string> skipped;
  for (const char* const file : {"", "{\"keys\":[]}", "{\"keys\":[{\"kty\":\"OKP\"}]}", "junk"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(auth_.Take(file, &skipped))) << file;
  }
  EXPECT_EQ(auth_.counters().not_taken.value(), 4u);
  EXPECT_EQ(auth_.counters().taken.value(), 1u);
  EXPECT_FALSE(before.caller->IsRemoved());
  EXPECT_EQ(auth_.Find(token, kPeer).caller, before.caller);
}

TEST_F(JwtAuthTest, KeysThatAreNotUsedAreNamed) {
  std::vector<std::string> skipped;
  const JoseJson file = {{"keys", JoseJson::array({{{"kty", "OKP"}}, New().Public()})}};
  ASSERT_TRUE(auth_.Take(file.dump(), &skipped).ok());
  EXPECT_EQ(skipped, std::vector<std::string>{"key 1: its kty is neither RSA nor EC"});
  EXPECT_EQ(auth_.keys(), 1u);
}

TEST_F(JwtAuthTest, TokensThatAreTooLargeOrLiveTooLongAreCounted) {
  JoseJson claims = GoodClaims(clock_.WallMs());
  claims["groups"] = std::string(12'000, 'g');
  EXPECT_EQ(ProblemOf(New().Token(claims)), P::kTooLarge);
  EXPECT_EQ(auth_.counters().large.value(), 1u);
  claims["groups"] = std::string(11'800, 'g');
  EXPECT_EQ(ProblemOf(New().Token(claims)), P::kNone);
  claims = GoodClaims(clock_.WallMs());
  claims["exp"] = clock_.WallMs() / 1000 + 24 * 3600;
  EXPECT_EQ(ProblemOf(New().Token(claims)), P::kNone);
  EXPECT_EQ(auth_.counters().lifetime.value(), 0u);
  claims["exp"] = clock_.WallMs() / 1000 + 24 * 3600 + 1;
  EXPECT_EQ(ProblemOf(New().Token(claims)), P::kLifetime);
  EXPECT_EQ(auth_.counters().lifetime.value(), 1u);
}

TEST_F(JwtAuthTest, CallsAreCountedByProgramAndThereIsABoundToTheirNames) {
  JoseJson claims = GoodClaims(clock_.WallMs());
  const auto count = [&](const JoseJson& client) {
    claims["azp"] = client;
    const auto found = auth_.Find(New().Token(claims), kPeer);
    ASSERT_NE(found.caller, nullptr) << client;
    ++found.caller->counts->calls;
  };
  for (size_t i = 0; i < JwtAuth::kClientsMax; ++i) count("client-" + std::to_string(i));
  for (const JoseJson& other :
       {JoseJson("one-too-many"), JoseJson("no name"), JoseJson(7), JoseJson(std::string(65, 'c'))})
    count(other);
  count("client-0");
  std::vector<Sample> samples;
  auth_.AddSamples(&samples);
  size_t names = 0;
  for (const Sample& sample : samples) {
    if (sample.name != "toolwire_control_calls_of_caller_total") continue;
    ++names;
    const std::string& name = sample.labels.at(0).second;
    EXPECT_EQ(sample.value, name == "jwt:" ? 4 : name == "jwt:client-0" ? 2 : 1) << name;
  }
  EXPECT_EQ(names, JwtAuth::kClientsMax + 1);
}

TEST_F(JwtAuthTest, CallersAreCalledByTheirSubjectOrTheirProgram) {
  const auto name_of = [&](const char* erased, const char* erased_too) {
    JoseJson claims = GoodClaims(clock_.WallMs());
    claims["scope"] = "toolwire:any-user";
    claims.erase(erased);
    claims.erase(erased_too);
    const auto found = auth_.Find(New().Token(claims), kPeer);
    return found.caller == nullptr ? "none" : found.caller->name;
  };
  EXPECT_EQ(name_of("", ""), "jwt:user_1");
  EXPECT_EQ(name_of("sub", ""), "jwt:shop");
  EXPECT_EQ(name_of("sub", "azp"), "jwt:") << "which no line of the token file can be called";
  EXPECT_NE(CheckTokenName("jwt:"), nullptr);
}

TEST_F(JwtAuthTest, ThreadsThatShowTheSameTokenAreTheSameCaller) {
  const std::string token = TokenOf(New());
  std::vector<std::shared_ptr<Caller>> callers(4);
  std::vector<std::thread> threads;
  for (auto& caller : callers) threads.emplace_back([&] { caller = auth_.Find(token, kPeer).caller; });
  for (std::thread& thread : threads) thread.join();
  for (const auto& caller : callers) EXPECT_EQ(caller, callers[0]);
  EXPECT_NE(callers[0], nullptr);
}

class JwtAuthFailuresTest : public JwtAuthTest {
 protected:
  static JwtOptions Few() {
    JwtOptions options = IssuerOptions();
    options.failures_per_second_max = 2;
    options.addresses_max = 2;
    return options;
  }
  JwtAuthFailuresTest() : JwtAuthTest(Few()) {}
  // One of many that differ, signed by somebody else.
  std::string Forged() { return IssuerKey::Ec(New().kid).Token(GoodClaims(clock_.WallMs())); }
};

TEST_F(JwtAuthFailuresTest, AddressThatFailsTooOftenHasNothingCheckedForTheRestOfItsSecond) {
  const std::string known = TokenOf(New());
  ASSERT_EQ(ProblemOf(known), P::kNone);
  for (int i = 0; i < 2; ++i) EXPECT_EQ(ProblemOf(Forged()), P::kSignature);
  EXPECT_EQ(checked(), 3u);
  EXPECT_EQ(auth_.counters().failures.value(), 0u);
  const std::string fresh = TokenOf(New(), "user_2");
  EXPECT_TRUE(auth_.Find(Forged(), kPeer).busy);
  EXPECT_TRUE(auth_.Find(fresh, "ipv4:192.0.2.1:5000").busy) << "another connection of the address";
  EXPECT_EQ(auth_.counters().failures.value(), 2u);
  EXPECT_EQ(checked(), 3u) << "no signature was looked at";
  EXPECT_EQ(ProblemOf(known), P::kNone) << "what is known costs nothing";
  EXPECT_EQ(ProblemOf(IssuerKey::Ec("unknown").Token(GoodClaims(clock_.WallMs()))), P::kUnknownKey);
  EXPECT_NE(auth_.Find(fresh, "ipv4:192.0.2.2:4000").caller, nullptr) << "another address";
  clock_.Advance(seconds(1));
  EXPECT_EQ(ProblemOf(Forged()), P::kSignature);
}

TEST_F(JwtAuthFailuresTest, GoodSignaturesWithWrongClaimsCountToo) {
  JoseJson claims = GoodClaims(clock_.WallMs());
  claims["aud"] = "another program";
  for (int i = 0; i < 2; ++i) {
    claims["jti"] = i;
    EXPECT_EQ(ProblemOf(New().Token(claims)), P::kAudience);
  }
  EXPECT_TRUE(auth_.Find(Forged(), kPeer).busy);
}

TEST_F(JwtAuthFailuresTest, AddressesThatFailAreBounded) {
  for (const char* const peer : {"ipv4:192.0.2.1:1", "ipv6:%5B2001:db8::1%5D:1", "ipv6:%5B2001:db8::2%5D:1"}) {
    EXPECT_EQ(auth_.Find(Forged(), peer).problem, P::kSignature);
  }
  EXPECT_EQ(auth_.counters().addresses_full.value(), 0u) << "a /64 is one address";
  EXPECT_EQ(auth_.Find(Forged(), "ipv4:192.0.2.3:1").problem, P::kSignature);
  EXPECT_EQ(auth_.counters().addresses_full.value(), 1u);
}

class JwtAuthCacheTest : public JwtAuthTest {
 protected:
  // Room for three, with names of one length.
  static JwtOptions Small() {
    JwtOptions options = IssuerOptions();
    options.cache_bytes_max = 3 * (512 + std::string("jwt:user_1").size() + std::string("user_1").size());
    return options;
  }
  JwtAuthCacheTest() : JwtAuthTest(Small()) {}
};

TEST_F(JwtAuthCacheTest, FullItForgetsTheTokenThatWasUsedLongestAgo) {
  std::vector<std::string> tokens;
  for (int i = 1; i <= 4; ++i) tokens.push_back(TokenOf(New(), "user_" + std::to_string(i)));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(ProblemOf(tokens[i]), P::kNone);
  EXPECT_EQ(ProblemOf(tokens[0]), P::kNone);
  EXPECT_EQ(checked(), 3u);
  EXPECT_EQ(auth_.counters().cache_full.value(), 0u);
  const auto second = auth_.Find(tokens[1], kPeer);
  EXPECT_EQ(ProblemOf(tokens[2]), P::kNone);
  EXPECT_EQ(ProblemOf(tokens[3]), P::kNone) << "in the place of the first";
  EXPECT_EQ(auth_.counters().cache_full.value(), 1u);
  EXPECT_EQ(checked(), 4u);
  EXPECT_EQ(auth_.Find(tokens[1], kPeer).caller, second.caller);
  EXPECT_EQ(checked(), 4u);
  EXPECT_EQ(ProblemOf(tokens[0]), P::kNone) << "checked again";
  EXPECT_EQ(checked(), 5u);
}

TEST_F(JwtAuthCacheTest, CallerWhoseTokenWasForgottenIsStillEndedWithItsKey) {
  const auto first = auth_.Find(TokenOf(New(), "user_0"), kPeer);
  ASSERT_NE(first.caller, nullptr);
  for (int i = 1; i <= 4; ++i) EXPECT_EQ(ProblemOf(TokenOf(New(), "user_" + std::to_string(i))), P::kNone);
  Take(JwksOf(Old()));
  EXPECT_TRUE(first.caller->IsRemoved());
}

}  // namespace
}  // namespace toolwire
