#include "common/registry/redis_tls.h"

#include <utility>

#include "absl/status/status.h"

namespace toolwire {

absl::StatusOr<std::unique_ptr<TlsFiles>> LoadRedisTls(const RedisUrl& url, const RedisTlsOptions& options,
                                                       const Clock& clock) {
  if (options.certificate_file.empty() != options.key_file.empty()) {
    return absl::InvalidArgumentError("--redis-cert and --redis-key go together");
  }
  if (!url.tls && !url.sentinel_tls) {
    if (options.ca_file.empty() && options.certificate_file.empty()) return nullptr;
    return absl::InvalidArgumentError(
        "--redis-ca, --redis-cert and --redis-key are for rediss://, and --redis-url has redis://");
  }
  TlsOptions tls;
  tls.port = "redis";
  tls.side = TlsOptions::Side::kClient;
  tls.ca_file = options.ca_file;
  tls.certificate_file = options.certificate_file;
  tls.key_file = options.key_file;
  tls.checks_name = url.checks_name;
  tls.ca_option = "--redis-ca";
  return TlsFiles::Load(std::move(tls), clock);
}

}  // namespace toolwire
