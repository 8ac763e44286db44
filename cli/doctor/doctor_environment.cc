// Each server's command line is read once more, without words and with all its flags, so that whatever a server says of
// its variables the doctor says, too: there is no second list of them here.
#include "cli/doctor/doctor_environment.h"

#include <sys/resource.h>

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/clock.h"
#include "common/base/flags.h"
#include "common/base/host_port.h"
#include "common/base/process_options.h"
#include "common/link/link_tls.h"
#include "common/registry/registry_options.h"
#include "common/store/store_options.h"
#include "common/tls/tls_files.h"
#include "common/wire/payload_options.h"
#include "control/caller_auth.h"
#include "control/control_options.h"
#include "control/tokens_file.h"
#include "edge/edge_options.h"

namespace toolwire {
namespace {

constexpr char kEnvironmentCheck[] = "environment";

constexpr char kVariableAdvice[] = "correct or unset the variable where the servers are started";

using Problems = std::vector<std::string>;

void AddProblem(const absl::Status& status, Problems* problems) {
  if (!status.ok()) problems->emplace_back(status.message());
}

// One server as the environment would start it.
class Server {
 public:
  Server(std::string name, int metrics_port, const char* metrics_port_variable) : name_(std::move(name)) {
    listen_.metrics_port = metrics_port;
    CLI::App* const app = line_.app();
    AddLogFlags(app, &log_);
    AddListenFlags(app, &listen_, metrics_port_variable);
    AddStoreFlags(app, &store_);
    AddDatabaseFlags(app, &store_);
    AddRegistryFlags(app, &registry_);
  }
  virtual ~Server() = default;

  void Look(Findings* findings) {
    const char* const argv[] = {name_.c_str()};
    const auto ending = line_.ParseAll(1, argv);
    for (const std::string& remark : flags::TakeRemarks()) {
      findings->push_back(Warn(kEnvironmentCheck, remark, kVariableAdvice));
    }
    Problems problems = flags::TakeProblems();
    if (ending) problems.push_back(ending->err.substr(0, ending->err.find('\n')));
    const Problems files = flags::FileProblems();
    if (!ending) CheckValues(files.empty(), &problems);
    problems.insert(problems.end(), files.begin(), files.end());
    for (const std::string& problem : problems) {
      Report(flags::WithVariables(line_.app(), flags::ShownMessage(problem)), findings);
    }
    if (ending || IsLoopback(listen_.host)) return;
    AddUnprotectedPorts(listen_, &unprotected_);
    for (std::string& one : unprotected_) one = flags::WithVariables(line_.app(), std::move(one));
  }

  // What other machines would reach without a lock.
  void ReportUnprotected(bool is_certain, Findings* findings) const {
    for (const std::string& one : unprotected_) {
      const size_t end = one.find(". ");
      const std::string message = absl::StrCat("LISTEN=", listen_.host, ": ", name_, " would not start with this ",
                                               "environment alone: ", one.substr(0, end));
      std::string advice = end == std::string::npos ? kVariableAdvice : one.substr(end + 2);
      advice[0] = absl::ascii_tolower(static_cast<unsigned char>(advice[0]));
      if (is_certain) {
        findings->push_back(Fail(kEnvironmentCheck, message, advice));
      } else {
        findings->push_back(Warn(kEnvironmentCheck, message, "if such a server is meant: " + advice));
      }
    }
  }
  bool is_unprotected() const { return !unprotected_.empty(); }
  int metrics_port() const { return listen_.metrics_port; }

 protected:
  using Ports = std::vector<std::pair<const char*, int>>;
  CLI::App* app() { return line_.app(); }
  const RedisRegistry::Options& registry() const { return registry_; }
  // What only this server checks, and, if files can be read, what is in them.
  virtual void CheckOwn(Problems* problems) = 0;
  virtual void CheckContents(Problems* problems) = 0;
  virtual Ports OwnPorts() const = 0;
  virtual void AddUnprotectedPorts(const ListenOptions& listen, Problems* unprotected) const = 0;

 private:
  void CheckValues(bool files_are_there, Problems* problems) {
    AddProblem(Validate(listen_), problems);
    AddProblem(Validate(store_), problems);
    CheckOwn(problems);
    Ports ports = OwnPorts();
    ports.emplace_back("--metrics-port", listen_.metrics_port);
    for (size_t i = 0; i < ports.size(); ++i) {
      for (size_t j = 0; j < i; ++j) {
        if (ports[i].second <= 0 || ports[i].second != ports[j].second) continue;
        problems->push_back(absl::StrCat(ports[j].first, " and ", ports[i].first, " are both ", ports[i].second));
      }
    }
    if (files_are_there) CheckContents(problems);
  }

  void Report(const std::string& problem, Findings* findings) const {
    const bool is_known = std::any_of(findings->begin(), findings->end(), [&](const Finding& one) {
      return absl::EndsWith(one.message, problem);
    });
    if (is_known) return;  // The edge would say so, too.
    findings->push_back(Fail(kEnvironmentCheck, absl::StrCat(name_, " would not start: ", problem), kVariableAdvice));
  }

  const std::string name_;
  flags::CommandLine line_{""};
  LogOptions log_;
  ListenOptions listen_;
  StoreOptions store_;
  RedisRegistry::Options registry_;
  Problems unprotected_;
};

rlim_t OpenFilesMax() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  return limit.rlim_max;
}

class EdgeServer final : public Server {
 public:
  EdgeServer() : Server("toolwire-edge", ListenOptions().metrics_port, kMetricsPortVariable) {
    AddEdgeFlags(app(), &edge_);
    AddClusterEdgeFlags(app(), &edge_);
    AddDrainFlag(app(), &edge_.drain_timeout);
    AddPayloadFlags(app(), &edge_.session.payload);
  }

 private:
  void CheckOwn(Problems* problems) override { AddProblem(Validate(&edge_, OpenFilesMax()), problems); }
  void CheckContents(Problems* problems) override {
    const SystemClock clock;
    if (!edge_.tls.certificate_file.empty()) AddProblem(TlsFiles::Load(edge_.tls, clock).status(), problems);
    AddProblem(LoadLinkTls(edge_.link_tls, LinkEnd::kEdge, clock).status(), problems);
  }
  Ports OwnPorts() const override {
    return {{"--port", edge_.port}, {"--plain-port", edge_.plain_port}, {"--relay-port", edge_.relay_port}};
  }
  void AddUnprotectedPorts(const ListenOptions& listen, Problems* unprotected) const override {
    AddUnprotected(edge_, listen, unprotected);
    AddUnprotectedLinks(edge_, listen, unprotected);
  }

  EdgeOptions edge_;
};

class ControlServer final : public Server {
 public:
  ControlServer() : Server("toolwire-control", DefaultControlMetricsPort(), kControlMetricsPortVariable) {
    AddControlFlags(app(), &control_);
    AddEdgeAddressFlag(app(), &control_);
    AddLinkTlsFlags(app(), &control_.link_tls);
    AddPlainLinksFlag(app(), &control_.link_tls);
    AddDrainFlag(app(), &control_.drain_timeout);
    AddPayloadFlags(app(), &control_.payload);
  }

 private:
  void CheckOwn(Problems* problems) override {
    AddProblem(Validate(&control_, OpenFilesMax()), problems);
    if (!control_.edge_address.empty() && !registry().url.empty()) {
      problems->emplace_back("--edge and --redis-url: one edge without Redis, or all that Redis knows");
    }
  }
  void CheckContents(Problems* problems) override {
    const SystemClock clock;
    if (!control_.grpc_tls.certificate_file.empty()) {
      AddProblem(TlsFiles::Load(control_.grpc_tls, clock).status(), problems);
    }
    AddProblem(LoadLinkTls(control_.link_tls, LinkEnd::kControl, clock).status(), problems);
    CallerAuth auth(clock, control_.jwt);
    if (!control_.tokens_file.empty()) {
      AddProblem(TokensFile(control_.tokens_file, TokensFile::TokensOf(auth)).Load(), problems);
    }
    if (!control_.jwks_file.empty()) {
      AddProblem(TokensFile(control_.jwks_file, TokensFile::KeysOf(auth.jwt())).Load(), problems);
    }
  }
  Ports OwnPorts() const override { return {{"--grpc-port", control_.grpc_port}}; }
  void AddUnprotectedPorts(const ListenOptions& listen, Problems* unprotected) const override {
    AddUnprotected(control_, listen, unprotected);
    AddUnprotectedLinks(control_, listen, unprotected);
  }

  ControlOptions control_;
};

}  // namespace

Findings CheckEnvironment(const std::vector<std::string>& remarks, const std::vector<std::string>& problems) {
  Findings findings;
  for (const std::string& remark : remarks) {
    findings.push_back(Warn(kEnvironmentCheck, remark, "correct or unset the variable, or the flag"));
  }
  for (const std::string& problem : problems) {
    findings.push_back(Fail(kEnvironmentCheck, problem, "correct or unset the variable, or the flag"));
  }
  EdgeServer edge;
  edge.Look(&findings);
  ControlServer control;
  control.Look(&findings);
  // The environment of an edge alone need not do for a control, nor the other way round.
  const bool none_starts = edge.is_unprotected() && control.is_unprotected();
  edge.ReportUnprotected(none_starts, &findings);
  control.ReportUnprotected(none_starts, &findings);
  if (edge.metrics_port() == control.metrics_port() && edge.metrics_port() != 0) {
    findings.push_back(Warn(kEnvironmentCheck,
                            absl::StrCat("an edge and a control with this environment both take port ",
                                         edge.metrics_port(), " for Prometheus"),
                            absl::StrCat("on one host, set ", kMetricsPortVariable, " (edge) and ",
                                         kControlMetricsPortVariable, " (control) to different ports")));
  }
  if (findings.empty()) findings.push_back(Ok(kEnvironmentCheck, "no variable that servers would refuse or pass over"));
  return findings;
}

}  // namespace toolwire
