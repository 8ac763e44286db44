// Base64url of RFC 4648, section 5, without padding: the form of JSON Web Tokens and their keys.
#ifndef TOOLWIRE_COMMON_BASE_BASE64URL_H_
#define TOOLWIRE_COMMON_BASE_BASE64URL_H_

#include <string>
#include <string_view>

namespace toolwire {

// Replaces `*bytes` by what `text` stands for. False, and `*bytes` is empty, unless `text` is the one text that stands
// for them: no padding, no white space, no character of plain base64, and zeros in the bits that are left over.
bool DecodeBase64Url(std::string_view text, std::string* bytes);

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_BASE_BASE64URL_H_
