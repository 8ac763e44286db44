#include "common/base/broken_json.h"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <string_view>

namespace toolwire::json {
namespace {

// The id, "(none)", or "(unreadable)".
std::string IdIn(std::string_view text) {
  constexpr std::array<std::string_view, 2> kNames = {"type", "id"};
  std::array<BrokenMember, 2> found;
  found[0].is_string = true;  // What was there before is gone.
  FindBrokenMembers(text, kNames, absl::MakeSpan(found));
  if (!found[1].is_string) return "(none)";
  return found[1].text.value_or("(unreadable)");
}

TEST(BrokenJsonTest, IdIsFoundBehindErrorsThatLeaveStringsWhole) {
  for (const std::string_view before : {
           R"("a":NaN)", R"("a":-Infinity)", R"("a":[1,NaN,{"b":nan}])", R"("a":None,"b":True)", R"("a":undefined)",
           R"("a":.5)", R"("a":0x10)", R"("a":01)", R"("a":1.)", R"("a":)", R"("a")", R"("a":,"b":1)", R"(,,)",
           R"("a":"\x41\'\8")", R"("a":"C:\Users\u12")", R"("a":"\\")", R"("a":"\"id\":\"x\"")", "\"a\":\"1\n2\t\x01\"",
           "\"a\":\"\xff\xc0\"", "\xff:1", R"("a":[object Object])", R"("a":<b>)", R"(a:1)", R"("a":{b:[]}x)",
           R"('a':'it"s','b':"it's")", R"("a":[1,2,],"b":{"c":1,})", R"("a":1 2)",
       }) {
    for (const std::string_view comma : {",", " , "}) {
      const std::string text = "{" + std::string(before) + std::string(comma) + R"("id":"r","z":1})";
      EXPECT_EQ(IdIn(text), "r") << text;
    }
  }
}

TEST(BrokenJsonTest, IdIsFoundBeforeAnyErrorAndInTextsThatEndEarly) {
  for (const std::string_view text :
       {R"({"id":"r")", R"({"id":"r",)", R"({"id":"r","a":"x)", R"({"id":"r","a":{"id":"x")", R"({"id":"r"}{"id":"x"})",
        R"({"id":"r"}}})", R"({"id":"r"]})", R"({"id":"r","a":"say "id": "x""})", R"({"id":"r","a":"b"c,"id":"x"})",
        R"({"id":"r" "a":1})", "{\"id\":\"r\"\n'a':1}", "\xef\xbb\xbf {\"id\":\"r\"}", R"({id:'r'})", R"({'id': 'r'})",
        R"({"i\u0064":"\u0072"})", R"({"id":"r","a":`"id":"x"`})", R"({"id":"r",/*"id":"x"*/"a":1})",
        R"({"id":"r", // "id":"x"
        })"}) {
    EXPECT_EQ(IdIn(text), "r") << text;
  }
}

TEST(BrokenJsonTest, LastOfTwoCounts) {
  EXPECT_EQ(IdIn(R"({"id":"a","id":"b","c":NaN})"), "b");
  EXPECT_EQ(IdIn(R"({"id":"a","c":NaN,"id":"b"})"), "b");
  EXPECT_EQ(IdIn(R"({"c":NaN,"id":"b","id":7})"), "(none)");
  EXPECT_EQ(IdIn(R"({"c":NaN,"id":"b","id":"\x"})"), "(unreadable)");
  EXPECT_EQ(IdIn(R"({"id":"a","c":NaN,"id":"cut)"), "a");
}

TEST(BrokenJsonTest, WhatStandsInAStringOrInAValueIsNoMember) {
  for (const std::string_view text :
       {R"({"a":NaN,"b":{"id":"x"}})", R"({"a":NaN,"b":[{"id":"x"}]})", R"({"a":NaN,"b":"\"id\":\"x\""})",
        R"({"a":NaN,"b":"{\"id\":\"x\"}"})", R"({"a":NaN,"b":["id","x"]})", R"({"a":NaN,"b":"id","c":"x"})",
        R"({"a":NaN,"b":"\\\",\"id\":\"x"})", R"([{"id":"x"}])", R"("{\"id\":\"x\"}")", R"({"a":NaN,"ID":"x"})",
        R"({"a":{"b":NaN,"id":"x"})", R"({"a":{"b":[1,2,"id":"x"})", R"({"a":}{"id":"x"})", R"({}{"id":"x"})",
        R"({"a":{}},"id":"x"})", R"(id":"x")", R"("id":"x")", R"()", R"({)", R"({"id)", R"({"id")", R"({"id":)",
        R"({"id":"x)", R"({"id":"x\")", R"({"id":x})", R"({"id":1})", R"({"id":["x"]})", R"({"id":{"id":"x"}})",
        R"({"id" "x"})", R"({"a":'{"id":"x"}',"b":NaN})"}) {
    EXPECT_EQ(IdIn(text), "(none)") << text;
  }
}

TEST(BrokenJsonTest, NothingIsReadWhereItIsInDoubtWhichQuotesBelongTogether) {
  for (const std::string_view text :
       {R"({"a":"say "hi", "id": "x", ok","id":"r"})", R"({"a":"5" disk","id":"x","b":1})",
        R"({"a":"b"c,"id":"x"})", R"({"a":""b", "id":"x"})", R"({"a":b"\"","id":"x"})", R"({"a":[1},"id":"x"})",
        R"({"a":\","id":"x"})", R"({"a":`"`,"id":"x"})", R"({"a":/*"*/1,"id":"x"})", "{\"a\":1//\"\n,\"id\":\"x\"}",
        R"({"id":"a"b"})", R"({"id":"a"b","c":1})"}) {
    EXPECT_EQ(IdIn(text), "(none)") << text;
  }
}

TEST(BrokenJsonTest, StringThatHasNoUtf8FormIsUnreadable) {
  for (const std::string_view text :
       {"{\"id\":\"\xff\"}", R"({"id":"\ud800"})", R"({"id":"\x"})", "{\"id\":\"a\nb\"}", R"({'id':'a"b'})"}) {
    EXPECT_EQ(IdIn(text), "(unreadable)") << text;
  }
}

TEST(BrokenJsonTest, HostileTextsAreReadInOnePass) {
  constexpr size_t kSize = 16u << 20;
  const std::string open(kSize, '['), quotes(kSize, '"'), backslashes(kSize, '\\'), commas(kSize, ',');
  for (const std::string& part : {open, quotes, backslashes, commas, "\"" + backslashes, "'" + quotes}) {
    EXPECT_EQ(IdIn("{\"a\":" + part), "(none)");
    EXPECT_EQ(IdIn("{\"id\":\"r\",\"a\":" + part), "r");
  }
  std::string pairs = "{\"a\":\"";
  while (pairs.size() < kSize) pairs += "\\\\\\\"";
  EXPECT_EQ(IdIn(pairs + "\",\"id\":\"r\"}"), "r");
  EXPECT_EQ(IdIn("{\"a\":" + open + std::string(kSize, ']') + ",\"id\":\"r\",NaN}"), "r");
}

}  // namespace
}  // namespace toolwire::json
