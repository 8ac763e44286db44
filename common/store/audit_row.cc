// A text is stored as it is if both databases can hold it. Otherwise it is replaced by a marked form, an object with
// `toolwire_truncated`, the reason, the size and a prefix that is cut between characters. PostgreSQL's jsonb refuses
// the most, so its rules count for all stores: no NUL, no lone surrogate, no number that its `numeric` cannot hold; and
// a number counts as long as it is written out, since that is how it is read again.

#include "common/store/audit_row.h"

#include <algorithm>
#include <charconv>

#include "absl/strings/str_cat.h"
#include "common/base/json_text.h"

namespace toolwire {
namespace {

// The length of the UTF-8 character at the start of `text`, or 0 if there is none (RFC 3629's table).
size_t Utf8CharBytes(std::string_view text) {
  const auto at = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const auto continues = [&](size_t i) { return i < text.size() && (at(i) & 0xC0) == 0x80; };
  const unsigned char lead = at(0);
  if (lead < 0x80) return 1;
  if (lead < 0xC2 || lead > 0xF4 || !continues(1)) return 0;
  if (lead < 0xE0) return 2;
  const unsigned char second = at(1);
  if (lead < 0xF0) {
    if ((lead == 0xE0 && second < 0xA0) || (lead == 0xED && second > 0x9F)) return 0;
    return continues(2) ? 3 : 0;
  }
  if ((lead == 0xF0 && second < 0x90) || (lead == 0xF4 && second > 0x8F)) return 0;
  return continues(2) && continues(3) ? 4 : 0;
}

// As much of `text` as takes `quoted_bytes_max` bytes in a JSON string, with '?' for NUL and for what is not UTF-8.
std::string SafePrefix(std::string_view text, size_t quoted_bytes_max) {
  std::string prefix;
  size_t quoted_bytes = 0;
  while (!text.empty()) {
    const size_t length = Utf8CharBytes(text);
    const unsigned char c = static_cast<unsigned char>(text[0]);
    const bool bad = length == 0 || c == 0;
    // The longest escape is \u0001.
    const size_t cost = bad ? 1 : c < 0x20 || c == 0x7F ? 6 : c == '"' || c == '\\' || c == '/' ? 2 : length;
    if (quoted_bytes + cost > quoted_bytes_max) break;
    quoted_bytes += cost;
    if (bad) {
      prefix.push_back('?');
    } else {
      prefix.append(text.substr(0, length));
    }
    text.remove_prefix(bad ? 1 : length);
  }
  return prefix;
}

// The bytes of a number as PostgreSQL's jsonb writes it, in full: 10,000 for 1e9999, 5 for 1.50e2 (150.0 and so on: a
// few more do not matter). It keeps numbers as `numeric`, with 131,072 digits before the point and 16,383 after it.
// 0: more than any number needs.
size_t WrittenOutBytes(std::string_view number) {
  constexpr size_t kNumberBytesMax = 4096;
  if (number.size() > kNumberBytesMax) return 0;
  const size_t e = std::min(number.find_first_of("eE"), number.size());
  int64_t exponent = 0;
  if (e < number.size()) {
    std::string_view digits = number.substr(e + 1);
    const bool negative = digits[0] == '-';
    while (!digits.empty() && (digits[0] == '+' || digits[0] == '-' || digits[0] == '0')) digits.remove_prefix(1);
    if (digits.size() > 4) return 0;  // Over 9,999.
    if (!digits.empty() && !ReadInt(digits, &exponent)) return 0;
    if (negative) exponent = -exponent;
  }
  const size_t point = std::min(number.substr(0, e).find('.'), e);
  const auto before = static_cast<int64_t>(point), after = static_cast<int64_t>(e - point);
  // Zeros are written on that side of the point to which it moves, whatever digits there are.
  const int64_t bytes = std::max<int64_t>(before + exponent, 1) + std::max<int64_t>(after - exponent, 0);
  return bytes > static_cast<int64_t>(kNumberBytesMax) ? 0 : static_cast<size_t>(bytes);
}

// The UTF-16 unit of a `\uXXXX` escape at `text[at]`, or -1 if something else is there.
int EscapedUnit(std::string_view text, size_t at) {
  if (at + 6 > text.size() || text[at] != '\\' || text[at + 1] != 'u') return -1;
  int unit = -1;
  std::from_chars(text.data() + at + 2, text.data() + at + 6, unit, 16);
  return unit;
}

// Skips the string that begins with the quote at `text[*at]`. False if it has an escape that jsonb refuses.
bool SkipStorableString(std::string_view text, size_t* at) {
  size_t quote = *at;
  for (size_t i = *at + 1; i < text.size();) {
    if (quote < i) quote = std::min(text.find('"', i), text.size());
    const size_t escape = text.substr(i, quote - i).find('\\');
    if (escape == std::string_view::npos) {
      *at = quote + 1;
      return quote < text.size();
    }
    i += escape;
    const int unit = EscapedUnit(text, i);
    if (unit < 0) {
      i += 2;
      continue;
    }
    if (unit == 0 || (unit >= 0xDC00 && unit <= 0xDFFF)) return false;
    i += 6;
    if (unit >= 0xD800 && unit <= 0xDBFF) {
      const int low = EscapedUnit(text, i);
      if (low < 0xDC00 || low > 0xDFFF) return false;
      i += 6;
    }
  }
  return false;
}

// The bytes of `text` with its numbers written out, or 0 if jsonb does not take it.
size_t StorableBytes(std::string_view text) {
  // PostgreSQL's parser recurses and has a stack of 2 MB by default.
  constexpr int kDepthMax = 1024;
  json::Kind kind;
  if (json::Validate(text, kDepthMax, &kind) != json::Error::kNone) return 0;
  size_t bytes = text.size();
  for (size_t i = 0; i < text.size();) {
    const char c = text[i];
    if (c == '"') {
      if (!SkipStorableString(text, &i)) return 0;
    } else if (c == '-' || (c >= '0' && c <= '9')) {
      const size_t end = std::min(text.find_first_not_of("0123456789+-.eE", i), text.size());
      const size_t number_bytes = WrittenOutBytes(text.substr(i, end - i));
      if (number_bytes == 0) return 0;
      if (number_bytes > end - i) bytes += number_bytes - (end - i);
      i = end;
    } else {
      ++i;
    }
  }
  return bytes;
}

}  // namespace

bool IsSafeText(std::string_view text) { return text.find('\0') == std::string_view::npos && json::IsUtf8(text); }

bool ReadInt(std::string_view text, int64_t* number) {
  const auto read = std::from_chars(text.data(), text.data() + text.size(), *number);
  return read.ec == std::errc() && read.ptr == text.data() + text.size();
}

absl::StatusOr<AuditCursor> ReadAuditCursor(const std::string& text) {
  AuditCursor cursor;
  const size_t colon = text.find(':');
  if (colon == std::string::npos || colon + 1 == text.size() || !IsSafeText(text) ||
      !ReadInt(std::string_view(text).substr(0, colon), &cursor.time)) {
    return absl::InvalidArgumentError("the cursor is not one of the audit log");
  }
  cursor.id = text.substr(colon + 1);
  return cursor;
}

std::string AuditMarkedJson(std::string_view json, size_t prefix_bytes, std::string_view reason) {
  return AuditMarkedJson(json, json.size(), prefix_bytes, reason);
}

std::string AuditMarkedJson(std::string_view start, uint64_t bytes, size_t prefix_bytes, std::string_view reason) {
  std::string marked = absl::StrCat("{\"toolwire_truncated\":true,\"bytes\":", bytes, ",\"prefix\":");
  json::AppendQuoted(SafePrefix(start, prefix_bytes), &marked);
  marked.append(",\"reason\":");
  json::AppendQuoted(reason, &marked);
  marked.push_back('}');
  return marked;
}

std::string AuditSafeJson(const std::string& json, size_t cap_bytes) {
  if (json.empty()) return json;
  if (json.size() > cap_bytes) return AuditMarkedJson(json, cap_bytes / 2, "too large");
  const size_t bytes = StorableBytes(json);
  if (bytes == 0) return AuditMarkedJson(json, cap_bytes / 2, "not storable");
  return bytes > cap_bytes ? AuditMarkedJson(json, cap_bytes / 2, "too large") : json;
}

std::string AuditSafeText(const std::string& text, size_t cap_bytes) {
  const bool fits = text.size() <= cap_bytes;
  if (fits && IsSafeText(text)) return text;
  std::string safe;
  std::string_view rest = text;
  const size_t safe_bytes_max = fits ? text.size() : cap_bytes / 2;
  while (!rest.empty()) {
    const size_t length = rest[0] == '\0' ? 0 : Utf8CharBytes(rest);
    if (safe.size() + std::max<size_t>(length, 1) > safe_bytes_max) break;
    if (length == 0) {
      safe.push_back('?');
    } else {
      safe.append(rest.substr(0, length));
    }
    rest.remove_prefix(std::max<size_t>(length, 1));
  }
  if (!fits) absl::StrAppend(&safe, " [cut: ", text.size(), " bytes]");
  return safe;
}

std::string AsciiText(const std::string& text) {
  std::string ascii;
  std::string_view rest = text;
  while (!rest.empty()) {
    const size_t length = Utf8CharBytes(rest);
    if (length == 1) {
      ascii.push_back(rest[0]);
    } else if (length == 0) {
      ascii.push_back('?');
    } else {
      // The first byte of a character of n bytes has n + 1 bits that are not its own, each other byte two.
      uint32_t code = static_cast<unsigned char>(rest[0]) & (0xFFu >> (length + 1));
      for (size_t i = 1; i < length; ++i) code = code << 6 | (static_cast<unsigned char>(rest[i]) & 0x3F);
      absl::StrAppend(&ascii, "\\u", absl::Hex(code, absl::kZeroPad4));
    }
    rest.remove_prefix(std::max<size_t>(length, 1));
  }
  return ascii;
}

AuditRow AuditSafeRow(const AuditRow& row, size_t cap_bytes) {
  AuditRow safe;
  safe.user_id = AuditSafeText(row.user_id, cap_bytes);
  safe.request_id = AuditSafeText(row.request_id, cap_bytes);
  safe.tool = AuditSafeText(row.tool, cap_bytes);
  safe.params_json = AuditSafeJson(row.params_json, cap_bytes);
  safe.result_json = AuditSafeJson(row.result_json, cap_bytes);
  safe.success = row.success;
  safe.error = AuditSafeText(row.error, cap_bytes);
  safe.execution_time_ms = row.execution_time_ms;
  safe.created_at_ms = row.created_at_ms;
  safe.call_id = AuditSafeText(row.call_id, cap_bytes);
  safe.caller = AuditSafeText(row.caller, cap_bytes);
  return safe;
}

}  // namespace toolwire
