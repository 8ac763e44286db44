// Which texts are valid JSON, and what is wrong with the others.
#include "common/base/json_text.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/unit/base/json_text_fixture.h"

namespace toolwire::json {
namespace {

using namespace std::string_literals;

TEST(JsonTextTest, EveryFormOfTheGrammarIsValid) {
  const std::string_view valid[] = {
      // words and containers
      "null", "true", "false", "{}", "[]", "[[]]", "[{}]", "[null]", "[1,2]", R"({"a":1})", R"({"a":{"b":[]}})",
      R"({"":0})", R"({"a":[],"b":{},"c":[{},[]]})",
      // numbers
      "0", "-0", "1", "-1", "10", "1234567890", "0.0", "-0.5", "1.000", "1e5", "1E5", "1e+5", "1e-5", "1.5e05", "0e0",
      "-0.0e-0",
      // strings
      R"("")", R"("a")", R"("'")", R"("/")", R"("\"\\\/\b\f\n\r\t")", R"("\u0041\uabcd\uEF01")",
      "\"\x7f\"",                       // delete needs no escape
      "\"\xe2\x80\xa8\"",               // nor does U+2028
      "\"\xc3\xa9 \xf0\x9f\x98\x80\"",  // é 😀
  };
  for (const std::string_view text : valid) EXPECT_EQ(Check(text), Error::kNone) << text;
}

TEST(JsonTextTest, WhatIsNotInTheGrammarIsRefused) {
  const std::string_view invalid[] = {
      // nothing, or not one value
      "",
      " ",
      "\n",
      "null null",
      "1 2",
      "{}{}",
      "[],",
      ",",
      ":",
      "]",
      "}",
      "\"a\"\"b\"",
      "true1",
      // words
      "nul",
      "nulll",
      "Null",
      "NULL",
      "tru",
      "truee",
      "fals",
      "undefined",
      "NaN",
      "Infinity",
      "-Infinity",
      "n",
      "t",
      // numbers
      "-",
      "+1",
      "01",
      "-01",
      "00",
      "1.",
      ".5",
      "-.5",
      "1.e5",
      "1e",
      "1e+",
      "1e-",
      "1E",
      "1e1.5",
      "0x10",
      "1_000",
      "--1",
      "1-",
      "1..2",
      "1ee5",
      "1 .5",
      "1e 5",
      "- 1",
      "\xd9\xa1",
      // arrays
      "[",
      "[1",
      "[1,",
      "[1,]",
      "[,1]",
      "[,]",
      "[1,,2]",
      "[1 2]",
      "[1:2]",
      "[}",
      "[1}",
      "[[]",
      "[]]",
      "[1;2]",
      // objects
      "{",
      "{,}",
      R"({"a"})",
      R"({"a":})",
      R"({"a":1,})",
      R"({,"a":1})",
      R"({"a":1,,"b":2})",
      R"({"a" 1})",
      R"({"a",1})",
      R"({"a"::1})",
      R"({a:1})",
      R"({'a':1})",
      R"({1:1})",
      R"({null:1})",
      R"({[]:1})",
      R"({"a":1 "b":2})",
      R"({"a":1])",
      R"({"a":1)",
      R"({"a":)",
      R"({"a")",
      R"({"a":1:2})",
      R"({"a":1}})",
      // strings
      R"(")",
      R"("a)",
      R"("\")",
      R"("\a")",
      R"("\'")",
      R"("\x41")",
      R"("\0")",
      R"("\U0041")",
      R"("\u")",
      R"("\u0")",
      R"("\u00")",
      R"("\u004")",
      R"("\u004)",
      R"("\u004g")",
      R"("\u00 41")",
      R"("\u-041")",
      R"("\u+041")",
      "'a'",
      "\"a\nb\"",
      "\"a\tb\"",
      "\"\r\"",
      "\"\x1f\"",
      R"("\)",
      "\"\\\n\"",
      // comments, a byte order mark, foreign white space
      "/**/1",
      "1//",
      "# 1",
      "\xef\xbb\xbf{}",
      "\xef\xbb\xbf",
      "{}\xef\xbb\xbf",
      "\f1",
      "\v1",
      "1\f",
      "\xc2\xa0{}",
      "{}\xe2\x80\xa8",
  };
  for (const std::string_view text : invalid) EXPECT_EQ(Check(text), Error::kSyntax) << text;
}

TEST(JsonTextTest, NulByteIsNeverValid) {
  for (const std::string& text : {"\0"s, "\0{}"s, "{}\0"s, "[\0]"s, "[1\0]"s, "\"\0\""s, "{\"a\0\":1}"s, "{\"a\"\0:1}"s,
                                  "1\0"s, "-\0"s, "[1,\0]"s, "1e\0"s}) {
    EXPECT_EQ(Check(text), Error::kSyntax) << ::testing::PrintToString(text);
  }
}

TEST(JsonTextTest, IntegerOfAnyLengthIsValid) {
  EXPECT_EQ(Check("123456789012345678901234567890"), Error::kNone);
  EXPECT_EQ(Check("-" + Repeated("9", 5000)), Error::kNone);
  EXPECT_EQ(Check("[18446744073709551616,-9223372036854775809]"), Error::kNone);
}

TEST(JsonTextTest, NumberBeyondDoubleIsValid) {
  for (const std::string_view text : {"1e400", "-1e400", "1e-400", "1E999999999999", "0.1e+400"}) {
    EXPECT_EQ(Check(text), Error::kNone) << text;
  }
}

TEST(JsonTextTest, LoneSurrogateEscapeIsValidText) {
  for (const std::string_view text :
       {R"("\ud800")", R"("\udc00")", R"("\ude00\ud83d")", R"("\ud83dx")", R"({"\ud800":1})"}) {
    EXPECT_EQ(Check(text), Error::kNone) << text;
  }
}

TEST(JsonTextTest, DuplicateKeysAreValid) { EXPECT_EQ(Check(R"({"a":1,"a":2,"\u0061":3})"), Error::kNone); }

TEST(JsonTextTest, OnlyTheFourWhiteSpaceBytesMayStandBetweenTokens) {
  const std::string_view tokens[] = {"{",     "\"a\"", ":", "[",     "1", ",", "true", ",",
                                     "\"x\"", "]",     ",", "\"b\"", ":", "{", "}",    "}"};
  for (const std::string& space :
       {""s, " "s, "\t"s, "\n"s, "\r"s, "\r\n  "s, Repeated(" ", 15), Repeated(" ", 16), Repeated("\r\n\t ", 40)}) {
    std::string text = space;
    for (const std::string_view token : tokens) text.append(token).append(space);
    EXPECT_EQ(Check(text), Error::kNone) << text;
  }
  for (int byte = 0; byte < 256; ++byte) {
    if (byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r') continue;
    // Alone, and where the vectorised skip meets it.
    const std::string stranger(1, static_cast<char>(byte));
    EXPECT_NE(Check("[true" + stranger + ",1]"), Error::kNone) << byte;
    const std::string spaces(20, ' ');
    EXPECT_NE(Check("[true" + spaces + stranger + spaces + ",1]"), Error::kNone) << byte;
  }
}

TEST(JsonTextTest, BytesThatAreNotUtf8AreRefused) {
  const std::string_view invalid[] = {
      "\xff",
      "\xfe",
      "\x80",
      "\xbf",  // no lead byte
      "\xc3",
      "\xe2\x82",
      "\xf0\x9f\x98",  // cut short
      "\xc0\xaf",
      "\xe0\x80\xaf",
      "\xf0\x80\x80\xaf",  // longer than needed
      "\xed\xa0\x80",
      "\xed\xbf\xbf",  // surrogates
      "\xf4\x90\x80\x80",
      "\xf8\x88\x80\x80\x80",  // beyond U+10FFFF
      "caf\xe9",               // Latin-1
  };
  for (const std::string_view bytes : invalid) {
    EXPECT_FALSE(IsUtf8(bytes));
    EXPECT_EQ(Check("\"" + std::string(bytes) + "\""), Error::kBadUtf8);
    EXPECT_EQ(Check("{\"" + std::string(bytes) + "\":1}"), Error::kBadUtf8);
    EXPECT_EQ(Check(bytes), Error::kBadUtf8) << "also where the grammar is broken too";
  }
  EXPECT_TRUE(IsUtf8(""));
  EXPECT_TRUE(IsUtf8("caf\xc3\xa9"));
}

// The string scan takes 16 bytes at a time and the rest one by one: no place may be missed.
TEST(JsonTextTest, ByteInAStringIsSeenAtEveryOffset) {
  for (int size = 0; size < 70; ++size) {
    const std::string plain(static_cast<size_t>(size), 'x');
    EXPECT_EQ(Check("\"" + plain + "\""), Error::kNone);
    EXPECT_EQ(Check("\"" + plain), Error::kSyntax);
    for (int at = 0; at < size; ++at) {
      SCOPED_TRACE(testing::Message() << at << " of " << size);
      std::string text = "\"" + plain + "\"";
      char& byte = text[static_cast<size_t>(at) + 1];
      for (const char bad : {'\0', '\n', '\x1f', '"', '\\'}) {
        byte = bad;
        EXPECT_EQ(Check(text), Error::kSyntax);
      }
      byte = '\xff';
      EXPECT_EQ(Check(text), Error::kBadUtf8);
      byte = ' ';
      EXPECT_EQ(Check(text), Error::kNone);
      text.replace(static_cast<size_t>(at) + 1, 1, R"(\u00e9)");
      EXPECT_EQ(Check(text), Error::kNone);
    }
  }
}

TEST(JsonTextTest, DepthAtTheLimitIsValidAndOneMoreIsTooDeep) {
  EXPECT_EQ(Check("1", 0), Error::kNone);
  EXPECT_EQ(Check("[]", 0), Error::kTooDeep);
  EXPECT_EQ(Check("{}", 0), Error::kTooDeep);
  EXPECT_EQ(Check("{}", 1), Error::kNone);
  EXPECT_EQ(Check("[1,{}]", 1), Error::kTooDeep);
  for (const int depth : {1, 2, 63, 64, 65, 128, 1023, 1024, 1025, 1088, 1089, 20000}) {
    SCOPED_TRACE(depth);
    const std::string arrays = Repeated("[", depth) + Repeated("]", depth);
    const std::string objects = Repeated("{\"a\":", depth - 1) + "{}" + Repeated("}", depth - 1);
    EXPECT_EQ(Check(arrays, depth), Error::kNone);
    EXPECT_EQ(Check(objects, depth), Error::kNone);
    EXPECT_EQ(Check(arrays, depth - 1), Error::kTooDeep);
    EXPECT_EQ(Check(objects, depth - 1), Error::kTooDeep);
  }
}

TEST(JsonTextTest, WidthIsNotDepth) { EXPECT_EQ(Check("[" + Repeated("[{}],", 5000) + "[]]", 3), Error::kNone); }

TEST(JsonTextTest, EndlessNestingIsTooDeepNotACrash) {
  EXPECT_EQ(Check(Repeated("[", 1000000)), Error::kTooDeep);
  EXPECT_EQ(Check(Repeated("[", 1000000), 2000000), Error::kSyntax);
  EXPECT_EQ(Check(Repeated("{\"a\":", 1000000), 2000000), Error::kSyntax);
}

TEST(JsonTextTest, EveryContainerNeedsItsOwnCloserHoweverDeep) {
  std::mt19937 random(20251);
  std::string open, close;
  const int depth = 3000;
  for (int i = 0; i < depth; ++i) {
    const bool object = random() % 2 == 0;
    open += object ? "{\"k\":" : "[";
    close.insert(close.begin(), object ? '}' : ']');
  }
  const std::string text = open + "0" + close;
  EXPECT_EQ(Check(text, depth), Error::kNone);
  for (size_t at = text.size() - close.size(); at < text.size(); ++at) {
    std::string wrong = text;
    wrong[at] = wrong[at] == '}' ? ']' : '}';
    ASSERT_EQ(Check(wrong, depth), Error::kSyntax) << at;
  }
}

TEST(JsonTextTest, EveryTruncationIsRefused) {
  const std::string text =
      R"({"a":[1,-2.5e+3,true,false,null,"x\n\u00e9 a longer string, over sixteen bytes"],"é":{},"b":{"c":[[],{}]}})";
  ASSERT_EQ(Check(text), Error::kNone);
  std::vector<Member> members;
  for (size_t size = 0; size < text.size(); ++size) {
    // In memory of exactly that size, so that the sanitizer sees a read behind it.
    const std::vector<char> cut(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_NE(Check({cut.data(), cut.size()}), Error::kNone) << size;
    EXPECT_NE(SplitObject({cut.data(), cut.size()}, kDepthMax, &members), Error::kNone) << size;
    EXPECT_TRUE(members.empty());
  }
}

TEST(JsonTextTest, KindIsThatOfTheValue) {
  const std::pair<std::string_view, Kind> cases[] = {
      {"null", Kind::kNull}, {" true", Kind::kBool},    {"\n\tfalse ", Kind::kBool}, {"-1", Kind::kNumber},
      {"0", Kind::kNumber},  {" \"x\"", Kind::kString}, {"[]", Kind::kArray},        {"\r\n{}\r\n", Kind::kObject},
  };
  for (const auto& [text, expected] : cases) {
    Kind kind = expected == Kind::kNull ? Kind::kBool : Kind::kNull;
    EXPECT_EQ(Validate(text, kDepthMax, &kind), Error::kNone);
    EXPECT_EQ(kind, expected) << text;
  }
}

TEST(JsonTextTest, EveryErrorHasItsText) {
  EXPECT_STREQ(ErrorText(Error::kSyntax), "not valid JSON");
  EXPECT_STREQ(ErrorText(Error::kTooDeep), "nested too deep");
  EXPECT_STREQ(ErrorText(Error::kBadUtf8), "not UTF-8");
  EXPECT_STREQ(ErrorText(Error::kNone), "valid");
}

}  // namespace
}  // namespace toolwire::json
