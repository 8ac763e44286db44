#include "common/link/link_tls.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/flags.h"
#include "common/tls/certificate_maker.h"

namespace toolwire {

using flags::Switch;
using flags::Text;

namespace {

bool HasSome(const LinkTlsOptions& options) {
  return !options.certificate_file.empty() || !options.key_file.empty() || !options.ca_file.empty();
}

}  // namespace

void AddLinkTlsFlags(CLI::App* app, LinkTlsOptions* options) {
  Text(app, "--link-tls-cert", &options->certificate_file,
       "PEM file of this process's certificate for links between controls and edges, which are encrypted then")
      .Env("LINK_TLS_CERT")
      .File();
  Text(app, "--link-tls-key", &options->key_file, "PEM file of its key, not encrypted").Env("LINK_TLS_KEY").File();
  Text(app, "--link-tls-ca", &options->ca_file, "PEM file of the CA of the other side's certificate")
      .Env("LINK_TLS_CA")
      .File();
}

void AddPlainLinksFlag(CLI::App* app, LinkTlsOptions* options) {
  Switch(app, "--plain-links", &options->plain,
         "Links to other machines without TLS: a mesh encrypts them and lets nobody else in")
      .Env("PLAIN_LINKS");
}

void AddUnprotectedLinks(const LinkTlsOptions& options, const char* where, std::vector<std::string>* unprotected) {
  if (options.plain || HasSome(options)) return;
  unprotected->push_back(absl::StrCat(where,
                                      ": no TLS. Give --link-tls-cert, --link-tls-key and --link-tls-ca, or "
                                      "--plain-links if a mesh encrypts links and lets nobody else in"));
}

absl::StatusOr<std::unique_ptr<TlsFiles>> LoadLinkTls(const LinkTlsOptions& options, LinkEnd end, const Clock& clock) {
  const bool all = !options.certificate_file.empty() && !options.key_file.empty() && !options.ca_file.empty();
  if (!HasSome(options)) return nullptr;
  if (options.plain)
    return absl::InvalidArgumentError("--plain-links and --link-tls-cert: links are plain, or have TLS");
  if (!all) {
    return absl::InvalidArgumentError(
        "--link-tls-cert, --link-tls-key and --link-tls-ca go together: links are encrypted both ways or not at all");
  }
  TlsOptions tls;
  tls.port = "links";
  tls.side = end == LinkEnd::kEdge ? TlsOptions::Side::kServer : TlsOptions::Side::kClient;
  tls.certificate_file = options.certificate_file;
  tls.key_file = options.key_file;
  tls.ca_file = options.ca_file;
  tls.peer_name = end == LinkEnd::kEdge ? kControlRoleName : kEdgeRoleName;
  return TlsFiles::Load(std::move(tls), clock);
}

}  // namespace toolwire
