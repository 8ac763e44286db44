// Text is looked at character by character; nearly all is copied as it is. In JSON the characters below 0x20 stand only
// between its parts, and all others that are escaped only in strings, where \u may be written for them.
#include "common/base/shown_text.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "common/base/json_text.h"

namespace toolwire {
namespace {

// The character at the beginning of the text, which is not empty; 0 bytes: it begins with none.
struct Character {
  uint32_t code = 0;
  size_t bytes = 0;
};

Character FirstOf(std::string_view text) {
  const auto at = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  if (at(0) < 0x80) return {at(0), 1};
  const size_t bytes = at(0) >= 0xf0 ? 4 : at(0) >= 0xe0 ? 3 : 2;
  if (text.size() < bytes || !toolwire::json::IsUtf8(text.substr(0, bytes))) return {};
  uint32_t code = at(0) & (0x7f >> bytes);
  for (size_t i = 1; i < bytes; ++i) code = code << 6 | (at(i) & 0x3f);
  return {code, bytes};
}

bool IsHarmful(uint32_t code) {
  const auto is_within = [code](uint32_t first, uint32_t last) { return first <= code && code <= last; };
  return code < 0x20 || is_within(0x7f, 0x9f) || code == 0x061c || is_within(0x200e, 0x200f) ||
         is_within(0x2028, 0x202e) || is_within(0x2066, 0x2069) || code == 0xfeff;
}

// Of the forms of URLs in our own messages.
bool IsExample(std::string_view login) {
  constexpr std::string_view kExamples[] = {"user:password@host", "[user:password@]host"};
  return std::any_of(std::begin(kExamples), std::end(kExamples),
                     [&](std::string_view one) { return login.substr(0, one.size()) == one; });
}

void AppendEscaped(uint32_t code, std::string* out) {
  absl::StrAppend(out, "\\u", absl::Hex(code, absl::kZeroPad4));
}

}  // namespace

std::string ShownText(std::string_view text) {
  std::string shown;
  shown.reserve(text.size());
  while (!text.empty()) {
    const Character one = FirstOf(text);
    if (one.bytes == 0) {
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\x%02x", static_cast<unsigned>(static_cast<unsigned char>(text[0])));
      shown.append(escaped);
      text.remove_prefix(1);
      continue;
    }
    if (one.code == '\n') {
      shown.append("\\n");
    } else if (one.code == '\r') {
      shown.append("\\r");
    } else if (one.code == '\t') {
      shown.append("\\t");
    } else if (IsHarmful(one.code)) {
      AppendEscaped(one.code, &shown);
    } else {
      shown.append(text.substr(0, one.bytes));
    }
    text.remove_prefix(one.bytes);
  }
  return shown;
}

bool IsShownAsItIs(std::string_view text) {
  while (!text.empty()) {
    const Character one = FirstOf(text);
    if (one.bytes == 0 || IsHarmful(one.code)) return false;
    text.remove_prefix(one.bytes);
  }
  return true;
}

std::string ShownLines(std::string_view text) {
  std::string shown;
  while (true) {
    const size_t end = std::min(text.find('\n'), text.size());
    shown.append(ShownText(text.substr(0, end)));
    if (end == text.size()) return shown;
    shown.push_back('\n');
    text.remove_prefix(end + 1);
  }
}

std::string WithoutPasswords(std::string_view text) {
  std::string shown;
  constexpr std::string_view kScheme = "://", kPassword = "password=";
  while (true) {
    const size_t login = text.find(kScheme), word = text.find(kPassword);
    if (login == std::string_view::npos && word == std::string_view::npos) return shown.append(text);
    const bool is_word = word < login;
    const size_t begin = is_word ? word + kPassword.size() : login + kScheme.size();
    shown.append(text.substr(0, begin));
    text.remove_prefix(begin);
    if (is_word) {
      shown.append("***");
      text.remove_prefix(std::min(text.find_first_of(" \t\n&"), text.size()));
      continue;
    }
    // A password may have any character in it that is not encoded.
    const std::string_view word_of_url = text.substr(0, text.find_first_of(" \t\n"));
    const size_t at = word_of_url.rfind('@');
    if (at == std::string_view::npos || IsExample(word_of_url)) continue;
    shown.append("***");
    text.remove_prefix(at);
  }
}

std::string ShownValue(std::string_view value) {
  constexpr size_t kShownMax = 100;
  std::string shown = ShownText(WithoutPasswords(value));
  if (shown.size() <= kShownMax) return shown;
  size_t end = kShownMax;
  while (end > 0 && (static_cast<unsigned char>(shown[end]) & 0xC0) == 0x80) --end;
  return absl::StrCat(shown.substr(0, end), "...");
}

std::string ShownJson(std::string_view json, bool one_line) {
  std::string shown;
  shown.reserve(json.size());
  while (!json.empty()) {
    const Character one = FirstOf(json);
    if (one.bytes == 0) {
      shown.append("\\ufffd");
      json.remove_prefix(1);
      continue;
    }
    if (one.code < 0x20) {
      shown.push_back(one_line || one.code != '\n' ? ' ' : '\n');
    } else if (IsHarmful(one.code)) {
      AppendEscaped(one.code, &shown);
    } else {
      shown.append(json.substr(0, one.bytes));
    }
    json.remove_prefix(one.bytes);
  }
  return shown;
}

}  // namespace toolwire
