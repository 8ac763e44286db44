// Percent-encoding, as in URLs.
#ifndef TOOLWIRE_COMMON_BASE_PERCENT_H_
#define TOOLWIRE_COMMON_BASE_PERCENT_H_

#include <string>
#include <string_view>

namespace toolwire {

// `text` with the byte of each escape (%XX) in its place. A percent sign that begins no escape stands for itself; then
// false is returned.
bool PercentDecode(std::string_view text, std::string* plain);

// `text` with everything escaped but letters, digits and -._~.
std::string PercentEncode(std::string_view text);

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_BASE_PERCENT_H_
