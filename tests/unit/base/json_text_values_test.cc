// What is read out of valid JSON, and written: members, strings. At the end random texts, against another parser.
#include <gtest/gtest.h>

#include <array>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/json_text.h"
#include "tests/unit/base/json_text_fixture.h"

namespace toolwire::json {
namespace {

using namespace std::string_literals;

std::string Quoted(std::string_view text) {
  std::string quoted;
  AppendQuoted(text, &quoted);
  return quoted;
}

// `Unescape` with its failure in the value, so that one EXPECT_EQ says all.
std::string Unescaped(std::string_view quoted) {
  std::string plain = "left over";
  return Unescape(quoted, &plain) ? plain : "(none)";
}

TEST(JsonTextTest, MembersAreExactSlicesInTheirOrder) {
  const std::string_view text =
      " { \"b\" : [1, {\"x\":2}] ,\"\":\"v\\n\"\t, \"a\\u0062\":-1.50e2 , \"o\":{ }\n,\"n\":null,\"b\":true } ";
  std::vector<Member> members;
  ASSERT_EQ(SplitObject(text, kDepthMax, &members), Error::kNone);
  const std::vector<std::array<std::string_view, 2>> expected = {
      {"b", "[1, {\"x\":2}]"}, {"", "\"v\\n\""}, {"a\\u0062", "-1.50e2"}, {"o", "{ }"}, {"n", "null"}, {"b", "true"}};
  const std::vector<Kind> kinds = {Kind::kArray, Kind::kString, Kind::kNumber, Kind::kObject, Kind::kNull, Kind::kBool};
  ASSERT_EQ(members.size(), expected.size());
  for (size_t i = 0; i < members.size(); ++i) {
    EXPECT_EQ(members[i].key, expected[i][0]);
    EXPECT_EQ(members[i].value, expected[i][1]);
    EXPECT_EQ(members[i].kind, kinds[i]);
    EXPECT_GE(members[i].key.data(), text.data());
    EXPECT_LE(members[i].value.data() + members[i].value.size(), text.data() + text.size());
  }
}

TEST(JsonTextTest, EmptyObjectHasNoMembers) {
  std::vector<Member> members(3);
  EXPECT_EQ(SplitObject(" { } ", kDepthMax, &members), Error::kNone);
  EXPECT_TRUE(members.empty());
}

TEST(JsonTextTest, OnlyAnObjectCanBeSplit) {
  std::vector<Member> members(1);
  for (const std::string_view text : {"", "null", "1", "\"{}\"", "[]", "[{\"a\":1}]", "{}{}", "{} x"}) {
    EXPECT_EQ(SplitObject(text, kDepthMax, &members), Error::kSyntax) << text;
    EXPECT_TRUE(members.empty());
  }
  EXPECT_EQ(SplitObject("{\"a\":[[]]}", 2, &members), Error::kTooDeep);
  EXPECT_EQ(SplitObject("{\"a\":\"\xff\"}", 2, &members), Error::kBadUtf8);
  EXPECT_TRUE(members.empty());
}

// What `PickMembers` finds for some names, or the error in the first place.
std::vector<std::string> Picked(std::string_view text, std::vector<std::string_view> names, int depth_max = kDepthMax) {
  std::vector<Member> found(names.size(), Member{"left", "over", Kind::kObject});
  const Error error = PickMembers(text, depth_max, names, absl::MakeSpan(found));
  std::vector<std::string> values;
  if (error != Error::kNone) values.push_back(ErrorText(error));
  for (const Member& member : found) values.emplace_back(member.value);
  return values;
}

TEST(JsonTextTest, MembersArePickedByName) {
  using Values = std::vector<std::string>;
  EXPECT_EQ(Picked(R"({"a":1,"x":[{"b":0}],"b":"2"})", {"a", "b", "c"}), (Values{"1", "\"2\"", ""}));
  EXPECT_EQ(Picked(R"({"b":1,"a":2})", {"a", "b"}), (Values{"2", "1"}));
  EXPECT_EQ(Picked(R"({"A":1,"aa":2,"":3,"a ":4})", {"a"}), Values{""});
  EXPECT_EQ(Picked("{}", {"a"}), Values{""});
  EXPECT_EQ(Picked(R"({"a":1})", {}), Values{});
}

TEST(JsonTextTest, LastMemberOfANameIsPicked) {
  using Values = std::vector<std::string>;
  EXPECT_EQ(Picked(R"({"a":1,"b":2,"a":3})", {"a", "b"}), (Values{"3", "2"}));
  EXPECT_EQ(Picked(R"({"a":1,"\u0061":2})", {"a"}), Values{"2"});
  EXPECT_EQ(Picked(R"({"\u0061":2,"a":1})", {"a"}), Values{"1"});
}

TEST(JsonTextTest, KeyIsComparedUnescaped) {
  using Values = std::vector<std::string>;
  EXPECT_EQ(Picked(R"({"\u0074\u0079pe":1})", {"type"}), Values{"1"});
  EXPECT_EQ(Picked(R"({"t\\u0079pe":1,"\ud800":2})", {"type"}), Values{""});
  EXPECT_EQ(Picked(R"({"a\/b":1,"\u00e9":2})", {"a/b", "\xc3\xa9"}), (Values{"1", "2"}));
  const std::string name(255, 'n');
  EXPECT_EQ(Picked("{\"" + Repeated("\\u006e", 255) + "\":1}", {name}), Values{"1"});
  EXPECT_EQ(Picked("{\"" + Repeated("\\u006e", 100000) + "\":1}", {name}), Values{""});
}

TEST(JsonTextTest, NothingIsPickedFromAnInvalidObject) {
  using Values = std::vector<std::string>;
  EXPECT_EQ(Picked(R"({"a":1,"b":})", {"a"}), (Values{"not valid JSON", ""}));
  EXPECT_EQ(Picked(R"(["a"])", {"a"}), (Values{"not valid JSON", ""}));
  EXPECT_EQ(Picked(R"({"a":1,"b":[[]]})", {"a"}, 2), (Values{"nested too deep", ""}));
  EXPECT_EQ(Picked("{\"a\":1,\"b\":\"\xff\"}", {"a"}), (Values{"not UTF-8", ""}));
}

TEST(JsonTextTest, MembersBeforeAnErrorStayWhereTheyAreAskedFor) {
  const struct {
    std::string_view text;
    Error error;
    std::string_view a, broken_key;
  } cases[] = {
      {R"({"a":1,"b":2})", Error::kNone, "1", ""},
      {R"({"a":1,"b":})", Error::kSyntax, "1", "b"},
      {R"({"a":1,"b":{"c":[01]}})", Error::kSyntax, "1", "b"},
      {R"({"a":1,"b)", Error::kSyntax, "1", ""},
      {R"({"a":1,"\u0062":x})", Error::kSyntax, "1", R"(\u0062)"},
      {R"({"a":1)", Error::kSyntax, "1", ""},
      {R"({"a":1 "b":2})", Error::kSyntax, "1", ""},
      {R"({"a":1}})", Error::kSyntax, "1", ""},
      {R"({"a":1,"a":x})", Error::kSyntax, "1", "a"},
      {R"({"a":x})", Error::kSyntax, "", "a"},
      {R"({"b":x,"a":1})", Error::kSyntax, "", "b"},
      {R"(["a"])", Error::kSyntax, "", ""},
      {R"({"a":1,"b":[[[]]]})", Error::kTooDeep, "1", "b"},
      {"{\"a\":1,\"b\":\"\xff\"}", Error::kBadUtf8, "1", ""},
  };
  for (const auto& one : cases) {
    const std::string_view name = "a";
    Member found{"left", "over", Kind::kObject};
    std::string_view broken_key = "left over";
    EXPECT_EQ(PickMembersBeforeError(one.text, 3, {&name, 1}, {&found, 1}, &broken_key), one.error) << one.text;
    EXPECT_EQ(found.value, one.a) << one.text;
    EXPECT_EQ(broken_key, one.broken_key) << one.text;
  }
}

TEST(JsonTextTest, EscapesBecomeTheirCharacters) {
  EXPECT_EQ(Unescaped(R"("")"), "");
  EXPECT_EQ(Unescaped(R"("plain é")"), "plain é");
  EXPECT_EQ(Unescaped(R"("\"\\\/\b\f\n\r\t")"), "\"\\/\b\f\n\r\t");
  EXPECT_EQ(Unescaped(R"("a\nb\\n")"), "a\nb\\n");
  EXPECT_EQ(Unescaped(R"("\u0041\u007f\u0080\u07ff\u0800\uffff")"), "A\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf");
  EXPECT_EQ(Unescaped(R"("\u00E9\u00e9")"), "éé");
}

TEST(JsonTextTest, EscapedNulIsValid) {
  EXPECT_EQ(Check(R"({"\u0000":"\u0000"})"), Error::kNone);
  EXPECT_EQ(Unescaped(R"("a\u0000b")"), "a\0b"s);
}

TEST(JsonTextTest, SurrogatePairBecomesOneCharacter) {
  EXPECT_EQ(Unescaped(R"("\ud83d\ude00")"), "😀");
  EXPECT_EQ(Unescaped(R"("\uD800\uDC00")"), "\xf0\x90\x80\x80");
  EXPECT_EQ(Unescaped(R"("x\udbff\udfffy")"), "x\xf4\x8f\xbf\xbfy");
}

TEST(JsonTextTest, LoneSurrogateHasNoUtf8Form) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {R"("\ud800")", "\xef\xbf\xbd"},
      {R"("\udc00")", "\xef\xbf\xbd"},
      {R"("a\udbffb")",
       "a\xef\xbf\xbd"
       "b"},
      {R"("\ude00\ud83d")", "\xef\xbf\xbd\xef\xbf\xbd"},
      {R"("\udc00\udc00")", "\xef\xbf\xbd\xef\xbf\xbd"},
      {R"("\ud83d\ud83d\ude00")", "\xef\xbf\xbd😀"},
      {R"("\ud83d\n")", "\xef\xbf\xbd\n"},
      {R"("\ud83d\u0041")",
       "\xef\xbf\xbd"
       "A"},
      {R"("\ud83d\\ude00")", "\xef\xbf\xbd\\ude00"},
  };
  for (const auto& [quoted, lossy] : cases) {
    EXPECT_EQ(Unescaped(quoted), "(none)") << quoted;
    std::string plain;
    UnescapeLossy(quoted, &plain);
    EXPECT_EQ(plain, lossy) << quoted;
  }
}

TEST(JsonTextTest, UnescapedTextReplacesWhatWasThere) {
  std::string plain = "old";
  EXPECT_TRUE(Unescape(R"("new")", &plain));
  EXPECT_EQ(plain, "new");
  EXPECT_TRUE(Unescape(R"("")", &plain));
  EXPECT_EQ(plain, "");
}

TEST(JsonTextTest, QuotesBackslashesAndControlsAreEscapedAndNothingElse) {
  EXPECT_EQ(Quoted(""), R"("")");
  EXPECT_EQ(Quoted("a/b'é😀\x7f"), "\"a/b'é😀\x7f\"");
  EXPECT_EQ(Quoted("\"\\\b\f\n\r\t"), R"("\"\\\b\f\n\r\t")");
  EXPECT_EQ(Quoted("\0\x01\x0b\x0f\x10\x1f"s), R"("\u0000\u0001\u000b\u000f\u0010\u001f")");
  std::string out = "before:";
  AppendQuoted("x", &out);
  EXPECT_EQ(out, "before:\"x\"");
}

TEST(JsonTextTest, AnyUtf8SurvivesQuotingAndUnescaping) {
  const std::string_view pieces[] = {
      "\"", "\\", "\n", "\t", "a", "/", "u0041", "é", "\xe2\x82\xac", "😀", "plain run of text"};
  std::mt19937 random(7);
  for (int round = 0; round < 3000; ++round) {
    std::string text;
    for (unsigned count = random() % 24; count > 0; --count) {
      const unsigned pick = random() % 16;
      if (pick < std::size(pieces)) {
        text += pieces[pick];
      } else {
        text += static_cast<char>(random() % 0x80);
      }
    }
    const std::string quoted = Quoted(text);
    ASSERT_EQ(Check(quoted), Error::kNone) << quoted;
    ASSERT_EQ(Unescaped(quoted), text);
    ASSERT_EQ(nlohmann::json::parse(quoted).get<std::string>(), text);
    ASSERT_EQ(Unescaped(nlohmann::json(text).dump(-1, ' ', true)), text) << "with everything beyond ASCII as \\u";
  }
}

// Writes random values, mostly valid ones, in all the ways the grammar has.
class RandomText {
 public:
  explicit RandomText(unsigned seed) : random_(seed) {}

  std::string Value(int depth) {
    switch (random_() % (depth > 0 ? 8 : 5)) {
      case 0:
        return OneOf({"null", "true", "false"});
      case 1:
      case 2:
        return OneOf({"0", "-0", "12", "-3.25", "1e3", "2E-2", "0.5e+1", "12345678901234567890", "1e400"});
      case 3:
      case 4:
        return String();
      case 5:
      case 6: {
        std::string text = "[" + Space();
        for (unsigned count = random_() % 4; count > 0; --count) {
          text += Value(depth - 1) + Space() + (count > 1 ? "," + Space() : "");
        }
        return text + "]";
      }
      default: {
        std::string text = "{" + Space();
        for (unsigned count = random_() % 4; count > 0; --count) {
          text += String() + Space() + ":" + Space() + Value(depth - 1) + Space() + (count > 1 ? "," + Space() : "");
        }
        return text + "}";
      }
    }
  }

  // Changes, drops, doubles or inserts a few bytes.
  void Damage(std::string* text) {
    static constexpr std::string_view kBytes = "{}[]:,\"\\u0123e.-+ tfn\n\x01\x7f\x80\xc3\xa9\xff";
    for (unsigned count = random_() % 3; count > 0 && !text->empty(); --count) {
      const size_t at = random_() % text->size();
      const char byte = kBytes[random_() % kBytes.size()];
      switch (random_() % 4) {
        case 0:
          (*text)[at] = byte;
          break;
        case 1:
          text->erase(at, 1 + random_() % 3);
          break;
        case 2:
          text->insert(at, 1, byte);
          break;
        default:
          text->insert(at, text->substr(random_() % text->size(), random_() % 6));
          break;
      }
    }
  }

 private:
  std::string OneOf(std::initializer_list<std::string_view> choices) {
    return std::string(choices.begin()[random_() % choices.size()]);
  }

  std::string Space() { return OneOf({"", "", "", " ", "\n  ", "\r\n\t"}); }

  std::string String() {
    std::string text = "\"";
    for (unsigned count = random_() % 5; count > 0; --count) {
      text += OneOf({"a", "key", "a rather long piece of text", R"(\n)", R"(\\)", R"(\")", R"(\u00e9)",
                     R"(\ud83d\ude00)", R"(\ud800)", "é", "😀"});
    }
    return text + "\"";
  }

  std::mt19937 random_;
};

// The only two things that nlohmann refuses and RFC 8259 allows: lone surrogates, and numbers no double can hold. The
// texts above have one of each, and damage may make a long exponent of digits that stood elsewhere.
bool NlohmannMayRefuse(std::string_view text) {
  for (size_t i = 0; i + 3 < text.size(); ++i) {
    const auto digit = [&](size_t ahead) {
      return i + ahead < text.size() && text[i + ahead] >= '0' && text[i + ahead] <= '9';
    };
    if (text[i] == '\\' && text[i + 1] == 'u' && (text[i + 2] == 'd' || text[i + 2] == 'D')) return true;
    if (digit(0) && (text[i + 1] == 'e' || text[i + 1] == 'E') && (digit(4) || digit(5))) return true;
  }
  return false;
}

TEST(JsonTextTest, AgreesWithNlohmannOnRandomTexts) {
  int valid = 0;
  int invalid = 0;
  for (unsigned seed = 1; seed <= 20000; ++seed) {
    RandomText random(seed);
    std::string text = random.Value(6);
    if (seed % 4 != 0) random.Damage(&text);
    const bool ours = Check(text) == Error::kNone;
    const bool theirs = nlohmann::json::accept(text);
    ++(ours ? valid : invalid);
    if (ours != theirs) {
      EXPECT_TRUE(ours && NlohmannMayRefuse(text)) << "seed " << seed << ": " << text;
    }
    if (ours && text[0] == '{') {
      std::vector<Member> members;
      ASSERT_EQ(SplitObject(text, kDepthMax, &members), Error::kNone) << "seed " << seed << ": " << text;
      for (const Member& member : members) {
        Kind kind;
        EXPECT_EQ(Validate(member.value, kDepthMax, &kind), Error::kNone) << "seed " << seed << ": " << text;
        EXPECT_EQ(kind, member.kind);
      }
    }
  }
  EXPECT_GT(valid, 5000);  // else the generator has stopped testing one of the sides
  EXPECT_GT(invalid, 5000);
}

}  // namespace
}  // namespace toolwire::json
