#include "common/wire/names.h"

#include <gtest/gtest.h>

#include <string>

#include "common/base/json_text.h"

namespace toolwire {
namespace {

bool IsUserId(const std::string& text) { return CheckUserId(text) == nullptr; }

TEST(NamesTest, UserIdsAreTextOfOneTo256Bytes) {
  EXPECT_FALSE(IsUserId(""));
  EXPECT_TRUE(IsUserId("u"));
  EXPECT_TRUE(IsUserId("user 42 / Jürgen ✓ \"'\\"));
  EXPECT_TRUE(IsUserId(std::string(256, 'x')));
  EXPECT_FALSE(IsUserId(std::string(257, 'x')));
  std::string long_text;
  for (int i = 0; i < 128; ++i) long_text += "ü";
  EXPECT_TRUE(IsUserId(long_text)) << "bytes count, not characters";
  EXPECT_FALSE(IsUserId(long_text + "x"));
}

TEST(NamesTest, UserIdsHoldNoControlCharactersAndNoOtherBytes) {
  for (int c = 0; c < 0x20; ++c) {
    EXPECT_FALSE(IsUserId(std::string("user") + static_cast<char>(c))) << "control character " << c;
  }
  EXPECT_FALSE(IsUserId("user\x7f"));
  EXPECT_FALSE(IsUserId("user\xff"));
  EXPECT_FALSE(IsUserId("J\xfcrgen")) << "Latin-1 is not UTF-8";
  EXPECT_FALSE(IsUserId("user\xc3")) << "a character that is cut";
  EXPECT_FALSE(IsUserId("\xed\xa0\x80")) << "a surrogate";
  EXPECT_TRUE(IsUserId("user\xc2\xa0"));
  for (const char* text : {"\u0080", "\u009b", "\u2028", "\u2029", "\u202e", "\u2066", "\u200f", "\ufeff"}) {
    EXPECT_FALSE(IsUserId(std::string("user") + text)) << "moves the cursor, or turns what is around it";
  }
}

TEST(NamesTest, EdgesHaveNamesOfTheSameRule) {
  for (const char* name : {"edge-1", "ws-server-3", "toolwire-edge-7d9f8b6c5-x2x4z",
      "Büro 3"}) EXPECT_EQ(CheckServerId(name), nullptr);
  for (const std::string& name : {std::string(), std::string(257, 'x'), std::string("\xff"), std::string("a\nb"),
      std::string("a\u202e")}) {
    EXPECT_NE(CheckServerId(name), nullptr);
  }
}

TEST(NamesTest, ToolNamesAreTextOfOneTo256Bytes) {
  EXPECT_STREQ(CheckToolName(""), "must not be empty");
  EXPECT_EQ(CheckToolName("t"), nullptr);
  EXPECT_EQ(CheckToolName(std::string(256, 't')), nullptr);
  EXPECT_STREQ(CheckToolName(std::string(257, 't')), "is longer than 256 bytes");
  EXPECT_STREQ(CheckToolName("t\xff"), "is not UTF-8 text");
  EXPECT_EQ(CheckToolName(std::string("a\0\n", 3)), nullptr) << "agents decide which tools there are";
}

TEST(NamesTest, RequestIdsAreTextOfUpTo256Bytes) {
  EXPECT_EQ(CheckRequestId(""), nullptr) << "control makes one";
  EXPECT_EQ(CheckRequestId(std::string(256, 'r')), nullptr);
  EXPECT_STREQ(CheckRequestId(std::string(257, 'r')), "is longer than 256 bytes");
  EXPECT_STREQ(CheckRequestId("r\xff"), "is not UTF-8 text");
  EXPECT_EQ(CheckRequestId(std::string("a\0\n", 3)), nullptr) << "callers choose their ids";
}

TEST(NamesTest, InvalidNamesAreCutBetweenCharactersOrDropped) {
  std::string name = "x";  // So that byte 256 is inside a character.
  for (int i = 0; i < 200; ++i) name += "ü";
  CutName(&name);
  EXPECT_EQ(name.size(), 255u);
  EXPECT_TRUE(json::IsUtf8(name));
  name = std::string(256, 'x');
  CutName(&name);
  EXPECT_EQ(name.size(), 256u);
  name = "x\xff";
  CutName(&name);
  EXPECT_EQ(name, "");
}

}  // namespace
}  // namespace toolwire
