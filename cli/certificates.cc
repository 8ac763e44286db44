// `toolwire certificates create`: a private CA and what it signs, as files, or as a Secret of Kubernetes. Nothing is
// written before all is made and it is known that no file is in the way; the files appear whole, by renames, once all
// are on the disk.
#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/commands.h"
#include "cli/files.h"
#include "cli/kubernetes.h"
#include "common/base/clock.h"
#include "common/base/flags.h"
#include "common/base/shown_text.h"
#include "common/base/watched_file.h"
#include "common/tls/certificate_maker.h"
#include "common/tls/certificate_name.h"

namespace toolwire {
using flags::Footer;
using flags::Number;
using flags::OnChosen;
using flags::RequireSubcommand;
using flags::Subcommand;
using flags::Switch;
using flags::Text;
using flags::Texts;
namespace {

constexpr int64_t kDay = 86400;
constexpr int64_t kClocksDiffer = 3600;  // Certificates are valid a little earlier: not all clocks are right.
constexpr int kCaDaysMore = 3650;        // A CA outlives what it signs: many may trust it, and new ones replace those.

// Beside those of certificate_maker.h.
constexpr char kAllRoleNames[] = "*.toolwire.internal";

struct CertificateFlags {
  std::string dir;
  std::string kubernetes_secret;
  std::string service_account_dir = kServiceAccountDir;
  std::vector<std::string> names;
  int days = 365;
  int starts_in_days = 0;
  bool renew = false;
  bool force = false;
};

struct Purpose {
  const char* file;
  const char* role_name;  // An extra name, or null.
  bool is_server, is_client;
  const char* what_for;
};
constexpr Purpose kPurposes[] = {
    {"agents", nullptr, true, false, "the agents' port of edges: --tls-cert, --tls-key"},
    {"edge", kEdgeRoleName, true, true, "edges, on their links to controls"},
    {"control", kControlRoleName, true, true,
     "controls, on their links to edges and on the callers' port: --grpc-tls-cert, --grpc-tls-key"},
    {"caller", nullptr, false, true, "callers, where --grpc-tls-client-ca asks for it"},
    {"redis", nullptr, true, false, "redis-server: tls-cert-file, tls-key-file"},
    {"postgres", nullptr, true, false, "PostgreSQL: ssl_cert_file, ssl_key_file"},
};

int FailCertificates(const std::string& message) {
  std::cerr << "toolwire certificates: " << flags::ShownMessage(message) << "\n";
  return 1;
}

void AddFiles(const std::string& name, const CertificateAndKey& made, std::vector<FileToWrite>* files) {
  files->push_back({name + ".key", made.key, 0600});
  files->push_back({name + ".crt", made.certificate, 0644});
}

// Of servers: those under which this machine reaches itself, and these.
std::vector<std::string> WithOwnNames(const std::vector<std::string>& more) {
  std::vector<std::string> names = {"localhost", "127.0.0.1", "::1"};
  for (const std::string& name : more) {
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  }
  return names;
}

// Every certificate would have the role, and with its key whoever has one, such as Redis, could take part in links.
absl::Status RefuseRoleNames(const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    const std::string text = absl::AsciiStrToLower(WithoutFinalDot(name));
    if (text != kEdgeRoleName && text != kControlRoleName && text != kAllRoleNames) continue;
    return absl::InvalidArgumentError(
        absl::StrCat(name, " is a role of links, which edge.crt and control.crt have by themselves, and no others"));
  }
  return absl::OkStatus();
}

// Named without a directory. `names`: of servers, beside their own. `known`: the CA that signs; null: a new one, which
// is among the files.
absl::StatusOr<std::vector<FileToWrite>> MakeFiles(const CertificateFlags& flags, const std::vector<std::string>& names,
                                                   const CertificateAndKey* known) {
  if (absl::Status status = RefuseRoleNames(names); !status.ok()) return status;
  const int64_t from = SystemClock().WallMs() / 1000 + flags.starts_in_days * kDay - kClocksDiffer;
  const int64_t until = from + kClocksDiffer + flags.days * kDay;
  const std::vector<std::string> server_names = WithOwnNames(names);
  std::vector<FileToWrite> files;
  CertificateAndKey ca;
  if (known != nullptr) {
    ca = *known;
  } else {
    auto made = MakeCa("Toolwire private CA", from, until + kCaDaysMore * kDay);
    if (!made.ok()) return made.status();
    ca = *std::move(made);
    AddFiles("ca", ca, &files);
  }
  for (const Purpose& purpose : kPurposes) {
    CertificateRequest request;
    request.common_name = absl::StrCat("Toolwire ", purpose.file);
    if (purpose.is_server) request.names = server_names;
    if (purpose.role_name != nullptr) request.names.emplace_back(purpose.role_name);
    request.is_server = purpose.is_server;
    request.is_client = purpose.is_client;
    request.not_before = from;
    request.not_after = until;
    const auto made = MakeCertificate(ca, request);
    if (!made.ok()) return made.status();
    AddFiles(purpose.file, *made, &files);
  }
  return files;
}

absl::StatusOr<CertificateAndKey> ReadCa(const std::string& dir) {
  const auto certificate = WatchedFile(dir + "/ca.crt").Read();
  if (!certificate.ok()) return certificate.status();
  const auto key = WatchedFile(dir + "/ca.key").Read();
  if (!key.ok()) return key.status();
  return CertificateAndKey{*certificate, *key};
}

void Explain(const CertificateFlags& flags) {
  const auto print = [](const std::string& file, const char* what_for) {
    std::cout << ShownText(file) << std::string(file.size() < 14 ? 14 - file.size() : 1, ' ') << what_for << "\n";
  };
  if (!flags.renew) {
    print("ca.crt", "whom every side trusts: --ca of agents and callers, the CA options of servers");
    print("ca.key", "signs further certificates: keep it away from the servers");
  }
  for (const Purpose& purpose : kPurposes) print(absl::StrCat(purpose.file, ".crt"), purpose.what_for);
  std::cout
      << "\nEach .crt has its .key beside it. They are for test clusters. Of your own CA, or a public one for the "
         "agents' port,\nservers take any PEM files: the certificate with its chain, and its key, unencrypted, "
         "ECDSA or RSA. Certificates of\nlinks need the name "
      << kEdgeRoleName << " or " << kControlRoleName << ", and both usages, server and client.\n";
}

// Certificates that are renewed keep their names: those who dial them would not take others.
absl::StatusOr<std::vector<std::string>> NamesInDirectory(const CertificateFlags& flags) {
  if (!flags.renew || !flags.names.empty()) return flags.names;
  const std::string path = flags.dir + "/agents.crt";
  const auto old = WatchedFile(path).Read();
  if (absl::IsNotFound(old.status())) return flags.names;
  if (!old.ok()) return old.status();
  auto had = AlternativeNamesOf(*old);
  if (!had.ok()) return absl::InvalidArgumentError(absl::StrCat(path, ": ", had.status().message()));
  return had;
}

absl::StatusOr<std::vector<FileToWrite>> MakeFilesInDirectory(const CertificateFlags& flags) {
  const auto names = NamesInDirectory(flags);
  if (!names.ok()) return names.status();
  absl::StatusOr<CertificateAndKey> ca = CertificateAndKey{};
  if (flags.renew) ca = ReadCa(flags.dir);
  if (!ca.ok()) return ca.status();
  auto files = MakeFiles(flags, *names, flags.renew ? &*ca : nullptr);
  if (!files.ok()) return files.status();
  for (FileToWrite& file : *files) file.path = absl::StrCat(flags.dir, "/", file.path);
  return files;
}

int CreateInDirectory(const CertificateFlags& flags) {
  // A wrong name is to leave no directory.
  if (const auto files = MakeFilesInDirectory(flags); !files.ok()) {
    return FailCertificates(std::string(files.status().message()));
  }
  if (absl::Status status = MakePrivateDirectory(flags.dir); !status.ok()) {
    return FailCertificates(std::string(status.message()));
  }
  const DirectoryLock lock(flags.dir);
  if (!lock.status().ok()) return FailCertificates(std::string(lock.status().message()));
  const auto files = MakeFilesInDirectory(flags);  // Of the CA that is there now.
  if (!files.ok()) return FailCertificates(std::string(files.status().message()));
  for (const FileToWrite& file : *files) {
    if (!flags.force && !flags.renew && access(file.path.c_str(), F_OK) == 0) {
      return FailCertificates(absl::StrCat(file.path,
                                           " exists; --renew makes new certificates of its CA, --force a "
                                           "new CA that nobody trusts yet"));
    }
  }
  if (absl::Status status = WriteWhole(*files); !status.ok()) return FailCertificates(std::string(status.message()));
  Explain(flags);
  return 0;
}

// Beside the files, a Secret says for which names its certificates were made, and from when on (Unix time) a run that
// finds it makes new ones: half of the time that they are valid.
constexpr char kNamesKey[] = "names";
constexpr char kRenewAfterKey[] = "renew-after";

KubernetesApi::Data AsSecretData(const CertificateFlags& flags, const std::vector<FileToWrite>& files) {
  KubernetesApi::Data data;
  for (const FileToWrite& file : files) data[file.path] = file.content;
  data[kNamesKey] = absl::StrJoin(flags.names, ",");
  data[kRenewAfterKey] =
      absl::StrCat(SystemClock().WallMs() / 1000 + flags.starts_in_days * kDay + flags.days * kDay / 2);
  return data;
}

bool IsAsWanted(const CertificateFlags& flags, const KubernetesApi::Data& secret) {
  const auto names = secret.find(kNamesKey);
  const auto renew_after = secret.find(kRenewAfterKey);
  int64_t at = 0;
  return names != secret.end() && names->second == absl::StrJoin(flags.names, ",") && renew_after != secret.end() &&
         absl::SimpleAtoi(renew_after->second, &at) && SystemClock().WallMs() / 1000 < at;
}

// What became of the Secret, as words.
absl::StatusOr<std::string> KeepInSecret(const CertificateFlags& flags, const KubernetesApi& api,
                                         std::string* ca_file) {
  const std::string& name = flags.kubernetes_secret;
  const auto found = api.Read(KubernetesApi::Kind::kSecret, name);
  if (!found.ok() && !absl::IsNotFound(found.status())) return found.status();
  CertificateAndKey ca;
  if (found.ok() && !flags.force) {
    const auto certificate = found->find("ca.crt"), key = found->find("ca.key");
    if (certificate == found->end() || key == found->end()) {
      return absl::FailedPreconditionError(
          absl::StrCat("Secret ", name, " has no ca.crt or no ca.key: it is none of this command's. Name another"));
    }
    ca = {certificate->second, key->second};
    *ca_file = ca.certificate;
    if (!flags.renew && IsAsWanted(flags, *found)) return "kept";
  }
  const auto files = MakeFiles(flags, flags.names, ca.key.empty() ? nullptr : &ca);
  if (!files.ok()) return files.status();
  const KubernetesApi::Data data = AsSecretData(flags, *files);
  if (ca.key.empty()) *ca_file = data.at("ca.crt");
  const absl::Status status = found.ok() ? api.Update(KubernetesApi::Kind::kSecret, name, data)
                                         : api.Create(KubernetesApi::Kind::kSecret, name, data);
  if (!status.ok()) return status;
  return !found.ok() ? "made" : flags.force ? "made anew, with a new CA" : "renewed, of the CA that was there";
}

// Whom agents, callers and Gateways may trust: nothing secret.
absl::Status PublishCa(const CertificateFlags& flags, const KubernetesApi& api, const std::string& ca) {
  const auto found = api.Read(KubernetesApi::Kind::kConfigMap, flags.kubernetes_secret);
  if (!found.ok() && !absl::IsNotFound(found.status())) return found.status();
  const KubernetesApi::Data data = {{"ca.crt", ca}};
  if (!found.ok()) return api.Create(KubernetesApi::Kind::kConfigMap, flags.kubernetes_secret, data);
  if (*found == data) return absl::OkStatus();
  return api.Update(KubernetesApi::Kind::kConfigMap, flags.kubernetes_secret, data);
}

int CreateInKubernetes(const CertificateFlags& flags) {
  const auto api = KubernetesApi::OfThisPod(flags.service_account_dir);
  if (!api.ok()) return FailCertificates(std::string(api.status().message()));
  std::string ca;
  const auto done = KeepInSecret(flags, *api, &ca);
  if (!done.ok()) return FailCertificates(std::string(done.status().message()));
  if (absl::Status status = PublishCa(flags, *api, ca); !status.ok()) {
    return FailCertificates(std::string(status.message()));
  }
  std::cout << "Secret " << ShownText(flags.kubernetes_secret) << ": " << *done << "\n";
  return 0;
}

int CreateCertificates(const CertificateFlags& flags) {
  if (flags.renew && flags.force) return FailCertificates("--renew keeps the CA that --force would replace");
  if (flags.dir.empty() == flags.kubernetes_secret.empty()) {
    std::cerr << "toolwire certificates: give --dir, or in a pod --kubernetes-secret: where the files go\n";
    return 2;
  }
  return flags.dir.empty() ? CreateInKubernetes(flags) : CreateInDirectory(flags);
}

}  // namespace

void AddCertificatesCommand(CLI::App* app, Command* chosen) {
  CLI::App* certificates = Subcommand(app, "certificates", "A private CA and certificates for a test cluster");
  RequireSubcommand(certificates);
  auto flags = std::make_shared<CertificateFlags>();
  CLI::App* create = Subcommand(certificates, "create", "Make a CA and certificates for every server, as files");
  Text(create, "--dir", &flags->dir, "Where the files go; is made if need be");
  Text(create, "--kubernetes-secret", &flags->kubernetes_secret,
       "In a pod: keep them in this Secret of its namespace, and ca.crt in a ConfigMap of that name. What is there "
       "stays; it is renewed by its CA if other names are given or half of its time is over");
  Text(create, "--service-account-dir", &flags->service_account_dir,
       "Where the pod's account is mounted, which may get and patch those two, and create such");
  Texts(create, "--name", &flags->names,
        "A DNS name or IP address under which the servers are reached, beside localhost; may be repeated");
  Number(create, "--days", &flags->days, 1, 36500, "How long the certificates are valid; the CA ten years longer");
  Number(create, "--starts-in-days", &flags->starts_in_days, -36500, 36500, "From when on; less than 0: in the past");
  Switch(create, "--renew", &flags->renew,
         "New certificates of the CA that is there, in place of the old ones; in --dir with the names of agents.crt "
         "unless --name gives others");
  Switch(create, "--force", &flags->force, "Replace the CA and the certificates that are there");
  Footer(create,
         "Keys are not encrypted, and only for this user to read.\n"
         "Example: toolwire certificates create --dir tls --name edge.example.com\n"
         "Exit status: 0 written, 1 not written, 2 wrong flags.");
  OnChosen(create, [flags, chosen] { *chosen = [flags] { return CreateCertificates(*flags); }; });
}

}  // namespace toolwire
