// gRPC gets what was read and checked here, once. Its own check of names would take a certificate's common name if it
// has no alternative names, so names are checked by ours, in its place.

#include "cli/control_tls.h"

#include <grpcpp/grpcpp.h>
#include <grpcpp/security/tls_credentials_options.h>

#include <functional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/clock.h"
#include "common/base/tidy.h"
#include "common/base/watched_file.h"
#include "common/tls/certificate_name.h"
#include "common/tls/tls_context.h"

namespace toolwire {
namespace {

class CheckNames final : public grpc::experimental::ExternalCertificateVerifier {
 public:
  explicit CheckNames(std::string name) : name_(std::move(name)) {}

  // True: the answer is in `status`.
  bool Verify(grpc::experimental::TlsCustomVerificationCheckRequest* request, std::function<void(grpc::Status)>,
              grpc::Status* status) override {
    const grpc::string_ref certificate = request->peer_cert();
    if (!HasAlternativeName({certificate.data(), certificate.size()}, name_)) {
      *status = grpc::Status(grpc::StatusCode::UNAUTHENTICATED,
                             absl::StrCat("the server's certificate does not name ", name_));
    }
    return true;
  }
  void Cancel(grpc::experimental::TlsCustomVerificationCheckRequest*) override {}

 private:
  const std::string name_;
};

}  // namespace

absl::StatusOr<ControlTlsFiles> ReadControlTls(const ControlTls& tls) {
  if (tls.certificate_file.empty() != tls.key_file.empty()) {
    return absl::InvalidArgumentError("--cert and --key go together");
  }
  ControlTlsFiles files;
  for (const auto& [path, content] : {std::pair(&tls.certificate_file, &files.certificate),
                                      std::pair(&tls.key_file, &files.key), std::pair(&tls.ca_file, &files.ca)}) {
    if (path->empty()) continue;
    auto read = WatchedFile(*path).Read();
    if (!read.ok()) return read.status();
    *content = std::string(WithoutByteOrderMark(*read));
  }
  TlsOptions options;
  options.port = "control";
  options.side = TlsOptions::Side::kClient;
  options.certificate_file = tls.certificate_file;
  options.key_file = tls.key_file;
  options.ca_file = tls.ca_file;
  options.protocol = "h2";
  auto context =
      MakeTlsContext(options, {files.certificate, files.key, files.ca, ""}, {}, SystemClock().WallMs() / 1000);
  if (!context.ok()) return context.status();
  files.context = *std::move(context);
  return files;
}

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> MakeControlCredentials(const ControlTarget& target) {
  if (!target.tls.on()) return grpc::InsecureChannelCredentials();
  auto files = ReadControlTls(target.tls);
  // Whatever is wrong with a file: nothing has left, and it is the user's to correct.
  if (!files.ok()) return absl::InvalidArgumentError(files.status().message());
  auto name = ServerNameOf(target);
  if (!name.ok()) return name.status();
  namespace tls = grpc::experimental;
  tls::TlsChannelCredentialsOptions options;
  std::vector<tls::IdentityKeyCertPair> pairs;
  if (!files->key.empty()) pairs.push_back({std::move(files->key), std::move(files->certificate)});
  if (!pairs.empty() || !files->ca.empty()) {
    options.set_certificate_provider(std::make_shared<tls::StaticDataCertificateProvider>(files->ca, pairs));
  }
  // Without it gRPC takes the system's CAs.
  if (!files->ca.empty()) options.watch_root_certs();
  if (!pairs.empty()) options.watch_identity_key_cert_pairs();
  options.set_certificate_verifier(tls::ExternalCertificateVerifier::Create<CheckNames>(*std::move(name)));
  options.set_check_call_host(false);
  return tls::TlsCredentials(options);
}

}  // namespace toolwire
