// Each server's command line is read once more, without words and with all its flags, so that whatever a server says of
// its variables the doctor says, too: there is no second list of them here.
#include "cli/doctor/doctor_environment.h"

#include <sys/resource.h>

#include <algorithm>
#include <functional>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/flags.h"
#include "common/base/process_options.h"
#include "common/link/link_tls.h"
#include "common/registry/redis_url.h"
#include "common/registry/registry_options.h"
#include "common/store/pg_url.h"
#include "common/store/store_options.h"
#include "common/wire/payload_options.h"
#include "control/control_options.h"
#include "edge/edge_options.h"

namespace toolwire {
namespace {

constexpr char kEnvironmentCheck[] = "environment";

// What all servers read.
struct SharedFlags {
  LogOptions log;
  ListenOptions listen;
  StoreOptions store;
  RedisRegistry::Options registry;

  void AddFlags(CLI::App* app, const char* metrics_port_variable) {
    AddLogFlags(app, &log);
    AddListenFlags(app, &listen, metrics_port_variable);
    AddStoreFlags(app, &store);
    AddDatabaseFlags(app, &store);
    AddRegistryFlags(app, &registry);
  }
  absl::Status Check() const {
    if (absl::Status status = Validate(listen); !status.ok()) return status;
    if (absl::Status status = Validate(store); !status.ok()) return status;
    if (const std::string& url = registry.url; !url.empty()) {
      const absl::Status status = ParseRedisUrl(absl::string_view(url.data(), url.size())).status();
      const absl::string_view why = absl::StripPrefix(status.message(), "Redis URL: ");
      if (!status.ok()) return absl::InvalidArgumentError(absl::StrCat("REDIS_URL: ", why));
    }
    return store.database.url.empty() ? absl::OkStatus() : ReadPgUrl(store.database.url).status();
  }
};

// `add` adds the flags that only this server has, `check` is what it validates. Returns its port for Prometheus.
int CheckServer(const std::string& name, int metrics_port, const char* metrics_port_variable,
                const std::function<void(CLI::App*)>& add, const std::function<absl::Status()>& check,
                Findings* findings) {
  flags::CommandLine line("");
  SharedFlags common;
  common.listen.metrics_port = metrics_port;
  common.AddFlags(line.app(), metrics_port_variable);
  add(line.app());
  const char* const argv[] = {name.c_str()};
  const auto ending = line.Parse(1, argv);
  for (const std::string& remark : flags::TakeRemarks()) {
    findings->push_back(Warn(kEnvironmentCheck, remark, "correct or unset the variable where the servers are started"));
  }
  std::string trouble;
  if (ending) {
    trouble = ending->err.substr(0, ending->err.find('\n'));
  } else {
    absl::Status status = common.Check();
    if (status.ok()) status = check();
    trouble = std::string(status.message());
  }
  if (trouble.empty()) return common.listen.metrics_port;
  trouble = flags::NamingVariables(trouble);
  const bool known = std::any_of(findings->begin(), findings->end(), [&](const Finding& one) {
    return absl::EndsWith(one.message, trouble);
  });
  if (known) return common.listen.metrics_port;  // The edge has said so.
  findings->push_back(Fail(kEnvironmentCheck, absl::StrCat(name, " would not start: ", trouble),
                           "correct or unset the variable where the servers are started"));
  return common.listen.metrics_port;
}

}  // namespace

Findings CheckEnvironment(const std::vector<std::string>& remarks) {
  Findings findings;
  for (const std::string& remark : remarks) {
    findings.push_back(Warn(kEnvironmentCheck, remark, "correct or unset the variable, or the flag"));
  }
  EdgeOptions edge;
  const auto add_edge = [&](CLI::App* app) {
    AddEdgeFlags(app, &edge);
    AddClusterEdgeFlags(app, &edge);
    AddDrainFlag(app, &edge.drain_timeout);
    AddPayloadFlags(app, &edge.session.payload);
  };
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  const int edge_metrics = CheckServer("toolwire-edge", ListenOptions().metrics_port, kMetricsPortVariable, add_edge,
                                       [&] { return Validate(&edge, limit.rlim_max); }, &findings);
  ControlOptions control;
  const auto add_control = [&](CLI::App* app) {
    AddControlFlags(app, &control);
    flags::Text(app, "--edge", &control.edge_address, "").Env("EDGE_ADDRESS");
    AddLinkTlsFlags(app, &control.link_tls);
    AddPlainLinksFlag(app, &control.link_tls);
    AddDrainFlag(app, &control.drain_timeout);
    AddPayloadFlags(app, &control.payload);
  };
  const int control_metrics = CheckServer("toolwire-control", kControlMetricsPort, kControlMetricsPortVariable,
                                          add_control, [&] { return Validate(&control, limit.rlim_max); }, &findings);
  if (edge_metrics == control_metrics && edge_metrics != 0) {
    findings.push_back(Warn(
        kEnvironmentCheck,
        absl::StrCat("an edge and a control with this environment both take port ", edge_metrics, " for Prometheus"),
        absl::StrCat("on one host, set ", kMetricsPortVariable, " (edge) and ", kControlMetricsPortVariable,
                     " (control) to different ports")));
  }
  if (findings.empty()) findings.push_back(Ok(kEnvironmentCheck, "no variable that servers would refuse or pass over"));
  return findings;
}

}  // namespace toolwire
