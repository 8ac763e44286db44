// What an audit column can hold of a JSON text.
#include "common/store/audit_row.h"

#include <gtest/gtest.h>

#include <string>

namespace toolwire {
namespace {

bool IsKept(const std::string& json) { return AuditSafeJson(json, 64u << 10) == json; }

TEST(AuditRowTest, StringsThatJsonbTakesAreKeptAsTheyAre) {
  for (const char* json :
       {R"("")", R"("a")", R"("\"")", R"("\\")", R"("a\"b\\\"c")", R"({"a\"":"\\","b":["\n\t\/","x"]})", R"("\ud83d\ude00")",
        R"("\\u0000")", R"("\\\\ud800")", R"(["\ud83d\ude00\"","\u00e9\\"])", R"("\u0001")"}) {
    EXPECT_TRUE(IsKept(json)) << json;
  }
}

TEST(AuditRowTest, StringsThatJsonbRefusesAreMarked) {
  for (const char* json : {R"("\u0000")", R"("\"\u0000")", R"("\\\u0000")", R"({"a":"x","b\u0000":1})", R"("\ud800")",
                           R"("\ud800\"")", R"("\ud800\u0041")", R"("\udc00\ud800")", R"(["ok\"",{"k":"\\\udfff"}])"}) {
    EXPECT_FALSE(IsKept(json)) << json;
  }
}

// Each escape is looked at once, however far the end of its string is.
TEST(AuditRowTest, ManyEscapesInOneString) {
  std::string json = "\"";
  for (int i = 0; i < 10'000; ++i) json += R"(\"\\\n)";
  json += "\"";
  EXPECT_TRUE(IsKept(json));
  json.insert(json.size() - 1, R"(\u0000)");
  EXPECT_FALSE(IsKept(json));
}

}  // namespace
}  // namespace toolwire
