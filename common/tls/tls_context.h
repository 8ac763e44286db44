// An SSL_CTX from the contents of files.
#ifndef TOOLWIRE_COMMON_TLS_TLS_CONTEXT_H_
#define TOOLWIRE_COMMON_TLS_TLS_CONTEXT_H_

#include <cstdint>
#include <memory>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/tls/tls_files.h"

namespace toolwire {

// Contents; empty ones are not given.
struct TlsContents {
  std::string_view certificate, key, ca, ticket_keys;
};

// `now`: Unix time in seconds, at which every certificate of the chain must be valid. `ticket_keys` are used if the
// contents have none. Errors name the files of `options`.
absl::StatusOr<std::shared_ptr<const TlsContext>> MakeTlsContext(const TlsOptions& options, const TlsContents& contents,
                                                                 const TlsFiles::TicketKeys& ticket_keys, int64_t now);

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_TLS_TLS_CONTEXT_H_
