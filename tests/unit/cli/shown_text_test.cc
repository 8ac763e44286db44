#include "cli/shown_text.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

namespace toolwire {
namespace {

TEST(ShownTextTest, OrdinaryTextStaysAsItIs) {
  for (const char* text : {"", "a file \"x\" in C:\\Users", "gr\u00fc\u00dfe \u20ac \U0001f600", "{\"a\":[1, 2]}"}) {
    EXPECT_EQ(ShownText(text), text);
    EXPECT_EQ(ShownJson(text, true), text);
  }
}

TEST(ShownTextTest, WhatMovesTheCursorOrBeginsALineIsEscaped) {
  EXPECT_EQ(ShownText("a\nb\r\tc"), "a\\nb\\r\\tc");
  EXPECT_EQ(ShownText("\x1b[31mred\x7f"), "\\u001b[31mred\\u007f");
  EXPECT_EQ(ShownText(std::string("\0x", 2)), "\\u0000x");
  EXPECT_EQ(ShownText("\u0085\u009b2J"), "\\u0085\\u009b2J");
  EXPECT_EQ(ShownText("\u202egnp.exe\u2066\u2028"), "\\u202egnp.exe\\u2066\\u2028");
}

TEST(ShownTextTest, WhatIsNotUtf8IsShownByItsBytes) {
  EXPECT_EQ(ShownText("a\xff\xc3z"), "a\\xff\\xc3z");
  EXPECT_EQ(ShownText("\xed\xa0\x80"), "\\xed\\xa0\\x80");
  EXPECT_EQ(ShownText("\xf0\x9f\x98"), "\\xf0\\x9f\\x98");
}

TEST(ShownTextTest, JsonKeepsItsMeaningOnOneLine) {
  const std::string json = "{\r\n\t\"a\": [1,\n2],\"b\":\"\u009b31m\x7f\u202e\\n\"}";
  const std::string shown = ShownJson(json, true);
  EXPECT_EQ(shown, "{   \"a\": [1, 2],\"b\":\"\\u009b31m\\u007f\\u202e\\n\"}");
  EXPECT_EQ(nlohmann::json::parse(shown), nlohmann::json::parse(json));
  EXPECT_EQ(ShownJson("[1,\n2]", false), "[1,\n2]");
}

}  // namespace
}  // namespace toolwire
