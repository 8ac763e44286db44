// A private CA that lasts, and a certificate that each start makes anew: so whatever the host is called by now, and
// however old the last one is, the certificate is right, and who trusts the CA goes on to. A token is on disk twice,
// for whoever calls, and hashed for control.
#include "cli/dev_tls.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cli/files.h"
#include "common/base/host_port.h"
#include "common/base/watched_file.h"
#include "common/tls/certificate_maker.h"
#include "control/tokens.h"

namespace toolwire {
namespace {

constexpr int64_t kDevDay = 86400;
constexpr int64_t kDevYear = 365 * kDevDay;

// Empty if there is no such file.
absl::StatusOr<std::string> ReadIfThere(const std::string& path) {
  auto content = WatchedFile(path).Read();
  if (absl::IsNotFound(content.status())) return std::string();
  return content;
}

absl::Status WritePair(const std::string& path, const CertificateAndKey& pair) {
  return WriteWhole({{path + ".key", pair.key, 0600}, {path + ".crt", pair.certificate, 0644}});
}

// The CA that is there, unless there is none or it expires before a certificate of today would.
absl::StatusOr<CertificateAndKey> FindOrMakeCa(const std::string& path, int64_t now) {
  const auto certificate = ReadIfThere(path + ".crt");
  if (!certificate.ok()) return certificate.status();
  const auto key = ReadIfThere(path + ".key");
  if (!key.ok()) return key.status();
  if (!certificate->empty() && !key->empty()) {
    const auto expiry = ExpiryOf(*certificate);
    if (!expiry.ok()) return absl::InvalidArgumentError(absl::StrCat(path, ".crt: ", expiry.status().message()));
    if (*expiry >= now + kDevYear) return CertificateAndKey{*certificate, *key};
  }
  auto made = MakeCa("Toolwire dev CA", now - kDevDay, now + 10 * kDevYear);
  if (!made.ok()) return made.status();
  if (absl::Status status = WritePair(path, *made); !status.ok()) return status;
  return made;
}

bool IsAnyAddress(const std::string& host) { return host == "0.0.0.0" || host == "::"; }

// `listen_host` as a certificate may name it, where only that address is dialled.
std::string AddressOf(const std::string& listen_host) { return listen_host.substr(0, listen_host.find('%')); }

std::vector<std::string> NamesOfThisHost(const std::string& listen_host) {
  std::vector<std::string> names = {"localhost", "127.0.0.1", "::1"};
  char name[256] = "";
  gethostname(name, sizeof name - 1);
  const std::string host = name;
  const auto may_be_named = [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '.';
  };
  if (!host.empty() && host != names[0] && std::all_of(host.begin(), host.end(), may_be_named)) names.push_back(host);
  if (!IsAnyAddress(listen_host) && listen_host != names[0]) names.push_back(AddressOf(listen_host));
  return names;
}

absl::Status MakeDevToken(const std::string& tokens_file, const std::string& token_file) {
  const auto lines = ReadIfThere(tokens_file);
  if (!lines.ok()) return lines.status();
  const auto token = ReadIfThere(token_file);
  if (!token.ok()) return token.status();
  const std::string written(absl::StripAsciiWhitespace(*token));
  if (!lines->empty() && IsTokenForm(written)) return absl::OkStatus();
  const std::string text = MakeToken();
  Token made;
  made.name = "dev";
  made.digest = Sha256(text);
  made.scopes = static_cast<unsigned>(Scope::kAdmin);
  // First the token, which is of no use without its line.
  const char* const end = lines->empty() || absl::EndsWith(*lines, "\n") ? "" : "\n";
  return WriteWhole(
      {{token_file, text + "\n", 0600}, {tokens_file, absl::StrCat(*lines, end, TokenLine(made), "\n"), 0600}});
}

}  // namespace

absl::StatusOr<DevTls> PrepareDevTls(const std::string& data_dir, const std::string& listen_host, bool wants_token,
                                     int64_t now) {
  // Commands of other directories are to find the files, too.
  const std::string dir = std::filesystem::absolute(data_dir).lexically_normal().string() + "/tls";
  for (const std::string& one : {data_dir, dir}) {
    if (absl::Status status = MakePrivateDirectory(one); !status.ok()) return status;
  }
  const DirectoryLock lock(dir);
  if (!lock.status().ok()) return lock.status();
  const auto ca = FindOrMakeCa(dir + "/ca", now);
  if (!ca.ok()) return ca.status();
  CertificateRequest request;
  request.common_name = "Toolwire dev";
  request.names = NamesOfThisHost(listen_host);
  request.not_before = now - kDevDay;
  request.not_after = now + kDevYear;
  const auto server = MakeCertificate(*ca, request);
  if (!server.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("the CA of ", dir, ": ", server.status().message()));
  }
  if (absl::Status status = WritePair(dir + "/server", *server); !status.ok()) return status;
  DevTls made;
  made.ca_file = dir + "/ca.crt";
  made.certificate_file = dir + "/server.crt";
  made.key_file = dir + "/server.key";
  const bool is_local = IsAnyAddress(listen_host) || listen_host == "127.0.0.1" || listen_host == "localhost";
  made.host = is_local ? "localhost" : AddressOf(listen_host);
  if (!wants_token) return made;
  made.tokens_file = dir + "/tokens";
  made.token_file = dir + "/token";
  if (absl::Status status = MakeDevToken(made.tokens_file, made.token_file); !status.ok()) return status;
  return made;
}

std::string ExplainDevTls(const DevTls& tls, int agents, int callers) {
  const std::string at = JoinHostPort(tls.host, callers);
  const std::string with_token = tls.token_file.empty() ? "" : " --token-file " + tls.token_file;
  // Not as an argument, which every user of the machine sees.
  const std::string by_environment = tls.token_file.empty() ? "" : absl::StrCat("TOKEN=$(cat ", tls.token_file, ") ");
  const std::string with_header = tls.token_file.empty() ? "" : " -expand-headers -H 'authorization: Bearer ${TOKEN}'";
  return absl::StrCat("TLS on both ports, with certificates of the private CA ", tls.ca_file, ":\n",
                      "  toolwire agent --user demo --url wss://", JoinHostPort(tls.host, agents), " --ca ",
                      tls.ca_file, "\n  toolwire call --address ", at, " --ca ", tls.ca_file, with_token,
                      " demo echo\n", "  ", by_environment, "grpcurl -cacert ", tls.ca_file, with_header, " ", at,
                      " list\n");
}

}  // namespace toolwire
