#include "control/jwks.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/support/jwt_maker.h"

namespace toolwire {
namespace {

using JoseJson = nlohmann::json;

// Made once: an RSA key takes 100 ms.
const IssuerKey& RsaKey() {
  static const IssuerKey key = IssuerKey::Rsa("rsa-1");
  return key;
}
const IssuerKey& EcKey() {
  static const IssuerKey key = IssuerKey::Ec("ec-1");
  return key;
}

std::string FileOf(const std::vector<JoseJson>& keys) { return JoseJson{{"keys", keys}}.dump(); }
JoseJson Changed(JoseJson key, const char* name, const JoseJson& value) {
  key[name] = value;
  return key;
}
JoseJson Without(JoseJson key, const char* name) {
  key.erase(name);
  return key;
}
std::string JwksProblem(std::string_view file) {
  const auto jwks = ParseJwks(file);
  EXPECT_TRUE(absl::IsInvalidArgument(jwks.status())) << file;
  return std::string(jwks.status().message());
}
// Why the first key of two is not used; the second is good.
std::string SkippedFor(const JoseJson& key) {
  const auto jwks = ParseJwks(FileOf({key, EcKey().Public()}));
  if (!jwks.ok() || jwks->keys.size() != 1 || jwks->skipped.size() != 1) {
    ADD_FAILURE() << jwks.status() << " for " << key;
    return "";
  }
  EXPECT_EQ(jwks->keys[0]->kid, "ec-1");
  return jwks->skipped[0];
}

TEST(JwksTest, KeysOfBothKindsAreReadAndCheckTheirSignaturesAlone) {
  const auto jwks = ParseJwks(JwksOf(RsaKey(), EcKey()));
  ASSERT_TRUE(jwks.ok()) << jwks.status();
  ASSERT_EQ(jwks->keys.size(), 2u);
  EXPECT_TRUE(jwks->skipped.empty());
  const SigningKey &rsa = *jwks->keys[0], &ec = *jwks->keys[1];
  EXPECT_EQ(rsa.kid, "rsa-1");
  EXPECT_EQ(rsa.algorithm, JwtAlgorithm::kRs256);
  EXPECT_EQ(ec.algorithm, JwtAlgorithm::kEs256);
  for (const auto& [key, other, issuer] :
       {std::make_tuple(&rsa, &ec, &RsaKey()), std::make_tuple(&ec, &rsa, &EcKey())}) {
    const std::string signature = issuer->Sign("text");
    EXPECT_TRUE(key->Verify("text", signature));
    EXPECT_FALSE(key->Verify("texT", signature));
    EXPECT_FALSE(other->Verify("text", signature));
    EXPECT_FALSE(key->Verify("text", ""));
    EXPECT_FALSE(key->Verify("text", signature + '\0'));
    EXPECT_FALSE(key->Verify("text", '\0' + signature));
    EXPECT_FALSE(key->Verify("text", signature.substr(1)));
    EXPECT_FALSE(key->Verify("text", std::string(signature.size(), '\0'))) << "r and s of zero, too";
    for (size_t i = 0; i < signature.size(); i += 7) {
      std::string flipped = signature;
      flipped[i] = static_cast<char>(flipped[i] ^ 0x10);
      EXPECT_FALSE(key->Verify("text", flipped)) << i;
    }
  }
}

TEST(JwksTest, KeysWithoutAlgAndUseAreOfTheAlgorithmOfTheirKind) {
  std::vector<JoseJson> keys;
  for (const IssuerKey* issuer : {&RsaKey(), &EcKey()})
    keys.push_back(Without(Without(issuer->Public(), "alg"), "use"));
  const auto jwks = ParseJwks(FileOf(keys));
  ASSERT_TRUE(jwks.ok()) << jwks.status();
  EXPECT_EQ(jwks->keys.at(0)->algorithm, JwtAlgorithm::kRs256);
  EXPECT_EQ(jwks->keys.at(1)->algorithm, JwtAlgorithm::kEs256);
}

TEST(JwksTest, KeysThatSignNothingForUsAreSkippedAndTheOthersKept) {
  const JoseJson rsa = RsaKey().Public();
  EXPECT_EQ(SkippedFor({{"kty", "OKP"}, {"crv", "Ed25519"}, {"kid", "x"}, {"x", "AA"}}),
            "key 1: its kty is neither RSA nor EC");
  EXPECT_EQ(SkippedFor({{"kty", "oct"}, {"k", "AAAA"}, {"kid", "rsa-1"}, {"alg", "HS256"}}),
            "key 1: its kty is neither RSA nor EC");
  EXPECT_EQ(SkippedFor(Changed(rsa, "alg", "PS256")), "key 1: its alg is not RS256");
  EXPECT_EQ(SkippedFor(Changed(rsa, "alg", 7)), "key 1: its alg is not RS256");
  EXPECT_EQ(SkippedFor(Changed(rsa, "use", "enc")), "key 1: it is not for signatures");
  EXPECT_EQ(SkippedFor(Changed(rsa, "key_ops", {"encrypt"})), "key 1: it is not for signatures");
  EXPECT_EQ(SkippedFor(Changed(IssuerKey::Ec("other").Public(), "alg", "ES384")), "key 1: its alg is not ES256");
  EXPECT_EQ(SkippedFor(Changed(IssuerKey::Ec("other").Public(), "crv", "P-384")), "key 1: its crv is not P-256");
  const std::string no_kid = "key 1: it has no kid of 1 to 256 bytes, by which tokens name it";
  EXPECT_EQ(SkippedFor(Without(rsa, "kid")), no_kid);
  EXPECT_EQ(SkippedFor(Changed(rsa, "kid", "")), no_kid);
  EXPECT_EQ(SkippedFor(Changed(rsa, "kid", std::string(257, 'k'))), no_kid);
}

TEST(JwksTest, RsaKeysUnder2048BitsAreNotUsed) {
  EXPECT_EQ(SkippedFor(IssuerKey::Rsa("short", 1024).Public()), "key 1: RSA keys must have 2048 to 8192 bits");
  EXPECT_EQ(SkippedFor(Changed(RsaKey().Public(), "n", Base64Url("\x7f" + std::string(255, '\xff')))),
            "key 1: RSA keys must have 2048 to 8192 bits")
      << "2047";
  EXPECT_EQ(SkippedFor(Changed(RsaKey().Public(), "n", Base64Url("\x01" + std::string(1024, '\xff')))),
            "key 1: RSA keys must have 2048 to 8192 bits")
      << "8193";
  const auto largest = ParseJwks(FileOf({Changed(RsaKey().Public(), "n", Base64Url(std::string(1024, '\xff')))}));
  EXPECT_TRUE(largest.ok()) << largest.status();
}

TEST(JwksTest, FileWithAKeyThatIsNotValidIsRefused) {
  const JoseJson good = RsaKey().Public(), rsa = Changed(good, "kid", "other"), ec = IssuerKey::Ec("other").Public();
  const struct {
    JoseJson key;
    std::string problem;
  } cases[] = {
      {JoseJson("text"), "key 2 is no object"},
      {Without(rsa, "kty"), "key 2 has no kty"},
      {Without(rsa, "n"), "key 2 has no n and e in base64url"},
      {Changed(rsa, "e", ""), "key 2 has no n and e in base64url"},
      {Changed(rsa, "n", rsa["n"].get<std::string>() + "="), "key 2 has no n and e in base64url"},
      {Changed(rsa, "n", Base64Url(std::string(256, '\xfe'))), "key 2 is no RSA key"},
      {Changed(rsa, "e", "AQ"), "key 2 has an e that is"},
      {Changed(rsa, "e", Base64Url(std::string("\x01\x00\x00", 3))), "key 2 has an e that is"},
      {Changed(rsa, "e", Base64Url("\x01\x01\x01\x01\x01")), "key 2 has an e that is"},
      {Changed(ec, "x", Base64Url(std::string(31, 'x'))), "key 2 has no x and y of 32 bytes"},
      {Changed(ec, "y", Base64Url(std::string(32, '\x01'))), "key 2 is no point of its curve"},
      {Changed(rsa, "d", "AQAB"), "key 2 is a private key"},
      {Changed(ec, "d", "AQAB"), "key 2 is a private key"},
      {good, "key 2 has the kid of another one"},
      {Changed(ec, "kid", "rsa-1"), "key 2 has the kid of another one"},
  };
  for (const auto& [key, problem] : cases) {
    const std::string found = JwksProblem(FileOf({good, key}));
    EXPECT_EQ(found.substr(0, problem.size()), problem) << key;
    EXPECT_EQ(found.find("AQAB"), std::string::npos) << "it shows a key";
  }
}

TEST(JwksTest, FileThatIsNoSetOrHasNoKeyForUsIsRefused) {
  const std::string none = "no JSON object with an array";
  for (const std::string& file :
       {std::string(), std::string("{"), std::string("[]"), std::string(R"({"keys":{}})"), std::string("{}"),
        JwksOf(RsaKey()) + "x", JwksOf(RsaKey()).substr(0, 300), RsaKey().Public().dump(),
        R"({"keys":[],"keys":)" + JoseJson::array({RsaKey().Public()}).dump() + "}", std::string(100'000, '['),
        R"({"keys":)" + std::string(9, '[') + std::string(9, ']') + "}"}) {
    EXPECT_EQ(JwksProblem(file).substr(0, none.size()), none) << file.substr(0, 100);
  }
  EXPECT_EQ(JwksProblem(R"({"keys":[]})"), "no key in it");
  EXPECT_EQ(JwksProblem(R"({"keys":[{"kty":"OKP"}]})"),
            "no key in it can be used; key 1: its kty is neither RSA nor EC");
}

TEST(JwksTest, FileAndItsKeysAreBounded) {
  const JoseJson other = {{"kty", "OKP"}};
  std::vector<JoseJson> keys(kJwksKeysMax - 1, other);
  keys.push_back(EcKey().Public());
  EXPECT_TRUE(ParseJwks(FileOf(keys)).ok());
  keys.push_back(other);
  EXPECT_EQ(JwksProblem(FileOf(keys)), "more than 100 keys");
  std::string file = JwksOf(EcKey());
  file.resize(kJwksBytesMax, ' ');
  EXPECT_TRUE(ParseJwks(file).ok());
  EXPECT_EQ(JwksProblem(file + " "), "more than 262144 bytes");
}

TEST(JwksTest, KeysAreTheSameIfIdAndNumbersAre) {
  const auto one = ParseJwks(JwksOf(RsaKey(), EcKey())), again = ParseJwks(JwksOf(RsaKey(), EcKey()));
  const auto others =
      ParseJwks(FileOf({Changed(RsaKey().Public(), "kid", "x"), Changed(IssuerKey::Ec("y").Public(), "kid", "ec-1")}));
  ASSERT_TRUE(one.ok() && again.ok() && others.ok());
  for (int i = 0; i < 2; ++i) {
    EXPECT_TRUE(one->keys[i]->Equals(*again->keys[i]));
    EXPECT_FALSE(one->keys[i]->Equals(*others->keys[i]));
    EXPECT_FALSE(one->keys[i]->Equals(*one->keys[1 - i]));
  }
}

}  // namespace
}  // namespace toolwire
