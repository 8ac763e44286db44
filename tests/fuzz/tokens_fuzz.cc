// Any bytes as the file of callers' tokens: what is taken must be written as lines that give the same tokens again.
#include <cstdint>
#include <string>
#include <string_view>

#include "control/tokens.h"
#include "tests/fuzz/require.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto tokens = toolwire::ParseTokens({reinterpret_cast<const char*>(data), size});
  if (!tokens.ok()) {
    REQUIRE(!tokens.status().message().empty() && tokens.status().message().size() < 300);
    return 0;
  }
  REQUIRE(!tokens->empty() && tokens->size() <= toolwire::kTokensMax);
  std::string file;
  for (const toolwire::Token& token : *tokens) file += toolwire::TokenLine(token) + "\n";
  const auto again = toolwire::ParseTokens(file);
  REQUIRE(again.ok() && again->size() == tokens->size());
  for (size_t i = 0; i < tokens->size(); ++i) {
    const toolwire::Token &a = tokens->at(i), &b = again->at(i);
    REQUIRE(a.name == b.name && a.digest == b.digest && a.scopes == b.scopes && a.users == b.users);
    REQUIRE(a.expires_ms == b.expires_ms && a.scopes != 0);
  }
  return 0;
}
