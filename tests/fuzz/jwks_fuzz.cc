// Any bytes as the file of an issuer's keys: what is taken has keys, each with an id of its own, that check signatures.
#include <cstdint>
#include <set>
#include <string>
#include <string_view>

#include "control/jwks.h"
#include "tests/fuzz/require.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto jwks = toolwire::ParseJwks({reinterpret_cast<const char*>(data), size});
  if (!jwks.ok()) {
    REQUIRE(!jwks.status().message().empty() && jwks.status().message().size() < 300);
    return 0;
  }
  REQUIRE(!jwks->keys.empty() && jwks->keys.size() + jwks->skipped.size() <= toolwire::kJwksKeysMax);
  std::set<std::string> ids;
  for (const auto& key : jwks->keys) {
    REQUIRE(!key->kid.empty() && key->kid.size() <= toolwire::kKeyIdBytesMax && ids.insert(key->kid).second);
    REQUIRE(key->Equals(*key) && !key->removed->load());
    // 0, with RSA as long as the key may be, and r and s.
    for (const size_t length : {size_t{0}, size_t{64}, size_t{256}}) {
      REQUIRE(!key->Verify("text", std::string(length, '\0')));
    }
  }
  return 0;
}
