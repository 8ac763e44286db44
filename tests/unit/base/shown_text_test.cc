#include "common/base/shown_text.h"

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

TEST(ShownTextTest, LinesOfAMessageStayAndNoneIsAdded) {
  EXPECT_EQ(ShownLines("a\n  b\r\x1b[1m\n"), "a\n  b\\r\\u001b[1m\n");
  EXPECT_EQ(ShownLines(""), "");
}

TEST(ShownTextTest, WhatStaysAsItIsIsKnown) {
  for (const char* text : {"",
      "user 42 / J\u00fcrgen \u2713 \"'\\", "\u00a0\u200d\U0001f600"}) EXPECT_TRUE(IsShownAsItIs(text)) << text;
  for (const char* text : {"\n", "\x7f", "\u0080", "\u009f", "\u061c", "\u200f", "\u2028", "\u2029", "\u202e",
      "\u2066", "\ufeff", "\xff"}) {
    EXPECT_FALSE(IsShownAsItIs(text)) << ShownText(text);
    EXPECT_NE(ShownText(text), text);
  }
}

TEST(ShownTextTest, NoPasswordIsRepeated) {
  for (const char* url : {"redis://:hunter2@host", "http://u:hunter2@host:1", "postgresql://u:hun@ter2:hunter2@host/x",
                          "host=x password=hunter2 dbname=y", "x?sentinel-password=hunter2&y",
                              "a redis://u:hunter2@h b"}) {
    EXPECT_EQ(WithoutPasswords(url).find("hunter2"), std::string::npos) << url;
    EXPECT_EQ(ShownValue(url).find("hunter2"), std::string::npos) << url;
  }
  EXPECT_EQ(WithoutPasswords("http://u:p@host:1 and http://host/a@b"), "http://***@host:1 and http://***@b");
  for (const char* form : {"rediss://[user:password@]host[:port][/db]",
      "postgresql://user:password@host:port/database"}) {
    EXPECT_EQ(WithoutPasswords(form), form) << "that is how we say what is expected";
  }
  EXPECT_EQ(WithoutPasswords("tcp://10.0.0.1:9090"), "tcp://10.0.0.1:9090");
  EXPECT_EQ(ShownValue(std::string(99, 'x')), std::string(99, 'x'));
  EXPECT_LE(ShownValue(std::string(10000, '\x1b')).size(), 103u);
}

}  // namespace
}  // namespace toolwire
