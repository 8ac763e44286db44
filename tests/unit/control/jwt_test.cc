#include "control/jwt.h"

#include <gtest/gtest.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/jwt_maker.h"

namespace toolwire {
namespace {

using JoseJson = nlohmann::json;
using P = JwtProblem;

constexpr int64_t kClaimsNowMs = 1'700'000'000'500, kClaimsNow = kClaimsNowMs / 1000;
constexpr auto BitOf = [](Scope scope) { return static_cast<unsigned>(scope); };

JwtRules IssuerRules() {
  JwtRules rules;
  rules.issuer = kIssuer;
  rules.audience = kAudience;
  return rules;
}

// --- the form --------------------------------------------------------------------------------------------------------

std::string TokenWith(const std::string& header, const std::string& rest = ".e30.AAAA") {
  return Base64Url(header) + rest;
}
P FormProblem(const std::string& token) {
  Jwt jwt;
  return ReadJwt(token, &jwt);
}
P HeaderProblem(const std::string& header) { return FormProblem(TokenWith(header)); }
P HeaderWith(const char* name, const JoseJson& value) {
  JoseJson header = {{"alg", "RS256"}, {"kid", "k"}};
  header[name] = value;
  return HeaderProblem(header.dump());
}

TEST(JwtTest, PartsAreThoseOfTheText) {
  const std::string token = TokenWith(R"({"alg":"ES256","kid":"k\u0065y","typ":"JWT","x5t":"AA"})", ".e30.AQID");
  Jwt jwt;
  ASSERT_EQ(ReadJwt(token, &jwt), P::kNone);
  EXPECT_EQ(jwt.algorithm, JwtAlgorithm::kEs256);
  EXPECT_EQ(jwt.kid, "key");
  EXPECT_EQ(jwt.claims, "e30");
  EXPECT_EQ(jwt.signature, "\x01\x02\x03");
  EXPECT_EQ(jwt.signed_text, token.substr(0, token.size() - 5));
}

TEST(JwtTest, FormOfATokenIsKnownByItsCharacters) {
  EXPECT_TRUE(IsJwtForm("e30.e30.AAAA"));
  EXPECT_TRUE(IsJwtForm("..")) << "a JWT, and a bad one";
  for (const char* const text : {"", "e30.e30", "e30.e30.A.A", "e30.e30.A=", "e30.e30.A A", "e3+.e30.A", "tw_abc"}) {
    EXPECT_FALSE(IsJwtForm(text)) << text;
  }
}

TEST(JwtTest, OnlyThreePartsInStrictBase64UrlAreRead) {
  const std::string good = R"({"alg":"RS256","kid":"k"})";  // 25 bytes: two characters in the last group.
  EXPECT_EQ(HeaderProblem(good), P::kNone);
  const std::string text = Base64Url(good);
  for (const std::string& token :
       {std::string("."), std::string(".."), text, text + ".e30", text + ".e30.AAAA.AAAA", text + "==.e30.AAAA",
        text + "=.e30.AAAA", text.substr(0, text.size() - 1) + "R.e30.AAAA", text + ".e30.AAAAA",
        text + ".e30.AAAA=", text + ".e30.AA A", text + ".e30.AAAB+", " " + text + ".e30.AAAA"}) {
    EXPECT_EQ(FormProblem(token), P::kForm) << token;
  }
}

TEST(JwtTest, HeaderIsOneJsonObjectWithDifferentNames) {
  const std::string good = R"({"alg":"RS256","kid":"k"})";
  EXPECT_EQ(HeaderProblem(" " + good + "\n"), P::kNone);
  for (const std::string& header :
       {std::string("{}x"), good + good, std::string("[]"), std::string("\"RS256\""), std::string("{"),
        std::string("\xff"), std::string(R"({"alg":"none","alg":"RS256","kid":"k"})"),
        std::string(R"({"alg":"RS256","kid":"k","al\u0067":"RS256"})"),
        R"({"alg":"RS256","kid":"k","x":)" + std::string(4, '[') + std::string(4, ']') + "}",
        R"({"alg":"RS256","kid":"k","x":)" + std::string(700, '[') + std::string(700, ']') + "}"}) {
    EXPECT_EQ(HeaderProblem(header), P::kForm) << header;
  }
  EXPECT_EQ(HeaderProblem("{}"), P::kAlgorithm);
}

TEST(JwtTest, OnlyTwoAlgorithmsAreKnown) {
  for (const char* const algorithm : {"none", "None", "", "HS256", "HS512", "RS384", "RS512", "PS256", "ES384", "ES512",
                                      "EdDSA", "rs256", "RS256 "}) {
    EXPECT_EQ(HeaderWith("alg", algorithm), P::kAlgorithm) << algorithm;
  }
  for (const JoseJson& algorithm : {JoseJson(nullptr), JoseJson(256), JoseJson::array({"RS256"})}) {
    EXPECT_EQ(HeaderWith("alg", algorithm), P::kAlgorithm) << algorithm;
  }
}

TEST(JwtTest, HeadersThatBringAKeyOrAskForWhatIsNotKnownEndIt) {
  EXPECT_EQ(HeaderWith("crit", JoseJson::array({"exp"})), P::kHeader);
  EXPECT_EQ(HeaderWith("crit", JoseJson::array()), P::kHeader);
  EXPECT_EQ(HeaderWith("jku", "https://attacker.example/keys"), P::kHeader);
  EXPECT_EQ(HeaderWith("x5u", "https://attacker.example/cert"), P::kHeader);
  EXPECT_EQ(HeaderWith("x5c", JoseJson::array({"AA"})), P::kHeader);
  EXPECT_EQ(HeaderWith("jwk", {{"kty", "RSA"}}), P::kHeader);
  EXPECT_EQ(HeaderWith("jwk", nullptr), P::kHeader);
}

TEST(JwtTest, TypeIsThatOfAnAccessTokenOrAbsent) {
  for (const char* const type : {"JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt", "application/jwt"}) {
    EXPECT_EQ(HeaderWith("typ", type), P::kNone) << type;
  }
  for (const JoseJson& type : {JoseJson("logout+jwt"), JoseJson("dpop+jwt"), JoseJson(""), JoseJson(1), JoseJson(nullptr)}) {
    EXPECT_EQ(HeaderWith("typ", type), P::kHeader) << type;
  }
}

TEST(JwtTest, TokenMustNameItsKey) {
  EXPECT_EQ(HeaderProblem(R"({"alg":"RS256"})"), P::kUnknownKey);
  for (const JoseJson& kid : {JoseJson(""), JoseJson(1), JoseJson(nullptr), JoseJson(std::string(257, 'k'))}) {
    EXPECT_EQ(HeaderWith("kid", kid), P::kUnknownKey) << kid;
  }
  EXPECT_EQ(HeaderWith("kid", std::string(256, 'k')), P::kNone);
}

TEST(JwtTest, TokenHeaderAndSignatureAreBoundedBeforeTheyAreRead) {
  const std::string text = Base64Url(R"({"alg":"RS256","kid":"k"})");
  const auto of_size = [&](size_t size) { return text + "." + std::string(size - text.size() - 6, 'A') + ".AAAA"; };
  EXPECT_EQ(of_size(kJwtBytesMax).size(), 16384u);
  EXPECT_EQ(FormProblem(of_size(kJwtBytesMax)), P::kNone);
  EXPECT_EQ(FormProblem(of_size(kJwtBytesMax + 1)), P::kTooLarge);
  const auto header_of = [](size_t bytes) {
    const std::string begin = R"({"alg":"RS256","kid":"k","x":")";
    return begin + std::string(bytes - begin.size() - 2, 'x') + "\"}";
  };
  EXPECT_EQ(Base64Url(header_of(1536)).size(), 2048u);
  EXPECT_EQ(HeaderProblem(header_of(1536)), P::kNone);
  EXPECT_EQ(HeaderProblem(header_of(1537)), P::kForm);
  EXPECT_EQ(FormProblem(text + ".e30." + Base64Url(std::string(1024, 's'))), P::kNone);
  EXPECT_EQ(FormProblem(text + ".e30." + Base64Url(std::string(1025, 's'))), P::kForm);
}

// --- the claims ------------------------------------------------------------------------------------------------------

class JwtClaimsTest : public ::testing::Test {
 protected:
  P Read(const std::string& text) {
    read_ = {};
    return ReadClaims(Base64Url(text), rules_, kClaimsNowMs, &read_);
  }
  P Read(const JoseJson& claims) { return Read(claims.dump()); }
  // With this claim instead of its own, or without it.
  P With(const char* name, const JoseJson& value) {
    JoseJson claims = GoodClaims(kClaimsNowMs);
    claims[name] = value;
    return Read(claims);
  }
  P Without(const char* name) {
    JoseJson claims = GoodClaims(kClaimsNowMs);
    claims.erase(name);
    return Read(claims);
  }

  JwtRules rules_ = IssuerRules();
  JwtClaims read_;
};

TEST_F(JwtClaimsTest, GoodClaimsGiveScopesAndOneUser) {
  ASSERT_EQ(Read(GoodClaims(kClaimsNowMs)), P::kNone);
  EXPECT_EQ(read_.scopes, BitOf(Scope::kCall) | BitOf(Scope::kRead));
  EXPECT_EQ(read_.users, (UserBound{UserBound::Kind::kOne, "user_1"}));
  EXPECT_EQ(read_.expires_ms, (kClaimsNow + 3600 + 60) * 1000);
  EXPECT_EQ(read_.subject, "user_1");
  EXPECT_EQ(read_.client, "shop");
}

TEST_F(JwtClaimsTest, ClaimsAreOneJsonObjectWithDifferentNamesThatIsNotDeep) {
  const std::string good = GoodClaims(kClaimsNowMs).dump();
  EXPECT_EQ(Read(good), P::kNone);
  std::string twice = good;
  twice.insert(1, R"("sub":"user_2",)");
  for (const std::string& text : {twice, good + "x", std::string("[]"), std::string(), std::string("{\"\xff\":1}")}) {
    EXPECT_EQ(Read(text), P::kClaims) << text;
  }
  const auto deep = [&](size_t levels) {
    std::string text = good;
    text.insert(1, R"("x":)" + std::string(levels, '[') + std::string(levels, ']') + ",");
    return text;
  };
  EXPECT_EQ(Read(deep(15)), P::kNone);
  EXPECT_EQ(Read(deep(16)), P::kClaims);
  EXPECT_EQ(Read(deep(6000)), P::kClaims);
  EXPECT_EQ(ReadClaims("e30=", rules_, kClaimsNowMs, &read_), P::kForm);
}

TEST_F(JwtClaimsTest, IssuerIsComparedByteForByte) {
  EXPECT_EQ(With("iss", "https://issuer.example/"), P::kIssuer);
  EXPECT_EQ(With("iss", "HTTPS://issuer.example"), P::kIssuer);
  EXPECT_EQ(With("iss", JoseJson::array({kIssuer})), P::kIssuer);
  EXPECT_EQ(Without("iss"), P::kIssuer);
}

TEST_F(JwtClaimsTest, AudienceIsATextOrInAnArray) {
  EXPECT_EQ(With("aud", JoseJson::array({"other", kAudience})), P::kNone);
  for (const JoseJson& audience :
       {JoseJson("Toolwire"), JoseJson("toolwire2"), JoseJson("tool"), JoseJson(""), JoseJson(nullptr), JoseJson::array(),
        JoseJson::array({"other"}), JoseJson::array({kAudience, 1}), JoseJson({{kAudience, true}})}) {
    EXPECT_EQ(With("aud", audience), P::kAudience) << audience;
  }
  EXPECT_EQ(Without("aud"), P::kAudience);
}

TEST_F(JwtClaimsTest, TimesMustBeThereAndInOrder) {
  for (const char* const name : {"exp", "iat"}) {
    EXPECT_EQ(Without(name), P::kTimes) << name;
    for (const JoseJson& time :
         {JoseJson("1700003600"), JoseJson(nullptr), JoseJson(-1), JoseJson(1e300), JoseJson(253402300800), JoseJson(true)}) {
      EXPECT_EQ(With(name, time), P::kTimes) << name << " " << time;
    }
  }
  EXPECT_EQ(With("exp", kClaimsNow - 1), P::kTimes) << "before iat";
  EXPECT_EQ(With("nbf", "1700000000"), P::kTimes);
  EXPECT_EQ(With("nbf", kClaimsNow), P::kNone);
  EXPECT_EQ(Read(std::string(R"({"exp":1e999})")), P::kClaims) << "no number that there is";
  EXPECT_EQ(With("exp", kClaimsNow + 10.75), P::kNone);
  EXPECT_EQ(read_.expires_ms, (kClaimsNow + 70) * 1000 + 750);
}

TEST_F(JwtClaimsTest, LeewayIsBetweenTheClocksAndNoLonger) {
  // Now is half a second after kClaimsNow.
  EXPECT_EQ(With("nbf", kClaimsNow + 60), P::kNone);
  EXPECT_EQ(With("nbf", kClaimsNow + 61), P::kNotYet);
  EXPECT_EQ(With("iat", kClaimsNow + 60), P::kNone);
  EXPECT_EQ(With("iat", kClaimsNow + 61), P::kNotYet);
  rules_.leeway = Duration::zero();
  EXPECT_EQ(With("iat", kClaimsNow + 1), P::kNotYet);
  EXPECT_EQ(Read(GoodClaims(kClaimsNowMs)), P::kNone);
  EXPECT_EQ(read_.expires_ms, (kClaimsNow + 3600) * 1000);
}

TEST_F(JwtClaimsTest, LifetimeIsBounded) {
  EXPECT_EQ(With("exp", kClaimsNow + 24 * 3600), P::kNone);
  EXPECT_EQ(With("exp", kClaimsNow + 24 * 3600 + 1), P::kLifetime);
  EXPECT_EQ(With("exp", kClaimsNow + 24 * 3600 + 0.001), P::kLifetime);
  rules_.lifetime_max = std::chrono::seconds(3599);
  EXPECT_EQ(Read(GoodClaims(kClaimsNowMs)), P::kLifetime);
}

TEST_F(JwtClaimsTest, ScopesAreWordsWithThePrefixInATextOrAnArray) {
  const auto scopes = [&](const JoseJson& scope) {
    EXPECT_EQ(With("scope", scope), P::kNone) << scope;
    return read_.scopes;
  };
  const unsigned call = BitOf(Scope::kCall), read = BitOf(Scope::kRead), admin = BitOf(Scope::kAdmin);
  EXPECT_EQ(scopes("toolwire:call"), call);
  EXPECT_EQ(scopes("toolwire:read  toolwire:admin "), read | admin);
  EXPECT_EQ(scopes(JoseJson::array({"toolwire:call", "x", "toolwire:read toolwire:read"})), call | read);
  for (const char* const other :
       {"", " ", "call", "toolwire:", "toolwire:Call", "toolwire:calls", "Toolwire:call", "xtoolwire:call",
        "toolwire:call,toolwire:read", "toolwire: call", "toolwire:call\t"}) {
    EXPECT_EQ(scopes(other), 0u) << other;
  }
  EXPECT_EQ(Without("scope"), P::kNone);
  EXPECT_EQ(read_.scopes, 0u);
  for (const JoseJson& wrong : {JoseJson(1), JoseJson(nullptr), JoseJson::array({1}), JoseJson({{"call", true}})}) {
    EXPECT_EQ(With("scope", wrong), P::kClaims) << wrong;
  }
  rules_.scope_claim = "https://example.com/roles";
  rules_.scope_prefix = "tw.";
  EXPECT_EQ(With("https://example.com/roles", JoseJson::array({"tw.call"})), P::kNone);
  EXPECT_EQ(read_.scopes, call);
}

TEST_F(JwtClaimsTest, TokenWithoutAUserIsRefusedUnlessItsScopesSayThatItReachesAll) {
  for (const JoseJson& user :
       {JoseJson(nullptr), JoseJson(7), JoseJson(""), JoseJson("a\nb"), JoseJson(std::string(257, 'u')), JoseJson::array({"u"})}) {
    EXPECT_EQ(With("sub", user), P::kUser) << user;
  }
  EXPECT_EQ(Without("sub"), P::kUser);
  EXPECT_EQ(With("scope", "toolwire:call any-user"), P::kNone);
  EXPECT_EQ(read_.users.kind, UserBound::Kind::kOne) << "the word without its prefix is another program's";
  EXPECT_EQ(With("scope", "toolwire:call toolwire:any-user"), P::kNone);
  EXPECT_EQ(read_.users, UserBound());
  JoseJson service = GoodClaims(kClaimsNowMs);
  service.erase("sub");
  service["scope"] = "toolwire:any-user";
  EXPECT_EQ(Read(service), P::kNone);
  EXPECT_EQ(read_.users, UserBound());
  EXPECT_EQ(read_.scopes, 0u) << "it is no scope of its own";
}

TEST_F(JwtClaimsTest, UserIsThatOfTheClaimThatTheOptionNames) {
  rules_.user_claim = "uid";
  EXPECT_EQ(Read(GoodClaims(kClaimsNowMs)), P::kUser) << "not that of sub";
  EXPECT_EQ(With("uid", "user_9"), P::kNone);
  EXPECT_EQ(read_.users, (UserBound{UserBound::Kind::kOne, "user_9"}));
  EXPECT_EQ(read_.subject, "user_1");
}

TEST_F(JwtClaimsTest, ProgramIsThatOfAzpOrClientId) {
  EXPECT_EQ(Without("azp"), P::kNone);
  EXPECT_EQ(read_.client, "");
  EXPECT_EQ(With("azp", 1), P::kNone);
  EXPECT_EQ(read_.client, "");
  JoseJson claims = GoodClaims(kClaimsNowMs);
  claims.erase("azp");
  claims["client_id"] = "backend";
  EXPECT_EQ(Read(claims), P::kNone);
  EXPECT_EQ(read_.client, "backend");
}

TEST(JwtSentenceTest, EachProblemHasItsSentence) {
  std::vector<std::string> sentences;
  for (int i = 1; i <= static_cast<int>(P::kUser); ++i) {
    const std::string sentence = SentenceOf(static_cast<P>(i));
    EXPECT_GT(sentence.size(), 10u) << i;
    EXPECT_EQ(std::count(sentences.begin(), sentences.end(), sentence), 0) << sentence;
    sentences.push_back(sentence);
  }
}

}  // namespace
}  // namespace toolwire
