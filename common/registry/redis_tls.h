// The certificates by which a Redis server and this process know each other.
#ifndef TOOLWIRE_COMMON_REGISTRY_REDIS_TLS_H_
#define TOOLWIRE_COMMON_REGISTRY_REDIS_TLS_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/registry/redis_url.h"
#include "common/tls/tls_files.h"

namespace toolwire {

// PEM files, re-read when they change; all may be empty.
struct RedisTlsOptions {
  std::string ca_file;           // Whom the server's certificate must be signed by. Empty: one of the system's CAs.
  std::string certificate_file;  // What we show to a server that asks for one,
  std::string key_file;          // and its key, not encrypted.
};

// Null if the URL has no TLS, not to sentinels either. INVALID_ARGUMENT if files are named that are of no use then, or
// a certificate without its key; or as of TlsFiles::Load.
absl::StatusOr<std::unique_ptr<TlsFiles>> LoadRedisTls(const RedisUrl& url, const RedisTlsOptions& options,
                                                       const Clock& clock);

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_REGISTRY_REDIS_TLS_H_
