// toolwire-control: the wiring of one control process.
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/audit/audit_samples.h"
#include "common/base/flags.h"
#include "common/base/log.h"
#include "common/base/process_options.h"
#include "common/process/lifecycle.h"
#include "common/process/metrics_endpoint.h"
#include "common/process/readiness.h"
#include "common/process/stopping.h"
#include "common/registry/memory_registry.h"
#include "common/registry/redis_registry.h"
#include "common/registry/registry_options.h"
#include "common/store/open_store.h"
#include "common/store/store_options.h"
#include "common/wire/payload_options.h"
#include "control/control.h"
#include "control/control_options.h"
#include "control/edge_link.h"
#include "control/edge_links.h"

namespace toolwire {
namespace {

struct Options {
  LogOptions log;
  ListenOptions listen;
  ControlOptions control;
  StoreOptions store;
  RedisRegistry::Options registry;
};

int Fail(const absl::Status& status) {
  std::cerr << "toolwire-control: " << flags::ShownMessage(std::string(status.message())) << "\n";
  return 1;
}

absl::Status Validate(Options* options) {
  if (absl::Status status = Validate(options->listen); !status.ok()) return status;
  if (absl::Status status = Validate(&options->control); !status.ok()) return status;
  if (options->control.edge_address.empty() == options->registry.url.empty()) {
    return absl::InvalidArgumentError(
        "give either --redis-url (REDIS_URL), to find all edges, or --edge, for one edge without Redis");
  }
  std::vector<std::string> unprotected;
  AddUnprotected(options->control, options->listen, &unprotected);
  AddUnprotectedLinks(options->control, options->listen, &unprotected);
  return RefuseUnprotected(unprotected);
}

int Run(Options options, StopSignal& stop) {
  if (const absl::Status status = Validate(&options); !status.ok()) return Fail(status);
  auto store = OpenStore(options.store);
  if (!store.ok()) return Fail(store.status());
  SystemClock clock;
  SingleEdgeRegistry single;
  std::unique_ptr<RedisRegistry> redis;
  if (!options.registry.url.empty()) {
    auto opened = RedisRegistry::Create(options.registry);
    if (!opened.ok()) return Fail(opened.status());
    redis = *std::move(opened);
  }
  AuditLog audit(**store, AuditOptions(options.store, "CONTROL_LOST"));
  Control control(options.control, clock, redis ? static_cast<Registry&>(*redis) : single, **store, &audit);
  auto link_tls = LoadLinkTls(options.control.link_tls, LinkEnd::kControl, clock);
  if (!link_tls.ok()) return Fail(link_tls.status());
  TlsFiles* const tls = link_tls->get();
  std::unique_ptr<EdgeLink> link;
  std::unique_ptr<EdgeLinks> links;
  if (redis) {
    links = std::make_unique<EdgeLinks>(*redis, control.dispatcher(), options.control.payload.payload_bytes_max, tls);
  } else {
    link = std::make_unique<EdgeLink>("", options.control.edge_address, control.dispatcher(),
                                      options.control.payload.payload_bytes_max, tls,
                                      [&](const std::string& edge_id) { single.SetEdge(edge_id); });
  }
  Readiness readiness(clock);
  control.AddReadiness(&readiness);
  readiness.Add("registry", [&] {
    return !redis || redis->connected() ? "" : "the registry is unavailable: agents that move are not found";
  });
  readiness.Add("store", [&] { return (*store)->NotReady(); });
  std::unique_ptr<MetricsEndpoint> metrics;
  // True if the audit log is written.
  const auto end = [&](Stopping& stopping) {
    const MonoTime until = stopping.EndDrain();
    (*store)->EndBy(until);
    Stopping::Step("ending callers' streams and operators' requests");
    control.Stop(until);
    Stopping::Step("ending links");
    links.reset();
    link.reset();
    metrics.reset();
    Stopping::Step("leaving Redis");
    // Before the control: answers that are still owed come when it ends.
    redis.reset();
    Stopping::Step("writing the audit log");
    const bool written = audit.Close(until);
    Stopping::Step("closing the store, ending the process");
    return written;
  };
  // Callers may be there already when a start fails.
  const auto failed = [&](const absl::Status& status) {
    Stopping stopping(Duration::zero());
    end(stopping);
    return Fail(status);
  };
  if (const absl::Status status = control.Listen(options.listen); !status.ok()) return failed(status);
  auto started = MetricsEndpoint::Start(options.listen, [&](std::vector<Sample>* out) {
    control.AddSamples(out);
    if (redis) redis->AddSamples(out);
    AddAuditSamples(audit, out);
    if (tls != nullptr) tls->AddSamples(out);
  }, kScrapeTime, &readiness);
  if (!started.ok()) return failed(started.status());
  metrics = *std::move(started);
  log::Info("control ready", {{"callers", control.port()},
                              {"edge", redis ? "all" : options.control.edge_address},
                              {"metrics", metrics->port()}});

  StopSignal::LookAtFiles look_at_tls;
  if (tls != nullptr) look_at_tls = [tls](bool now) { tls->Look(now); };
  StopSignal::LookAtFiles look_at_redis_tls;
  if (redis) look_at_redis_tls = redis->LookAtFiles();
  const auto log_numbers = [&] {
    log::Info("metrics", {{"callsInFlight", control.dispatcher().in_flight()},
                          {"calls", control.dispatcher().counters().calls.value()},
                          {"rss", ResidentBytes()}});
  };
  stop.Wait(kMetricsLineEvery, log_numbers,
            StopSignal::LookAtAll({look_at_tls, look_at_redis_tls, control.LookAtFiles()}));
  Stopping stopping(options.control.drain_timeout);
  Stopping::Step("waiting for calls in flight");
  control.StopAccepting();
  if (!control.WaitIdle(options.control.drain_timeout)) {
    log::Warn("drain time is over; calls in flight are given up");
  }
  const bool written = end(stopping);
  log::Info("control stopped", {{"auditWritten", written}});
  return 0;
}

}  // namespace
}  // namespace toolwire

int main(int argc, char** argv) {
  toolwire::KeepMemoryPrivate();
  toolwire::StopSignal stop;
  toolwire::Options options;
  options.listen.metrics_port = toolwire::DefaultControlMetricsPort();
  toolwire::flags::CommandLine line(
      "Toolwire control: serves ToolDispatch and delivers calls through the edge that holds the agent.");
  toolwire::flags::VersionFlag(line.app(), TOOLWIRE_VERSION);
  toolwire::AddListenFlags(line.app(), &options.listen, toolwire::kControlMetricsPortVariable);
  toolwire::AddControlFlags(line.app(), &options.control);
  toolwire::AddEdgeAddressFlag(line.app(), &options.control);
  toolwire::AddLinkTlsFlags(line.app(), &options.control.link_tls);
  toolwire::AddPlainLinksFlag(line.app(), &options.control.link_tls);
  toolwire::AddDrainFlag(line.app(), &options.control.drain_timeout);
  toolwire::AddPayloadFlags(line.app(), &options.control.payload);
  toolwire::AddStoreFlags(line.app(), &options.store);
  toolwire::AddDatabaseFlags(line.app(), &options.store);
  toolwire::AddRegistryFlags(line.app(), &options.registry);
  toolwire::AddLogFlags(line.app(), &options.log);
  if (const auto ending = line.Parse(argc, argv)) return ending->Print();
  if (const auto ending = toolwire::flags::EndForFiles("toolwire-control")) return ending->Print();
  toolwire::InitLog(options.log);
  return toolwire::Run(std::move(options), stop);
}
