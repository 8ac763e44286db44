#include "control/tokens.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "tests/unit/control/tokens_fixture.h"

namespace toolwire {
namespace {

constexpr unsigned kCallBit = static_cast<unsigned>(Scope::kCall), kReadBit = static_cast<unsigned>(Scope::kRead),
                   kAdminBit = static_cast<unsigned>(Scope::kAdmin);

// The sentence about the first line that is wrong.
std::string ProblemOf(const std::string& file) {
  const auto tokens = ParseTokens(file);
  EXPECT_TRUE(absl::IsInvalidArgument(tokens.status())) << file;
  return std::string(tokens.status().message());
}

TEST(TokensTest, LinesCommentsAndEmptyLinesAreRead) {
  const auto tokens = ParseTokens("# who may call\n\n" + LineOf(1, "shop", "call,read") + "  \t\n  # more\n" +
                                  "ops\t " + HashOf(2) + "   admin \t user=u1   expires=2030-01-02T03:04:05Z\n" +
                                  LineOf(3, "shop", "call", "user-prefix=shop_"));
  ASSERT_TRUE(tokens.ok()) << tokens.status();
  ASSERT_EQ(tokens->size(), 3u);
  const Token& shop = tokens->at(0);
  EXPECT_EQ(shop.name, "shop");
  EXPECT_EQ(shop.digest, Sha256(TokenText(1)));
  EXPECT_EQ(shop.scopes, kCallBit | kReadBit);
  EXPECT_EQ(shop.users, UserBound());
  EXPECT_EQ(shop.expires_ms, kNeverExpires);
  const Token& ops = tokens->at(1);
  EXPECT_EQ(ops.scopes, kAdminBit);
  EXPECT_EQ(ops.users, (UserBound{UserBound::Kind::kOne, "u1"}));
  EXPECT_EQ(ops.expires_ms, 1893553445000);
  EXPECT_EQ(tokens->at(2).users, (UserBound{UserBound::Kind::kPrefix, "shop_"}));
  EXPECT_EQ(tokens->at(2).name, "shop") << "a name may have two tokens, as while one replaces the other";
}

TEST(TokensTest, UserIdsWithSpacesAreEscaped) {
  const auto tokens =
      ParseTokens(LineOf(1, "a", "call", "user=Ann%20Lee%25") + LineOf(2, "b", "call", "user=\xC3\xA4"));
  ASSERT_TRUE(tokens.ok()) << tokens.status();
  EXPECT_EQ(tokens->at(0).users.text, "Ann Lee%");
  EXPECT_EQ(tokens->at(1).users.text, "\xC3\xA4");
}

TEST(TokensTest, WhatIsWrongIsReportedWithItsLine) {
  const std::string good = LineOf(1, "good", "call");
  const struct {
    std::string line, problem;
  } cases[] = {
      {"name\n", "must have a name"},
      {"name " + HashOf(2) + "\n", "must have a name"},
      {LineOf(2, "na/me", "call"), "letters, digits"},
      {LineOf(2, std::string(65, 'n'), "call"), "1 to 64"},
      {"name sha256:" + std::string(63, 'a') + " call\n", "64 hex digits"},
      {"name sha256:" + std::string(65, 'a') + " call\n", "64 hex digits"},
      {"name sha256:" + std::string(63, 'a') + "g call\n", "64 hex digits"},
      {"name md5:" + std::string(64, 'a') + " call\n", "64 hex digits"},
      {"name " + TokenText(2) + " call\n", "holds a token itself"},
      {LineOf(2, "name", "call,"), "scopes"},
      {LineOf(2, "name", "calls"), "scopes"},
      {LineOf(2, "name", "call,call"), "scopes"},
      {LineOf(2, "name", "Call"), "scopes"},
      {LineOf(2, "name", "call", "user="), "user= must not be empty"},
      {LineOf(2, "name", "call", "user=%0A"), "user= "},
      {LineOf(2, "name", "call", "user=a%2"), "%XX"},
      {LineOf(2, "name", "call", "user-prefix="), "user-prefix= must not be empty"},
      {LineOf(2, "name", "call", "user=\xff"), "user= "},
      {LineOf(2, "name", "call", "user=" + std::string(257, 'u')), "user= "},
      {LineOf(2, "name", "call", "user=a user=b"), "more than one"},
      {LineOf(2, "name", "call", "user=a user-prefix=b"), "more than one"},
      {LineOf(2, "name", "call", "expires=tomorrow"), "expires="},
      {LineOf(2, "name", "call", "expires=infinite-future"), "expires="},
      {LineOf(2, "name", "call", "expires=2030-01-01"), "expires="},
      {LineOf(2, "name", "call", "expires=2030-01-01T00:00:00"), "expires="},
      {LineOf(2, "name", "call", "expires=2030-02-30T00:00:00Z"), "expires="},
      {LineOf(2, "name", "call", "expires=2030-01-01T00:00:00Z expires=2031-01-01T00:00:00Z"), "more than one"},
      {LineOf(2, "name", "call", "# why"), "none of"},
      {LineOf(2, "name", "call", "users=a"), "none of"},
      {"name " + HashOf(2) + " call\r\n", "carriage return"},
      {LineOf(1, "name", "call"), "same token as line 1"},
      {"name " + HashOf(2) + " call", "half written"},
      {"name " + HashOf(2) + " call user=u", "half written"},
      {"# no end", "half written"},
  };
  for (const auto& one : cases) {
    const std::string problem = ProblemOf(good + one.line);
    EXPECT_NE(problem.find(one.problem), std::string::npos) << one.line << " gives: " << problem;
    EXPECT_EQ(problem.substr(0, 8), "line 2: ") << one.line;
    EXPECT_EQ(problem.find(TokenText(2)), std::string::npos) << "it shows a token";
  }
  for (const char* const empty : {"", "\n", "# nothing\n"})
    EXPECT_EQ(ProblemOf(empty), "no token in it: nobody could call");
}

TEST(TokensTest, FileAtItsLimitsIsTakenAndOnePastThemIsNot) {
  std::string file;
  for (size_t n = 0; n < kTokensMax; ++n) file += LineOf(static_cast<int>(n), "name", "call");
  EXPECT_EQ(ParseTokens(file)->size(), kTokensMax);
  EXPECT_NE(ProblemOf(file + LineOf(-1, "name", "call")).find("line 1001: is more than 1000 tokens"),
            std::string::npos);
  std::string long_file = LineOf(1, std::string(kTokenNameBytesMax, 'n'), "call", "user=" + std::string(256, 'u'));
  long_file += "#" + std::string(kTokensFileBytesMax - long_file.size() - 2, 'x') + "\n";
  EXPECT_TRUE(ParseTokens(long_file).ok());
  EXPECT_NE(ProblemOf(long_file + "\n").find("more than 1048576 bytes"), std::string::npos);
}

TEST(TokensTest, NewTokensHaveTheirFormAndDiffer) {
  std::set<std::string> made;
  for (int i = 0; i < 1000; ++i) {
    const std::string token = MakeToken();
    EXPECT_TRUE(IsTokenForm(token)) << token.size();
    EXPECT_EQ(token.size(), 46u);
    made.insert(token);
  }
  EXPECT_EQ(made.size(), 1000u);
  for (const std::string& other :
       {std::string(), std::string("tw_"), std::string(46, 'A'), TokenText(1) + "A", TokenText(1).substr(0, 45),
        "tw_" + std::string(42, 'A') + "=", "TW_" + std::string(43, 'A'), "tw_" + std::string(42, 'A') + "/"}) {
    EXPECT_FALSE(IsTokenForm(other)) << other;
  }
}

TEST(TokensTest, LineThatIsMadeIsReadAsWhatItWasMadeOf) {
  Token token;
  token.name = "shop-1.eu_x";
  token.digest = Sha256(MakeToken());
  token.scopes = kCallBit | kAdminBit;
  for (const UserBound& users : {UserBound(), UserBound{UserBound::Kind::kOne, "Ann Lee %=\xC3\xA4"},
                                 UserBound{UserBound::Kind::kPrefix, "shop#"}}) {
    for (const int64_t expires_ms : {kNeverExpires, int64_t{1893553445000}, int64_t{1893553445678}}) {
      token.users = users;
      token.expires_ms = expires_ms;
      const auto read = ParseTokens(TokenLine(token) + "\n");
      ASSERT_TRUE(read.ok()) << read.status() << TokenLine(token);
      EXPECT_EQ(read->at(0).name, token.name);
      EXPECT_EQ(read->at(0).digest, token.digest);
      EXPECT_EQ(read->at(0).scopes, token.scopes);
      EXPECT_EQ(read->at(0).users, token.users);
      EXPECT_EQ(read->at(0).expires_ms, token.expires_ms);
    }
  }
}

TEST(TokensTest, BoundsCoverTheirUsersAlone) {
  const UserBound all, one{UserBound::Kind::kOne, "ab"}, prefix{UserBound::Kind::kPrefix, "ab"};
  const struct {
    const char* user;
    bool one, prefix;
  } cases[] = {{"", false, false}, {"a", false, false}, {"ab", true, true}, {"abc", false, true}, {"b", false, false}};
  for (const auto& expected : cases) {
    EXPECT_TRUE(all.Covers(expected.user));
    EXPECT_EQ(one.Covers(expected.user), expected.one) << expected.user;
    EXPECT_EQ(prefix.Covers(expected.user), expected.prefix) << expected.user;
  }
}

}  // namespace
}  // namespace toolwire
