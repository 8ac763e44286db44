#include "common/base/tidy.h"

#include "absl/strings/ascii.h"

namespace toolwire {
namespace {

constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

bool IsQuote(char c) { return c == '"' || c == '\''; }

// Of one side or the other.
bool TakeOne(std::string_view* text, Tidied* tidied) {
  if (text->empty()) return false;
  if (text->substr(0, kByteOrderMark.size()) == kByteOrderMark) {
    text->remove_prefix(kByteOrderMark.size());
  } else if (absl::ascii_isspace(static_cast<unsigned char>(text->front()))) {
    text->remove_prefix(1);
  } else if (absl::ascii_isspace(static_cast<unsigned char>(text->back()))) {
    text->remove_suffix(1);
  } else if (text->size() > 1 && IsQuote(text->front()) && text->front() == text->back()) {
    text->remove_prefix(1);
    text->remove_suffix(1);
    tidied->had_quotes = true;
  } else {
    return false;
  }
  return true;
}

}  // namespace

std::string_view WithoutByteOrderMark(std::string_view text) {
  if (text.substr(0, kByteOrderMark.size()) == kByteOrderMark) text.remove_prefix(kByteOrderMark.size());
  return text;
}

Tidied Tidy(std::string_view text) {
  Tidied tidied;
  while (TakeOne(&text, &tidied)) {
  }
  tidied.open_quote = !text.empty() && (IsQuote(text.front()) || IsQuote(text.back()));
  tidied.value = std::string(text);
  return tidied;
}

}  // namespace toolwire
