#include "common/base/base64url.h"

#include <gtest/gtest.h>

#include "absl/strings/escaping.h"

namespace toolwire {
namespace {

// "refused", or the bytes.
std::string DecodedBase64(std::string_view text) {
  std::string bytes = "left from before";
  if (DecodeBase64Url(text, &bytes)) return bytes;
  EXPECT_TRUE(bytes.empty());
  return "refused";
}

TEST(Base64UrlTest, EveryLengthAndByteComesBack) {
  std::string bytes;
  for (int i = 0; i < 300; ++i) {
    std::string text = absl::WebSafeBase64Escape(bytes);
    while (!text.empty() && text.back() == '=') text.pop_back();
    EXPECT_EQ(DecodedBase64(text), bytes) << text;
    bytes.push_back(static_cast<char>(i * 37));
  }
}

TEST(Base64UrlTest, OnlyTheOneTextForTheBytesIsTaken) {
  EXPECT_EQ(DecodedBase64(""), "");
  EXPECT_EQ(DecodedBase64("QQ"), "A");
  EXPECT_EQ(DecodedBase64("-_-_"), "\xfb\xff\xbf");
  for (const char* const text :
       {"QQ==", "QQ=", "QR", "QUE=", "QUF", "Q", "QUFBQ", "+/+/", " QQ", "QQ ", "Q\nQ", "QQ.", "Q\xc3\xa4"}) {
    EXPECT_EQ(DecodedBase64(text), "refused") << text;
  }
  EXPECT_EQ(DecodedBase64(std::string_view("QQ\0", 3)), "refused");
}

}  // namespace
}  // namespace toolwire
