// `toolwire dev`: an edge and a control in one process, linked without a socket; the same classes as in production
// over the in-memory registry and the SQLite store.
#include <algorithm>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cli/commands.h"
#include "cli/dev_tls.h"
#include "common/audit/audit_samples.h"
#include "common/base/flags.h"
#include "common/base/log.h"
#include "common/base/process_options.h"
#include "common/link/local_link.h"
#include "common/process/lifecycle.h"
#include "common/process/metrics_endpoint.h"
#include "common/process/readiness.h"
#include "common/process/stopping.h"
#include "common/registry/memory_registry.h"
#include "common/store/open_store.h"
#include "common/store/store_options.h"
#include "common/wire/payload_options.h"
#include "control/control.h"
#include "control/control_options.h"
#include "edge/edge.h"
#include "edge/edge_options.h"

namespace toolwire {
using flags::Footer;
using flags::OnChosen;
using flags::Subcommand;
using flags::Switch;
namespace {

struct DevOptions {
  LogOptions log;
  ListenOptions listen;
  EdgeOptions edge;
  ControlOptions control;
  StoreOptions store;
  bool tls = false;
};

int FailedStart(const absl::Status& status) {
  std::cerr << "toolwire dev: " << flags::ShownMessage(std::string(status.message())) << "\n";
  return 1;
}

// Agents' sockets must not take the files that callers need, nor those of the process itself.
absl::Status ShareOpenFiles(DevOptions* options) {
  const uint64_t files = RaiseOpenFilesLimit();
  if (absl::Status status = Validate(&options->control, files / 2); !status.ok()) return status;
  const uint64_t left = files - FilesForCallers(options->control);
  int& spare = options->edge.admission.spare_sockets_max;
  spare = static_cast<int>(std::min<uint64_t>(left / 8, static_cast<uint64_t>(spare)));
  return Validate(&options->edge, left);
}

// Makes what the ports need for --tls, and points the options at it.
absl::StatusOr<DevTls> UseDevTls(const Clock& clock, DevOptions* options) {
  if (absl::Status status = Validate(options->store); !status.ok()) return status;
  EdgeOptions& edge = options->edge;
  ControlOptions& control = options->control;
  if (!edge.tls.certificate_file.empty() || !edge.tls.key_file.empty() || !control.grpc_tls.certificate_file.empty() ||
      !control.grpc_tls.key_file.empty() || edge.plain_agents || control.plain_grpc) {
    return absl::InvalidArgumentError(
        "--tls makes certificates for both ports: leave out --tls-cert, --tls-key, --grpc-tls-cert, --grpc-tls-key, "
        "--plain-agents and --plain-grpc");
  }
  const bool wants_token = control.tokens_file.empty() && !control.no_tokens;
  auto tls = PrepareDevTls(options->store.data_dir, options->listen.host, wants_token, clock.WallMs() / 1000);
  if (!tls.ok()) return absl::Status(tls.status().code(), absl::StrCat("--tls: ", tls.status().message()));
  edge.tls.certificate_file = control.grpc_tls.certificate_file = tls->certificate_file;
  edge.tls.key_file = control.grpc_tls.key_file = tls->key_file;
  if (wants_token) control.tokens_file = tls->tokens_file;
  return tls;
}

// What no single flag can check; fills in what follows from others. `*tls` stays empty without --tls.
absl::Status Complete(const Clock& clock, DevOptions* options, std::optional<DevTls>* tls) {
  options->control.payload = options->edge.payload();
  if (absl::Status status = Validate(options->listen); !status.ok()) return status;
  if (options->tls) {
    auto made = UseDevTls(clock, options);
    if (!made.ok()) return made.status();
    *tls = *std::move(made);
  }
  if (absl::Status status = ShareOpenFiles(options); !status.ok()) return status;
  std::vector<std::string> unprotected;
  AddUnprotected(options->edge, options->listen, &unprotected);
  AddUnprotected(options->control, options->listen, &unprotected);
  return RefuseUnprotected(unprotected);
}

void LogNumbers(const Edge& edge, const Dispatcher& dispatcher) {
  log::Info("metrics", {{"connections", edge.connections()},
                        {"callsInFlight", dispatcher.in_flight()},
                        {"calls", dispatcher.counters().calls.value()},
                        {"answered", dispatcher.counters().answered.value()},
                        {"rss", ResidentBytes()}});
}

int RunDev(DevOptions options) {
  StopSignal stop;
  InitLog(options.log);
  SystemClock clock;
  std::optional<DevTls> tls;
  if (const absl::Status status = Complete(clock, &options, &tls); !status.ok()) return FailedStart(status);
  auto store = OpenStore(options.store);
  if (!store.ok()) return FailedStart(store.status());
  MemoryRegistry registry(clock, options.edge.lease_ttl, static_cast<uint64_t>(clock.WallMs()));
  AuditLog audit(**store, AuditOptions(options.store, "CONTROL_LOST"));
  LinkId link = 0;  // Set before callers can come.
  Control control(options.control, clock, registry, **store, &audit);
  Dispatcher& dispatcher = control.dispatcher();
  Edge edge(options.edge, clock, registry, **store);  // Ends before control: its loops call the dispatcher until then.
  Readiness readiness(clock);
  edge.AddReadiness(&readiness);
  control.AddReadiness(&readiness);
  readiness.Add("store", [&] { return (*store)->NotReady(); });
  std::unique_ptr<MetricsEndpoint> metrics;
  // True if the audit log is written.
  const auto end = [&](Stopping& stopping) {
    const MonoTime until = stopping.EndDrain();
    (*store)->EndBy(until);
    Stopping::Step("ending callers' streams and operators' requests");
    control.Stop(until);
    Stopping::Step("closing agents' sockets");
    edge.Stop(until);
    Stopping::Step("writing agents' status");
    edge.WriteStatus(until);
    Stopping::Step("writing the audit log");
    const bool written = audit.Close(until);
    Stopping::Step("closing the store, ending the process");
    return written;
  };
  // Agents and callers may be there already when a start fails.
  const auto failed = [&](const absl::Status& status) {
    Stopping stopping(Duration::zero());
    end(stopping);
    return FailedStart(status);
  };

  const auto to_edge = [&](v1::ControlFrame&& frame) { edge.Receive(link, std::move(frame)); };
  const uint64_t link_number = dispatcher.LinkUp(edge.server_id(), std::make_shared<LocalToEdge>(to_edge));
  const auto to_control = [&dispatcher, link_number](v1::EdgeFrame&& frame) {
    dispatcher.Receive(link_number, std::move(frame));
  };
  link = edge.Attach(std::make_shared<LocalToControl>(to_control));
  edge.Join("", {});

  if (const absl::Status status = edge.Listen(options.listen); !status.ok()) return failed(status);
  if (const absl::Status status = control.Listen(options.listen); !status.ok()) return failed(status);
  auto started = MetricsEndpoint::Start(options.listen, [&](std::vector<Sample>* out) {
    edge.AddSamples(out);
    control.AddSamples(out);
    AddAuditSamples(audit, out);
  }, kScrapeTime, &readiness);
  if (!started.ok()) return failed(started.status());
  metrics = *std::move(started);
  log::Info("toolwire dev ready", {{"agents", edge.port()},
                                   {"plainAgents", edge.plain_port()},
                                   {"callers", control.port()},
                                   {"metrics", metrics->port()},
                                   {"data", options.store.data_dir}});

  if (tls) std::cout << ExplainDevTls(*tls, edge.port(), control.port()) << std::flush;

  stop.Wait(
      kMetricsLineEvery, [&] { LogNumbers(edge, dispatcher); },
      StopSignal::LookAtAll({edge.LookAtFiles(), control.LookAtFiles()}));
  Stopping stopping(options.edge.drain_timeout);
  Stopping::Step("closing the agents' port");
  edge.StopAccepting();
  Stopping::Step("waiting for calls in flight");
  control.StopAccepting();
  if (!control.WaitIdle(options.edge.drain_timeout)) {
    log::Warn("drain time is over; calls in flight are given up", {{"calls", dispatcher.in_flight()}});
  }
  const bool written = end(stopping);
  log::Info("stopped", {{"auditWritten", written}});
  return 0;
}

}  // namespace

void AddDevCommand(CLI::App* app, Command* chosen) {
  auto options = std::make_shared<DevOptions>();
  options->edge.server_id = "dev";
  CLI::App* dev = Subcommand(app, "dev", "Edge and control in one process, in-memory registry, SQLite store");
  Footer(dev,
         "Example: toolwire dev --data-dir ~/.toolwire\n"
         "Exit status: 0 stopped by SIGINT or SIGTERM, 1 cannot start, 2 wrong flags or variables.");
  AddListenFlags(dev, &options->listen);
  AddEdgeFlags(dev, &options->edge);
  AddControlFlags(dev, &options->control);
  Switch(
      dev, "--tls", &options->tls,
      "TLS on both ports and a token for callers, from --data-dir/tls: a private CA and what it signs are made there");
  AddDrainFlag(dev, &options->edge.drain_timeout);
  AddPayloadFlags(dev, &options->edge.session.payload);
  AddStoreFlags(dev, &options->store);
  AddLogFlags(dev, &options->log);
  OnChosen(dev, [options, chosen] { *chosen = [options] { return RunDev(*options); }; });
}

}  // namespace toolwire
