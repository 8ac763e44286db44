#include "edge/login_request.h"

#include <gtest/gtest.h>

#include <optional>
#include <random>
#include <string>
#include <string_view>

#include "absl/strings/escaping.h"

namespace toolwire {
namespace {

// "user|secret", or "refused".
std::string Login(std::string_view target, std::string_view authorization = "") {
  const std::optional<CredentialCheck> check = ParseLoginRequest(target, authorization);
  return check ? check->user_id + "|" + check->secret : "refused";
}

std::string Basic(const std::string& pair) { return "Basic " + absl::Base64Escape(pair); }

TEST(LoginRequestTest, CredentialsComeFromTheQuery) {
  EXPECT_EQ(Login("/?userId=user_42&secret=abc"), "user_42|abc");
  EXPECT_EQ(Login("/?secret=abc&userId=user_42"), "user_42|abc");
  EXPECT_EQ(Login("/agent/path?v=1&userId=user_42&x&secret=abc&y=2"), "user_42|abc");
  EXPECT_EQ(Login("?userId=u&secret=s"), "u|s");
  EXPECT_EQ(Login("/?userId=u&secret=s#userId=other"), "u|s");
}

TEST(LoginRequestTest, QueryIsDecodedAsBrowsersEncodeIt) {
  EXPECT_EQ(Login("/?userId=user%2042&secret=a%2Bb%26c%3Dd%25"), "user 42|a+b&c=d%");
  EXPECT_EQ(Login("/?userId=user+42&secret=a%2bb"), "user 42|a+b");
  EXPECT_EQ(Login("/?userId=J%C3%BCrgen&secret=%41%5a"), "Jürgen|AZ");
  EXPECT_EQ(Login("/?user%49d=u&%73ecret=s"), "u|s") << "names are encoded, too";
  EXPECT_EQ(Login("/?userId=a=b&secret=c==d="), "a=b|c==d=") << "only the first equals sign separates";
  EXPECT_EQ(Login("/?userId=a?b&secret=/c?d"), "a?b|/c?d");
}

TEST(LoginRequestTest, PercentSignThatStartsNoEscapeStandsForItself) {
  EXPECT_EQ(Login("/?userId=100%&secret=%"), "100%|%");
  EXPECT_EQ(Login("/?userId=%4&secret=%4g%zz"), "%4|%4g%zz");
  EXPECT_EQ(Login("/?userId=%%41&secret=%2541"), "%A|%41") << "decoded once";
}

TEST(LoginRequestTest, FirstOfSeveralValuesCounts) {
  EXPECT_EQ(Login("/?userId=a&userId=b&secret=c&secret=d"), "a|c");
  EXPECT_EQ(Login("/?userId=&userId=b&secret=c"), "refused");
  EXPECT_EQ(Login("/?userId&userId=b&secret=c"), "refused");
}

TEST(LoginRequestTest, NamesAreExact) {
  EXPECT_EQ(Login("/?userid=u&secret=s"), "refused");
  EXPECT_EQ(Login("/?userId=u&Secret=s"), "refused");
  EXPECT_EQ(Login("/?xuserId=u&secretx=s"), "refused");
}

TEST(LoginRequestTest, MissingOrEmptyCredentialsAreRefused) {
  for (const char* target : {"", "/", "/?", "/?&&", "/?=", "/?userId=u", "/?secret=s", "/?userId=&secret=s",
                             "/?userId=u&secret=", "/?userId=u&secret", "/userId=u&secret=s", "/#?userId=u"}) {
    EXPECT_EQ(Login(target), "refused") << target;
  }
}

TEST(LoginRequestTest, BearerBringsTheSecretAndTheQueryTheUser) {
  EXPECT_EQ(Login("/?userId=user%2042", "Bearer abc"), "user 42|abc");
  EXPECT_EQ(Login("/?userId=u", "bearer abc"), "u|abc") << "schemes have no case";
  EXPECT_EQ(Login("/?userId=u", "BEARER   a b "), "u|a b");
  EXPECT_EQ(Login("/?userId=u", "Bearer a%41+b"), "u|a%41+b") << "a header is not percent-encoded";
  EXPECT_EQ(Login("/?userId=u&secret=other", "Bearer abc"), "u|abc") << "the header is preferred";
  EXPECT_EQ(Login("/", "Bearer abc"), "refused");
}

TEST(LoginRequestTest, BearerWithoutASecretIsRefusedAndTheQueryIsNotAsked) {
  EXPECT_EQ(Login("/?userId=u&secret=s", "Bearer "), "refused");
  EXPECT_EQ(Login("/?userId=u&secret=s", "Bearer    "), "refused");
}

TEST(LoginRequestTest, BasicBringsBoth) {
  EXPECT_EQ(Login("/", Basic("user_42:abc")), "user_42|abc");
  EXPECT_EQ(Login("/?userId=other&secret=other", Basic("user_42:abc")), "user_42|abc");
  EXPECT_EQ(Login("/", Basic("u:a:b:c")), "u|a:b:c") << "only the first colon separates";
  EXPECT_EQ(Login("/", Basic("Jürgen:ß")), "Jürgen|ß");
  EXPECT_EQ(Login("/", "bAsIc " + absl::Base64Escape("u:s")), "u|s");
}

TEST(LoginRequestTest, BasicThatCannotBeReadIsRefused) {
  for (const std::string& header : {std::string("Basic "), std::string("Basic !!!"), std::string("Basic dTpz!"),
                                    Basic(""), Basic("user"), Basic(":secret"), Basic("user:")}) {
    EXPECT_EQ(Login("/?userId=u&secret=s", header), "refused") << header;
  }
}

TEST(LoginRequestTest, OtherSchemesLeaveTheQueryInForce) {
  for (const char* header : {"", " ", "Bearer", "Basic", "Bearerabc", "Digest abc", "Negotiate abc", "x"}) {
    EXPECT_EQ(Login("/?userId=u&secret=s", header), "u|s") << header;
  }
}

TEST(LoginRequestTest, AnyBytesAreReadOrRefused) {
  std::mt19937 random(20251116);
  const std::string_view kPieces[] = {"userId",  "secret", "=",    "&",    "?", "%", "%41", "+", "#",
                                      "Bearer ", "Basic ", "dTpz", "\xff", ":", " ", "/",   "u", "s"};
  for (int i = 0; i < 20000; ++i) {
    std::string text[2];
    for (std::string& one : text) {
      for (int n = static_cast<int>(random() % 12); n > 0; --n) one += kPieces[random() % std::size(kPieces)];
    }
    const auto check = ParseLoginRequest(text[0], text[1]);
    EXPECT_TRUE(!check || (!check->user_id.empty() && !check->secret.empty())) << text[0] << " " << text[1];
  }
}

}  // namespace
}  // namespace toolwire
