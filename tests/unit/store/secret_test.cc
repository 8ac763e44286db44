#include "common/store/secret.h"

#include <gtest/gtest.h>

#include <cctype>
#include <string>

namespace toolwire {
namespace {

TEST(Secrets, HashIsThePublishedSha256) {
  EXPECT_EQ(HashSecret("abc"), "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Secrets, NewSecretsAre64HexDigitsAndDiffer) {
  const std::string one = MakeSecret();
  EXPECT_EQ(one.size(), 64u);
  EXPECT_EQ(one.find_first_not_of("0123456789abcdef"), std::string::npos);
  EXPECT_NE(one, MakeSecret());
}

TEST(Secrets, HexDigitsOfAStoredHashMayBeUpperCase) {
  std::string stored = HashSecret("abc");
  for (size_t i = 7; i < stored.size(); ++i) stored[i] = static_cast<char>(std::toupper(stored[i]));
  EXPECT_TRUE(SecretMatches("abc", stored));
}

TEST(Secrets, MalformedHashesMatchNothing) {
  const std::string hash = HashSecret("abc");
  std::string not_hex = hash;
  not_hex[not_hex.find('f')] = 'g';  // Read carelessly, both have the same low bits.
  for (const std::string& stored :
       {std::string("sha256:"), hash + "0", hash.substr(0, hash.size() - 1), "sha256:0" + hash.substr(7), not_hex}) {
    EXPECT_FALSE(SecretMatches("abc", stored)) << stored;
    EXPECT_FALSE(SecretMatches(stored, stored)) << stored;
  }
}

TEST(Secrets, RevokedMatchesNothingAlsoNotItself) {
  const std::string stored = MakeRevokedSecret();
  EXPECT_EQ(stored.size(), 8 + 64u);
  EXPECT_NE(stored, MakeRevokedSecret());
  for (const std::string& presented : {stored, stored.substr(8), std::string("revoked:"), std::string("revoked:x")}) {
    EXPECT_FALSE(SecretMatches(presented, stored)) << presented;
    EXPECT_FALSE(SecretMatches(presented, "revoked:")) << presented;
    EXPECT_FALSE(SecretMatches(presented, "revoked:x")) << presented;
  }
  EXPECT_TRUE(SecretMatches("revoked", "revoked")) << "a plain secret of the replaced server";
}

TEST(Secrets, EmptySecretMatchesNothing) {
  EXPECT_FALSE(SecretMatches("", ""));
  EXPECT_FALSE(SecretMatches("", HashSecret("")));
  EXPECT_FALSE(SecretMatches("abc", ""));
}

TEST(Secrets, DigestMatchesWhateverFormOfItsSecretIsStored) {
  const SecretDigest digest = DigestOfSecret("abc");
  EXPECT_EQ(digest[0], 0xba);
  EXPECT_EQ(digest[15], 0x23);
  std::string upper = HashSecret("abc");
  for (size_t i = 7; i < upper.size(); ++i) upper[i] = static_cast<char>(std::toupper(upper[i]));
  for (const std::string& stored : {std::string("abc"), HashSecret("abc"), upper}) {
    EXPECT_TRUE(DigestMatches(digest, stored)) << stored;
  }
  for (const std::string& stored : {std::string("abd"), HashSecret("abd"), MakeRevokedSecret(), std::string(),
                                    HashSecret("abc") + "0", std::string("sha256:"), HashSecret("abc").substr(7)}) {
    EXPECT_FALSE(DigestMatches(digest, stored)) << stored;
  }
  EXPECT_FALSE(DigestMatches(SecretDigest(), ""));
}

}  // namespace
}  // namespace toolwire
