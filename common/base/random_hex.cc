#include "common/base/random_hex.h"

#include <openssl/rand.h>

#include <cstdlib>

#include "absl/strings/escaping.h"
#include "common/base/log.h"

namespace toolwire {

std::string RandomHex(size_t bytes) {
  std::string random(bytes, '\0');
  if (RAND_bytes(reinterpret_cast<unsigned char*>(random.data()), static_cast<int>(bytes)) != 1) {
    // Ids would collide and secrets could be guessed: no process may go on with that.
    log::Error("libcrypto failed", {{"operation", "random bytes"}});
    std::abort();
  }
  return absl::BytesToHexString(random);
}

}  // namespace toolwire
