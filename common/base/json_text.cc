// One pass over the text, byte by byte outside strings and 16 bytes at a time inside them, where most bytes are. A
// bit per open container is all the state the grammar needs; numbers are recognised, never converted.
//
// UTF-8 is not checked in that pass. Bytes above 0x7f may stand only in strings, so the string scan notes whether it
// met any, and only then the vectorised check of simdjson goes over the text. Plain ASCII, the usual frame, is read
// once.
#include "common/base/json_text.h"

#include <simdjson.h>

#include <array>
#include <cassert>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace toolwire::json {
namespace {

constexpr size_t kNameSizeMax = 255;
constexpr size_t kEscapeSizeMax = 6;  // \u0041, the longest way to write one byte of a name
constexpr uint32_t kReplacementCharacter = 0xfffd;

// What the letter after a backslash stands for; 0 for letters that may not stand there, and for `u`.
constexpr std::array<char, 256> MakeEscapes() {
  std::array<char, 256> table{};
  table['"'] = '"';
  table['\\'] = '\\';
  table['/'] = '/';
  table['b'] = '\b';
  table['f'] = '\f';
  table['n'] = '\n';
  table['r'] = '\r';
  table['t'] = '\t';
  return table;
}
constexpr std::array<char, 256> kEscapes = MakeEscapes();

// The value of a hexadecimal digit; -1 for all other bytes.
constexpr std::array<int8_t, 256> MakeHexDigits() {
  std::array<int8_t, 256> table{};
  for (size_t i = 0; i < table.size(); ++i) table[i] = -1;
  for (int i = 0; i < 10; ++i) table['0' + i] = static_cast<int8_t>(i);
  for (int i = 0; i < 6; ++i) table['a' + i] = table['A' + i] = static_cast<int8_t>(10 + i);
  return table;
}
constexpr std::array<int8_t, 256> kHexDigits = MakeHexDigits();

inline uint8_t Byte(char c) { return static_cast<uint8_t>(c); }

inline bool IsDigit(char c) { return static_cast<unsigned>(c - '0') < 10; }

inline bool IsSpace(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

// The value of four hexadecimal digits, or a negative number if one of them is none.
inline int HexValue(const char* digits) {
  return kHexDigits[Byte(digits[0])] * 4096 | kHexDigits[Byte(digits[1])] * 256 | kHexDigits[Byte(digits[2])] * 16 |
         kHexDigits[Byte(digits[3])];
}

// The first byte that does not stand for itself in a JSON string: a quote, a backslash or a control character; `end`
// if there is none. `*high` becomes non-zero if a byte above 0x7f came before it (and may if one comes shortly after).
inline const char* FindSpecial(const char* p, const char* end, unsigned* high) {
#if defined(__SSE2__)
  const __m128i quote = _mm_set1_epi8('"');
  const __m128i backslash = _mm_set1_epi8('\\');
  const __m128i last_control = _mm_set1_epi8(0x1f);
  for (; end - p >= 16; p += 16) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    const __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(bytes, last_control), bytes);
    const __m128i mark = _mm_or_si128(_mm_cmpeq_epi8(bytes, quote), _mm_cmpeq_epi8(bytes, backslash));
    const unsigned special = static_cast<unsigned>(_mm_movemask_epi8(_mm_or_si128(control, mark)));
    *high |= static_cast<unsigned>(_mm_movemask_epi8(bytes));
    if (special != 0) return p + __builtin_ctz(special);
  }
#endif
  for (; p != end; ++p) {
    const uint8_t byte = Byte(*p);
    if (byte < 0x20 || byte == '"' || byte == '\\') break;
    *high |= byte & 0x80u;
  }
  return p;
}

// The first byte that is not white space. Indented JSON has long runs of it.
inline const char* FindNonSpace(const char* p, const char* end) {
#if defined(__SSE2__)
  const __m128i space = _mm_set1_epi8(' ');
  const __m128i tab = _mm_set1_epi8('\t');
  const __m128i newline = _mm_set1_epi8('\n');
  const __m128i carriage_return = _mm_set1_epi8('\r');
  for (; end - p >= 16; p += 16) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    const __m128i blank = _mm_or_si128(_mm_cmpeq_epi8(bytes, space), _mm_cmpeq_epi8(bytes, tab));
    const __m128i line = _mm_or_si128(_mm_cmpeq_epi8(bytes, newline), _mm_cmpeq_epi8(bytes, carriage_return));
    const unsigned other = ~static_cast<unsigned>(_mm_movemask_epi8(_mm_or_si128(blank, line))) & 0xffffu;
    if (other != 0) return p + __builtin_ctz(other);
  }
#endif
  while (p != end && IsSpace(*p)) ++p;
  return p;
}

// The kind of a valid value, which follows from its first byte.
Kind KindOf(char first) {
  switch (first) {
    case '{':
      return Kind::kObject;
    case '[':
      return Kind::kArray;
    case '"':
      return Kind::kString;
    case 't':
    case 'f':
      return Kind::kBool;
    case 'n':
      return Kind::kNull;
    default:
      return Kind::kNumber;
  }
}

// The open containers, the innermost in the lowest bit: 1 for an object, 0 for an array. After every 64 levels the
// full word is put aside; the words of the first 1024 levels have their place here, deeper ones allocate.
class Nesting {
 public:
  int depth() const { return depth_; }
  bool in_object() const { return (open_ & 1) != 0; }

  void Push(bool object) {
    if (depth_ % 64 == 0 && depth_ != 0) PutAside();
    open_ = open_ << 1 | static_cast<uint64_t>(object);
    ++depth_;
  }

  void Pop() {
    --depth_;
    open_ >>= 1;
    if (depth_ % 64 == 0 && depth_ != 0) TakeBack();
  }

 private:
  static constexpr int kNearWords = 1024 / 64 - 1;  // the innermost word is in open_

  void PutAside() {
    const int word = depth_ / 64 - 1;
    if (word < kNearWords) {
      near_[word] = open_;
    } else {
      far_.push_back(open_);
    }
  }

  void TakeBack() {
    const int word = depth_ / 64 - 1;
    if (word < kNearWords) {
      open_ = near_[word];
    } else {
      open_ = far_.back();
      far_.pop_back();
    }
  }

  uint64_t open_ = 0;
  int depth_ = 0;
  uint64_t near_[kNearWords];  // not initialised: most texts never use it
  std::vector<uint64_t> far_;
};

// Reads a text once. `Sink` declares at compile time whether it wants the members of the top-level object, and gets
// them as they are passed.
//
// The place in the text is handed from function to function, never kept in the object: it has to stay in a register.
// Each Skip function takes the place where its piece begins and returns the one behind it, or null if the piece is not
// valid there.
template <typename Sink>
class Scanner {
 public:
  Scanner(std::string_view text, int depth_max, Sink* sink)
      : begin_(text.data()), end_(text.data() + text.size()), depth_max_(depth_max), sink_(sink) {}

  // kNone, kSyntax or kTooDeep. If kNone, `has_high_bytes` is whether UTF-8 is still to be checked.
  Error Run();
  bool has_high_bytes() const { return high_ != 0; }
  // After an error, if the sink wants members: of the one in which reading ended; empty between two.
  std::string_view broken_key() const { return key_; }

 private:
  bool AtMember() const { return Sink::kWantsMembers && nesting_.depth() == 1; }

  // The byte at `p`, or 0 at the end, where every byte that the grammar knows is missing.
  char At(const char* p) const { return p != end_ ? *p : '\0'; }

  const char* SkipSpace(const char* p) const {
    if (p == end_ || Byte(*p) > ' ') return p;
    // One space after a colon or comma is common, more mostly means indentation.
    if (*p == ' ' && end_ - p > 1 && Byte(p[1]) > ' ') return p + 1;
    return FindNonSpace(p, end_);
  }

  const char* SkipWord(const char* p, std::string_view word) const {
    const bool same = static_cast<size_t>(end_ - p) >= word.size() && std::memcmp(p, word.data(), word.size()) == 0;
    return same ? p + word.size() : nullptr;
  }

  const char* SkipDigits(const char* p) const {
    if (!IsDigit(At(p))) return nullptr;
    do {
      ++p;
    } while (p != end_ && IsDigit(*p));
    return p;
  }

  const char* SkipNumber(const char* p) const;
  const char* SkipString(const char* p);  // from its opening quote
  const char* SkipKey(const char* p);     // and its colon

  const char* const begin_;
  const char* const end_;
  const int depth_max_;
  Sink* const sink_;
  unsigned high_ = 0;
  Nesting nesting_;
  std::string_view key_;               // of the member being read, if the sink wants members
  const char* value_begin_ = nullptr;  // of the member being read
};

template <typename Sink>
inline const char* Scanner<Sink>::SkipNumber(const char* p) const {
  if (*p == '-') ++p;
  // After a leading 0 another digit is left for the caller to refuse.
  p = At(p) == '0' ? p + 1 : SkipDigits(p);
  if (p == nullptr) return nullptr;
  if (At(p) == '.') {
    p = SkipDigits(p + 1);
    if (p == nullptr) return nullptr;
  }
  if (At(p) == 'e' || At(p) == 'E') {
    ++p;
    if (At(p) == '+' || At(p) == '-') ++p;
    return SkipDigits(p);
  }
  return p;
}

template <typename Sink>
inline const char* Scanner<Sink>::SkipString(const char* p) {
  ++p;
  for (;;) {
    p = FindSpecial(p, end_, &high_);
    if (p == end_) return nullptr;
    if (*p == '"') return p + 1;
    if (*p != '\\' || end_ - p < 2) return nullptr;
    if (p[1] == 'u') {
      if (end_ - p < 6 || HexValue(p + 2) < 0) return nullptr;
      p += 6;
    } else {
      if (kEscapes[Byte(p[1])] == 0) return nullptr;
      p += 2;
    }
  }
}

template <typename Sink>
inline const char* Scanner<Sink>::SkipKey(const char* p) {
  p = SkipSpace(p);
  if (At(p) != '"') return nullptr;
  const char* const begin = p;
  p = SkipString(p);
  if (p == nullptr) return nullptr;
  if (AtMember()) key_ = std::string_view(begin + 1, static_cast<size_t>(p - begin) - 2);
  p = SkipSpace(p);
  return At(p) == ':' ? p + 1 : nullptr;
}

template <typename Sink>
Error Scanner<Sink>::Run() {
  const char* p = begin_;
  for (;;) {
    // A value begins.
    p = SkipSpace(p);
    if (AtMember()) value_begin_ = p;
    const char first = At(p);
    switch (first) {
      case '"':
        p = SkipString(p);
        break;
      case '{':
      case '[':
        if (nesting_.depth() >= depth_max_) return Error::kTooDeep;
        p = SkipSpace(p + 1);
        if (At(p) != (first == '{' ? '}' : ']')) {
          nesting_.Push(first == '{');
          if (first == '{') p = SkipKey(p);
          if (p == nullptr) return Error::kSyntax;
          continue;
        }
        ++p;
        break;
      case 't':
        p = SkipWord(p, "true");
        break;
      case 'f':
        p = SkipWord(p, "false");
        break;
      case 'n':
        p = SkipWord(p, "null");
        break;
      case '\0':
        return Error::kSyntax;
      default:
        p = SkipNumber(p);
        break;
    }
    if (p == nullptr) return Error::kSyntax;

    // A value has ended, and with it perhaps the containers around it.
    for (;;) {
      if (nesting_.depth() == 0) return SkipSpace(p) == end_ ? Error::kNone : Error::kSyntax;
      if (AtMember()) {
        sink_->OnMember(key_, std::string_view(value_begin_, static_cast<size_t>(p - value_begin_)));
        key_ = {};
      }
      p = SkipSpace(p);
      const char next = At(p);
      if (next == ',') {
        ++p;
        if (nesting_.in_object()) p = SkipKey(p);
        if (p == nullptr) return Error::kSyntax;
        break;
      }
      if (next != (nesting_.in_object() ? '}' : ']')) return Error::kSyntax;
      ++p;
      nesting_.Pop();
    }
  }
}

template <typename Sink>
Error Scan(std::string_view text, int depth_max, Sink* sink, std::string_view* broken_key) {
  Scanner<Sink> scanner(text, depth_max, sink);
  const Error error = scanner.Run();
  if (broken_key != nullptr) *broken_key = scanner.broken_key();
  if (error == Error::kNone && !scanner.has_high_bytes()) return error;
  // A text with a byte that is not UTF-8 often breaks the grammar too. Of the two, the encoding is the useful news.
  return IsUtf8(text) ? error : Error::kBadUtf8;
}

template <typename Sink>
Error ScanObject(std::string_view text, int depth_max, Sink* sink, std::string_view* broken_key = nullptr) {
  const char* const end = text.data() + text.size();
  const char* const begin = FindNonSpace(text.data(), end);
  if (begin == end || *begin != '{') return IsUtf8(text) ? Error::kSyntax : Error::kBadUtf8;
  return Scan(text, depth_max, sink, broken_key);
}

struct NoMembers {
  static constexpr bool kWantsMembers = false;
  void OnMember(std::string_view, std::string_view) {}
};

struct AllMembers {
  static constexpr bool kWantsMembers = true;
  void OnMember(std::string_view key, std::string_view value) { members->push_back({key, value, KindOf(value[0])}); }

  std::vector<Member>* members;
};

struct NamedMembers {
  static constexpr bool kWantsMembers = true;
  void OnMember(std::string_view key, std::string_view value) {
    if (Keep(key, key, value)) return;
    if (std::memchr(key.data(), '\\', key.size()) != nullptr) OnEscapedMember(key, value);
  }

  void OnEscapedMember(std::string_view key, std::string_view value) {
    if (key.size() > kEscapeSizeMax * kNameSizeMax) return;
    std::string plain;
    const std::string_view quoted(key.data() - 1, key.size() + 2);  // a key stands between its quotes
    if (Unescape(quoted, &plain)) Keep(plain, key, value);
  }

  // Programs write their fields in the same order every time: the search goes on behind the last hit.
  bool Keep(std::string_view name, std::string_view key, std::string_view value) {
    for (size_t tried = 0; tried < names.size(); ++tried) {
      const size_t i = next;
      if (++next == names.size()) next = 0;
      if (names[i] == name) {
        found[i] = {key, value, KindOf(value[0])};
        return true;
      }
    }
    return false;
  }

  absl::Span<const std::string_view> names;
  absl::Span<Member> found;
  size_t next = 0;
};

void AppendUtf8(uint32_t code_point, std::string* out) {
  if (code_point < 0x80) {
    out->push_back(static_cast<char>(code_point));
  } else if (code_point < 0x800) {
    out->push_back(static_cast<char>(0xc0 | code_point >> 6));
    out->push_back(static_cast<char>(0x80 | (code_point & 0x3f)));
  } else if (code_point < 0x10000) {
    out->push_back(static_cast<char>(0xe0 | code_point >> 12));
    out->push_back(static_cast<char>(0x80 | (code_point >> 6 & 0x3f)));
    out->push_back(static_cast<char>(0x80 | (code_point & 0x3f)));
  } else {
    out->push_back(static_cast<char>(0xf0 | code_point >> 18));
    out->push_back(static_cast<char>(0x80 | (code_point >> 12 & 0x3f)));
    out->push_back(static_cast<char>(0x80 | (code_point >> 6 & 0x3f)));
    out->push_back(static_cast<char>(0x80 | (code_point & 0x3f)));
  }
}

// Writes the content of a valid string to `*out`; a lone surrogate becomes `lone`, or ends it (false) if `lone` is 0.
bool Decode(std::string_view quoted, uint32_t lone, std::string* out) {
  assert(quoted.size() >= 2 && quoted.front() == '"' && quoted.back() == '"');
  const char* p = quoted.data() + 1;
  const char* const end = quoted.data() + quoted.size() - 1;
  out->clear();
  out->reserve(quoted.size() - 2);  // an escape is never shorter than what it stands for
  for (;;) {
    const char* const escape = static_cast<const char*>(std::memchr(p, '\\', static_cast<size_t>(end - p)));
    if (escape == nullptr) {
      out->append(p, end);
      return true;
    }
    out->append(p, escape);
    if (escape[1] != 'u') {
      out->push_back(kEscapes[Byte(escape[1])]);
      p = escape + 2;
      continue;
    }
    uint32_t code_point = static_cast<uint32_t>(HexValue(escape + 2));
    p = escape + 6;
    if (code_point >= 0xd800 && code_point <= 0xdfff) {
      const bool pair_follows = code_point <= 0xdbff && end - p >= 6 && p[0] == '\\' && p[1] == 'u';
      const uint32_t low = pair_follows ? static_cast<uint32_t>(HexValue(p + 2)) : 0;
      if (low >= 0xdc00 && low <= 0xdfff) {
        code_point = 0x10000 + ((code_point - 0xd800) << 10) + (low - 0xdc00);
        p += 6;
      } else if (lone != 0) {
        code_point = lone;
      } else {
        return false;
      }
    }
    AppendUtf8(code_point, out);
  }
}

}  // namespace

const char* ErrorText(Error error) {
  switch (error) {
    case Error::kNone:
      return "valid";
    case Error::kSyntax:
      return "not valid JSON";
    case Error::kTooDeep:
      return "nested too deep";
    case Error::kBadUtf8:
      return "not UTF-8";
  }
  return "unknown error";
}

Error Validate(std::string_view text, int depth_max, Kind* kind) {
  NoMembers sink;
  const Error error = Scan(text, depth_max, &sink, nullptr);
  if (error == Error::kNone && kind != nullptr) *kind = KindOf(*FindNonSpace(text.data(), text.data() + text.size()));
  return error;
}

Error SplitObject(std::string_view text, int depth_max, std::vector<Member>* members) {
  members->clear();
  AllMembers sink{members};
  const Error error = ScanObject(text, depth_max, &sink);
  if (error != Error::kNone) members->clear();
  return error;
}

Error PickMembersBeforeError(std::string_view text, int depth_max, absl::Span<const std::string_view> names,
                             absl::Span<Member> found, std::string_view* broken_key) {
  assert(names.size() == found.size());
  *broken_key = {};
  for (Member& member : found) member.value = {};
  NamedMembers sink{names, found};
  return ScanObject(text, depth_max, &sink, broken_key);
}

Error PickMembers(std::string_view text, int depth_max, absl::Span<const std::string_view> names,
                  absl::Span<Member> found) {
  std::string_view broken_key;
  const Error error = PickMembersBeforeError(text, depth_max, names, found, &broken_key);
  if (error != Error::kNone) {
    for (Member& member : found) member.value = {};
  }
  return error;
}

bool Unescape(std::string_view quoted, std::string* out) { return Decode(quoted, 0, out); }

void UnescapeLossy(std::string_view quoted, std::string* out) { Decode(quoted, kReplacementCharacter, out); }

void AppendQuoted(std::string_view text, std::string* out) {
  const char* p = text.data();
  const char* const end = p + text.size();
  unsigned high = 0;
  out->push_back('"');
  for (;;) {
    const char* const special = FindSpecial(p, end, &high);
    out->append(p, special);
    if (special == end) break;
    out->push_back('\\');
    switch (*special) {
      case '\b':
        out->push_back('b');
        break;
      case '\f':
        out->push_back('f');
        break;
      case '\n':
        out->push_back('n');
        break;
      case '\r':
        out->push_back('r');
        break;
      case '\t':
        out->push_back('t');
        break;
      case '"':
      case '\\':
        out->push_back(*special);
        break;
      default:
        out->append(*special < 0x10 ? "u000" : "u001");
        out->push_back("0123456789abcdef"[*special & 0xf]);
        break;
    }
    p = special + 1;
  }
  out->push_back('"');
}

bool IsUtf8(std::string_view text) { return simdjson::validate_utf8(text.data(), text.size()); }

}  // namespace toolwire::json
