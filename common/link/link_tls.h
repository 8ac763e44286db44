// The certificates by which controls and edges know each other on their links.
#ifndef TOOLWIRE_COMMON_LINK_LINK_TLS_H_
#define TOOLWIRE_COMMON_LINK_LINK_TLS_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/tls/tls_files.h"

namespace CLI {
class App;
}

namespace toolwire {

// PEM files. All three, or none: then links are plain.
struct LinkTlsOptions {
  std::string certificate_file;
  std::string key_file;
  std::string ca_file;  // Whom the other side's certificate must be signed by.
  bool plain = false;   // Links to other machines may be plain: a mesh encrypts them and knows both ends.
};

enum class LinkEnd { kEdge, kControl };

void AddLinkTlsFlags(CLI::App* app, LinkTlsOptions* options);
void AddPlainLinksFlag(CLI::App* app, LinkTlsOptions* options);
// Appends to `unprotected`, as of RefuseUnprotected, that `where` has no TLS, unless it has or need not have it.
void AddUnprotectedLinks(const LinkTlsOptions& options, const char* where, std::vector<std::string>* unprotected);
// For this end of links: a control accepts edges alone, an edge controls, by the names of certificate_maker.h. Null if
// links are plain. INVALID_ARGUMENT, with what is missing or contradicts itself; or as of TlsFiles::Load.
absl::StatusOr<std::unique_ptr<TlsFiles>> LoadLinkTls(const LinkTlsOptions& options, LinkEnd end, const Clock& clock);

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_LINK_LINK_TLS_H_
