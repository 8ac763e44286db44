// protobuf's own JSON code takes 25 to 250 ns for each byte, on a thread that others wait for; this takes 2 to 10. A
// message's length comes before its content, so a Value is written in two passes over the text: the first finds the
// length of each list and object and keeps them in the order in which they begin, the second writes.
#include "control/hand_form.h"

#include <google/protobuf/io/coded_stream.h>

#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

#include "common/base/json_text.h"

namespace toolwire {
namespace {

using google::protobuf::Value;
using google::protobuf::io::CodedOutputStream;

constexpr int kLevelsMax = 100;         // The recursion limit of protobuf's parsers.
constexpr double kIntegerMax = 1e15;    // Whole numbers up to it are written without an exponent.
constexpr size_t kNumberBytesMax = 32;  // The longest double has 24.

void AppendNumber(double number, std::string* json) {
  char text[kNumberBytesMax];
  const bool whole =
      std::fabs(number) < kIntegerMax && number == std::trunc(number) && !(number == 0 && std::signbit(number));
  const auto end = whole ? std::to_chars(text, text + sizeof(text), static_cast<int64_t>(number))
                         : std::to_chars(text, text + sizeof(text), number);
  json->append(text, end.ptr);
}

bool AppendJson(const Value& value, std::string* json) {
  switch (value.kind_case()) {
    case Value::kNullValue:
      json->append("null");
      return true;
    case Value::kBoolValue:
      json->append(value.bool_value() ? "true" : "false");
      return true;
    case Value::kNumberValue:
      if (!std::isfinite(value.number_value())) return false;
      AppendNumber(value.number_value(), json);
      return true;
    case Value::kStringValue:
      json::AppendQuoted(value.string_value(), json);
      return true;
    case Value::kStructValue:
      return toolwire::AppendJson(value.struct_value(), json);
    case Value::kListValue: {
      json->push_back('[');
      bool first = true;
      for (const Value& one : value.list_value().values()) {
        if (!std::exchange(first, false)) json->push_back(',');
        if (!AppendJson(one, json)) return false;
      }
      json->push_back(']');
      return true;
    }
    case Value::KIND_NOT_SET:
      return false;
  }
  return false;
}

size_t VarintSize(size_t value) { return CodedOutputStream::VarintSize64(value); }
// Of a field with a number below 16 and a length.
size_t FieldSize(size_t length) { return 1 + VarintSize(length) + length; }

// The tags of Value, ListValue, Struct and its entries.
constexpr char kNullTag = 0x08, kNumberTag = 0x11, kStringTag = 0x1a, kBoolTag = 0x20, kStructTag = 0x2a;
constexpr char kListTag = 0x32, kElementTag = 0x0a, kEntryTag = 0x0a, kKeyTag = 0x0a, kEntryValueTag = 0x12;

// Both passes over one text, which is valid JSON: every place that is read is there. Recursion is bounded by
// kLevelsMax.
class ValueWriter {
 public:
  ValueWriter(std::string_view text, std::string* out) : text_(text), out_(out) {}

  // The first pass: the size of the next value as a Value, which is at this level. 0: there can be none.
  size_t Measure(int level) {
    SkipSpace();
    if (level > kLevelsMax) return 0;
    switch (text_[at_]) {
      case '{':
      case '[':
        return MeasureContainer(level);
      case '"':
        return NextString() ? FieldSize(string_.size()) : 0;
      case 't':
      case 'f':
      case 'n':
        at_ += text_[at_] == 'f' ? 5 : 4;
        return 2;
      default:
        return NextNumber() ? 9 : 0;
    }
  }

  void Rewind() { at_ = 0; }

  // The second pass: the next value as a Value. With a tag, as that field of what is around it.
  void Write(char tag) {
    SkipSpace();
    const char first = text_[at_];
    switch (first) {
      case '{':
      case '[': {
        const size_t size = sizes_[next_size_++];
        WriteLength(tag, FieldSize(size));
        WriteLength(first == '[' ? kListTag : kStructTag, size);
        return WriteContainer(first == '[');
      }
      case '"':
        NextString();
        WriteLength(tag, FieldSize(string_.size()));
        WriteLength(kStringTag, string_.size());
        out_->append(string_);
        return;
      case 't':
      case 'f':
      case 'n':
        at_ += first == 'f' ? 5 : 4;
        WriteLength(tag, 2);
        out_->push_back(first == 'n' ? kNullTag : kBoolTag);
        out_->push_back(first == 't');
        return;
      default: {
        NextNumber();
        WriteLength(tag, 9);
        out_->push_back(kNumberTag);
        uint64_t bits;
        std::memcpy(&bits, &number_, sizeof(bits));
        for (int i = 0; i < 8; ++i) out_->push_back(static_cast<char>(bits >> (8 * i)));
      }
    }
  }

 private:
  size_t MeasureContainer(int level) {
    const bool list = text_[at_++] == '[';
    const size_t index = sizes_.size();
    sizes_.push_back(0);
    if (level + 1 > kLevelsMax) return 0;
    size_t size = 0;
    while (!EndsContainer()) {
      size_t key = 0;
      if (!list) {
        if (!NextString()) return 0;
        key = FieldSize(string_.size());
        SkipColon();
      }
      const size_t value = Measure(level + (list ? 2 : 3));
      if (value == 0) return 0;
      size += FieldSize(list ? value : key + FieldSize(value));
    }
    sizes_[index] = size;
    return FieldSize(size);
  }

  void WriteContainer(bool list) {
    ++at_;
    while (!EndsContainer()) {
      if (list) {
        Write(kElementTag);
        continue;
      }
      NextString();
      SkipColon();
      key_.swap(string_);
      WriteLength(kEntryTag, FieldSize(key_.size()) + FieldSize(NextSize()));
      WriteLength(kKeyTag, key_.size());
      out_->append(key_);
      Write(kEntryValueTag);
    }
  }

  // The size of the next value as a Value, which was measured; it is not passed.
  size_t NextSize() {
    SkipSpace();
    const size_t at = at_;
    size_t size = 9;
    switch (text_[at_]) {
      case '{':
      case '[':
        return FieldSize(sizes_[next_size_]);
      case '"':
        NextString();
        size = FieldSize(string_.size());
        break;
      case 't':
      case 'f':
      case 'n':
        size = 2;
    }
    at_ = at;
    return size;
  }

  // Passes a comma. True: passes the end of the list or object, too.
  bool EndsContainer() {
    SkipSpace();
    if (text_[at_] == ',') {
      ++at_;
      SkipSpace();
    }
    if (text_[at_] != ']' && text_[at_] != '}') return false;
    ++at_;
    return true;
  }
  void SkipSpace() {
    while (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\r' || text_[at_] == '\t') ++at_;
  }
  void SkipColon() {
    SkipSpace();
    ++at_;
  }
  // Passes a string and decodes it. False: it has no UTF-8 form.
  bool NextString() {
    const size_t begin = at_++;
    bool escaped = false;
    for (; text_[at_] != '"'; ++at_) {
      if (text_[at_] != '\\') continue;
      escaped = true;
      ++at_;
    }
    ++at_;
    const std::string_view quoted = text_.substr(begin, at_ - begin);
    if (escaped) return json::Unescape(quoted, &string_);
    string_.assign(quoted.substr(1, quoted.size() - 2));
    return true;
  }
  // Passes a number. False: no double holds it.
  bool NextNumber() {
    const auto end = std::from_chars(text_.data() + at_, text_.data() + text_.size(), number_);
    const size_t begin = at_;
    at_ = static_cast<size_t>(end.ptr - text_.data());
    if (end.ec == std::errc()) return true;
    number_ = std::strtod(std::string(text_.substr(begin, at_ - begin)).c_str(), nullptr);  // Too small is 0.
    return std::isfinite(number_);
  }
  void WriteLength(char tag, size_t length) {
    if (tag == 0) return;
    out_->push_back(tag);
    for (; length >= 0x80; length >>= 7) out_->push_back(static_cast<char>(length | 0x80));
    out_->push_back(static_cast<char>(length));
  }

  const std::string_view text_;
  std::string* const out_;
  size_t at_ = 0;
  std::vector<size_t> sizes_;  // Of the lists' and objects' messages, in the order in which they begin.
  size_t next_size_ = 0;
  std::string string_, key_;  // The last ones, decoded.
  double number_ = 0;
};

}  // namespace

bool AppendJson(const google::protobuf::Struct& object, std::string* json) {
  json->push_back('{');
  bool first = true;
  for (const auto& [key, value] : object.fields()) {
    if (!std::exchange(first, false)) json->push_back(',');
    json::AppendQuoted(key, json);
    json->push_back(':');
    if (!AppendJson(value, json)) return false;
  }
  json->push_back('}');
  return true;
}

bool AppendValue(std::string_view json, int levels, size_t bytes_max, std::string* value) {
  // A list takes two levels, so this is checked before anything recurses.
  if (json::Validate(json, kLevelsMax / 2, nullptr) != json::Error::kNone) return false;
  ValueWriter writer(json, value);
  const size_t size = writer.Measure(levels);
  if (size == 0 || size > bytes_max) return false;
  value->reserve(value->size() + size);
  writer.Rewind();
  writer.Write(0);
  return true;
}

}  // namespace toolwire
