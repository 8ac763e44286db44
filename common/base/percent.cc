#include "common/base/percent.h"

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace toolwire {

bool PercentDecode(std::string_view text, std::string* plain) {
  plain->clear();
  bool all_escapes = true;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      plain->push_back(text[i]);
    } else if (i + 2 < text.size() && absl::ascii_isxdigit(text[i + 1]) && absl::ascii_isxdigit(text[i + 2])) {
      plain->append(absl::HexStringToBytes(absl::string_view(text.data() + i + 1, 2)));
      i += 2;
    } else {
      plain->push_back('%');
      all_escapes = false;
    }
  }
  return all_escapes;
}

std::string PercentEncode(std::string_view text) {
  std::string encoded;
  for (const char c : text) {
    if (absl::ascii_isalnum(c) || c == '-' || c == '.' || c == '_' || c == '~') {
      encoded.push_back(c);
    } else {
      absl::StrAppend(&encoded, "%", absl::AsciiStrToUpper(absl::BytesToHexString(absl::string_view(&c, 1))));
    }
  }
  return encoded;
}

}  // namespace toolwire
