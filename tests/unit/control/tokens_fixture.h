// Tokens for tests: their texts, and files of them.
#ifndef TOOLWIRE_TESTS_UNIT_CONTROL_TOKENS_FIXTURE_H_
#define TOOLWIRE_TESTS_UNIT_CONTROL_TOKENS_FIXTURE_H_

#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "control/tokens.h"

namespace toolwire {

// The n-th of many different ones.
inline std::string TokenText(int n) {
  const std::string number = std::to_string(n);
  return "tw_" + std::string(43 - number.size(), 'A') + number;
}

// Its hash, as a file has it.
inline std::string HashOf(int n) {
  const Sha256Digest digest = Sha256(TokenText(n));
  return "sha256:" + absl::BytesToHexString({reinterpret_cast<const char*>(digest.data()), digest.size()});
}

// A line of it; `rest` are the fields behind the scopes.
inline std::string LineOf(int n, const std::string& name, const std::string& scopes, const std::string& rest = "") {
  return absl::StrCat(name, " ", HashOf(n), " ", scopes, rest.empty() ? "" : " ", rest, "\n");
}

}  // namespace toolwire

#endif  // TOOLWIRE_TESTS_UNIT_CONTROL_TOKENS_FIXTURE_H_
