// A text is cut into tokens: strings, brackets, commas, colons, and words, which are anything else. What may stand
// beside a string is checked, nothing else is: a quote at any other place means that it is not known which of the
// quotes belong together.
#include "common/base/broken_json.h"

#include <cassert>
#include <cstdint>
#include <utility>
#include <vector>

#include "common/base/json_text.h"

namespace toolwire::json {
namespace {

constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
constexpr size_t kBrokenNameSizeMax = 6 * 32;  // Written with escapes.

bool IsBlank(char c) { return static_cast<unsigned char>(c) <= ' '; }
bool IsQuote(char c) { return c == '"' || c == '\''; }
bool IsStructural(char c) { return c == '{' || c == '}' || c == '[' || c == ']' || c == ',' || c == ':'; }

// The content of a string, given without its quotes.
std::optional<std::string> Content(std::string_view between_quotes) {
  std::string quoted = "\"";
  quoted += between_quotes;
  quoted += '"';
  std::string plain;
  if (Validate(quoted, 0, nullptr) != Error::kNone || !Unescape(quoted, &plain)) return std::nullopt;
  return plain;
}

class BrokenReader {
 public:
  BrokenReader(std::string_view text, absl::Span<const std::string_view> names, absl::Span<BrokenMember> found)
      : text_(text), names_(names), found_(found) {}

  void Run();

 private:
  // What stands before a token; brackets that open separate.
  enum class Before : uint8_t { kSeparator, kValue, kWord };

  // Each reads one token at `at_`. False: reading ends.
  bool Bracket(char c);
  bool String(char quote);
  bool Word();

  void SkipBlanks() {
    while (at_ < text_.size() && IsBlank(text_[at_])) ++at_;
  }
  // Of the string whose content begins at `begin`: where its closing quote is, or npos.
  size_t EndOfString(size_t begin, char quote) const;
  bool AtMember() const { return open_.size() == 1; }
  void OnKey(std::string_view key);
  void OnValue(BrokenMember value);

  const std::string_view text_;
  const absl::Span<const std::string_view> names_;
  const absl::Span<BrokenMember> found_;
  size_t at_ = 0;
  std::vector<bool> open_;  // For each open bracket whether it is an object's.
  Before before_ = Before::kSeparator;
  BrokenMember* member_ = nullptr;  // The one whose value is due, if it is asked for.
  bool value_due_ = false;          // The colon of a top-level member was read.
};

void BrokenReader::Run() {
  if (text_.substr(0, kByteOrderMark.size()) == kByteOrderMark) at_ = kByteOrderMark.size();
  SkipBlanks();
  if (at_ == text_.size() || text_[at_] != '{') return;
  bool goes_on = true;
  while (goes_on) {
    SkipBlanks();
    if (at_ == text_.size()) return;
    const char c = text_[at_];
    if (IsQuote(c)) {
      goes_on = String(c);
    } else if (c == ',' || c == ':') {
      ++at_;
      before_ = Before::kSeparator;
      if (AtMember()) value_due_ = c == ':';
      if (AtMember() && c == ',') member_ = nullptr;
    } else if (IsStructural(c)) {
      goes_on = Bracket(c);
    } else {
      goes_on = Word();
    }
  }
}

bool BrokenReader::Bracket(char c) {
  ++at_;
  const bool object = c == '{' || c == '}';
  if (c == '{' || c == '[') {
    if (AtMember() && value_due_) OnValue({});
    open_.push_back(object);
    before_ = Before::kSeparator;
    return true;
  }
  if (open_.back() != object) return false;
  open_.pop_back();
  before_ = Before::kValue;
  return !open_.empty();
}

size_t BrokenReader::EndOfString(size_t begin, char quote) const {
  for (size_t end = begin;; ++end) {
    end = text_.find(quote, end);
    if (end == std::string_view::npos) return end;
    size_t backslashes = 0;
    while (end - backslashes > begin && text_[end - backslashes - 1] == '\\') ++backslashes;
    if (backslashes % 2 == 0) return end;
  }
}

bool BrokenReader::String(char quote) {
  if (before_ == Before::kWord) return false;
  const size_t begin = at_ + 1;
  const size_t end = EndOfString(begin, quote);
  if (end == std::string_view::npos) return false;
  at_ = end + 1;
  SkipBlanks();
  if (at_ < text_.size()) {
    const bool comma_missing = IsQuote(text_[at_]) && at_ > end + 1;
    const bool ends_here = IsStructural(text_[at_]) && text_[at_] != '{' && text_[at_] != '[';
    if (!comma_missing && !ends_here) return false;
  }
  if (AtMember()) {
    const std::string_view content = text_.substr(begin, end - begin);
    if (!value_due_) {
      OnKey(content);
    } else {
      OnValue({true, member_ != nullptr ? Content(content) : std::nullopt});
    }
  }
  before_ = Before::kValue;
  return true;
}

bool BrokenReader::Word() {
  const size_t begin = at_;
  for (; at_ < text_.size(); ++at_) {
    const char c = text_[at_];
    if (IsBlank(c) || IsStructural(c) || IsQuote(c)) break;
    // Behind these may be quotes that belong to no string.
    if (c == '\\' || c == '`') return false;
    if (c == '/' && at_ + 1 < text_.size() && (text_[at_ + 1] == '/' || text_[at_ + 1] == '*')) return false;
  }
  if (AtMember()) {
    if (value_due_) {
      OnValue({});
    } else {
      OnKey(text_.substr(begin, at_ - begin));
    }
  }
  before_ = Before::kWord;
  return true;
}

void BrokenReader::OnKey(std::string_view key) {
  member_ = nullptr;
  std::string plain;
  if (key.find('\\') != std::string_view::npos && key.size() <= kBrokenNameSizeMax) {
    plain = Content(key).value_or("");
    key = plain;
  }
  for (size_t i = 0; i < names_.size(); ++i) {
    if (names_[i] == key) member_ = &found_[i];
  }
}

// Behind a value no other one is due; if the comma is missing, a name.
void BrokenReader::OnValue(BrokenMember value) {
  if (member_ != nullptr) *member_ = std::move(value);
  member_ = nullptr;
  value_due_ = false;
}

}  // namespace

void FindBrokenMembers(std::string_view text, absl::Span<const std::string_view> names,
                       absl::Span<BrokenMember> found) {
  assert(names.size() == found.size());
  for (BrokenMember& member : found) member = {};
  BrokenReader(text, names, found).Run();
}

}  // namespace toolwire::json
