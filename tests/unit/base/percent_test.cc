#include "common/base/percent.h"

#include <gtest/gtest.h>

#include <string>

namespace toolwire {
namespace {

using namespace std::string_literals;

// With "!" before it if a percent sign began no escape.
std::string Decoded(std::string_view text) {
  std::string plain = "left over";
  const bool all_escapes = PercentDecode(text, &plain);
  return all_escapes ? plain : "!" + plain;
}

TEST(PercentTest, EscapesBecomeTheirBytes) {
  EXPECT_EQ(Decoded(""), "");
  EXPECT_EQ(Decoded("plain+text"), "plain+text");
  EXPECT_EQ(Decoded("a%20b%3a%3A%25"), "a b::%");
  EXPECT_EQ(Decoded("%e2%82%AC%00"), "\xe2\x82\xac\0"s);
  EXPECT_EQ(Decoded("%2525"), "%25") << "once";
}

TEST(PercentTest, PercentSignThatBeginsNoEscapeStandsForItself) {
  EXPECT_EQ(Decoded("%"), "!%");
  EXPECT_EQ(Decoded("%4"), "!%4");
  EXPECT_EQ(Decoded("%zz%41"), "!%zzA");
  EXPECT_EQ(Decoded("%%41"), "!%A");
  EXPECT_EQ(Decoded("100% %4"), "!100% %4");
}

TEST(PercentTest, EverythingButUnreservedCharactersIsEncoded) {
  EXPECT_EQ(PercentEncode("aZ09-._~"), "aZ09-._~");
  EXPECT_EQ(PercentEncode("a b+c&d=%/?#\xe2\x82\xac\0"s), "a%20b%2Bc%26d%3D%25%2F%3F%23%E2%82%AC%00");
}

TEST(PercentTest, AnyBytesSurviveBoth) {
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all.push_back(static_cast<char>(byte));
  EXPECT_EQ(Decoded(PercentEncode(all)), all);
}

}  // namespace
}  // namespace toolwire
