// toolwire-edge: the wiring of one edge process.
#include <algorithm>
#include <chrono>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
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
#include "edge/edge.h"
#include "edge/edge_options.h"
#include "edge/old_channels_link.h"
#include "edge/relay_server.h"

namespace toolwire {
namespace {

// A check of a secret may take so much less than the login that waits for it, but no less than that.
constexpr Duration kCheckEndsBefore = std::chrono::milliseconds(500);
constexpr Duration kCheckMin = std::chrono::seconds(1);

struct Options {
  LogOptions log;
  ListenOptions listen;
  EdgeOptions edge;
  StoreOptions store;
  RedisRegistry::Options registry;
};

int Fail(const absl::Status& status) {
  std::cerr << "toolwire-edge: " << flags::ShownMessage(std::string(status.message())) << "\n";
  return 1;
}

int Run(Options options, StopSignal& stop) {
  if (const absl::Status status = Validate(options.listen); !status.ok()) return Fail(status);
  if (const absl::Status status = Validate(&options.edge); !status.ok()) return Fail(status);
  std::vector<std::string> unprotected;
  AddUnprotected(options.edge, options.listen, &unprotected);
  AddUnprotectedLinks(options.edge, options.listen, &unprotected);
  if (const absl::Status status = RefuseUnprotected(unprotected); !status.ok()) return Fail(status);
  options.store.database.check_timeout = std::max<Duration>(options.edge.login_timeout - kCheckEndsBefore, kCheckMin);
  auto store = OpenStore(options.store);
  if (!store.ok()) return Fail(store.status());
  SystemClock clock;
  MemoryRegistry alone(clock, options.edge.lease_ttl, static_cast<uint64_t>(clock.WallMs()));
  std::unique_ptr<RedisRegistry> redis;
  if (!options.registry.url.empty()) {
    RedisRegistry::Options& registry = options.registry;
    registry.lease_ttl = options.edge.lease_ttl;
    registry.claim_wait_max = options.edge.login_timeout;
    registry.command_channels = options.edge.serve_old_channels;
    registry.status_keys = options.edge.serve_old_channels && options.edge.old_status_keys;
    auto opened = RedisRegistry::Create(registry);
    if (!opened.ok()) return Fail(opened.status());
    redis = *std::move(opened);
  }
  AuditLog audit(**store, AuditOptions(options.store, "EDGE_LOST"));
  Edge edge(options.edge, clock, redis ? static_cast<Registry&>(*redis) : alone, **store);
  std::optional<OldChannelsLink> old;
  Edge::OnCommand on_command;
  if (redis && options.edge.serve_old_channels) {
    old.emplace(options.edge, clock, *redis, audit, edge);
    on_command = [&](const std::string& user_id, const std::string& message, MonoTime born) {
      old->channels().OnCommand(user_id, message, born);
    };
  }
  auto link_tls = LoadLinkTls(options.edge.link_tls, LinkEnd::kEdge, clock);
  if (!link_tls.ok()) return Fail(link_tls.status());
  auto relay =
      RelayServer::Start(options.listen.host, options.edge.relay_port, edge, options.edge.payload().payload_bytes_max,
                         options.edge.links_per_address_max, link_tls->get());
  if (!relay.ok()) return Fail(relay.status());
  edge.Join(RelayAddress(options.edge, options.listen, (*relay)->port()), on_command);
  Readiness readiness(clock);
  edge.AddReadiness(&readiness);
  readiness.Add("store", [&] { return (*store)->NotReady(); });
  std::unique_ptr<MetricsEndpoint> metrics;
  // True if the audit log is written.
  const auto end = [&](Stopping& stopping) {
    const MonoTime until = stopping.EndDrain();
    (*store)->EndBy(until);
    Stopping::Step("closing agents' sockets, releasing leases");
    edge.Stop(until);
    if (old) old->channels().FailAll();
    Stopping::Step("ending links");
    (*relay)->Stop(until);
    metrics.reset();
    Stopping::Step("writing agents' status");
    edge.WriteStatus(until);
    Stopping::Step("leaving Redis");
    if (old && redis->connected()) old->channels().WaitAcknowledged(until);
    old.reset();
    if (redis) redis->WaitAnswered(until);
    // Before the edge and after what publishes: answers that are still owed come when it ends.
    redis.reset();
    Stopping::Step("writing the audit log");
    const bool written = audit.Close(until);
    Stopping::Step("closing the store, ending the process");
    return written;
  };
  // Agents and commands may be there already when a start fails.
  const auto failed = [&](const absl::Status& status) {
    Stopping stopping(Duration::zero());
    end(stopping);
    return Fail(status);
  };
  if (const absl::Status status = edge.Listen(options.listen); !status.ok()) return failed(status);
  auto started = MetricsEndpoint::Start(options.listen, [&](std::vector<Sample>* out) {
    edge.AddSamples(out);
    if (redis) redis->AddSamples(out);
    if (old) old->channels().AddSamples(out);
    if (*link_tls) (*link_tls)->AddSamples(out);
    AddAuditSamples(audit, out);
  }, kScrapeTime, &readiness);
  if (!started.ok()) return failed(started.status());
  metrics = *std::move(started);
  log::Info("edge ready", {{"serverId", edge.server_id()},
                           {"agents", edge.port()},
                           {"plainAgents", edge.plain_port()},
                           {"relay", (*relay)->port()},
                           {"metrics", metrics->port()}});

  StopSignal::LookAtFiles look_at_link_tls;
  if (*link_tls) look_at_link_tls = [&](bool now) { (*link_tls)->Look(now); };
  StopSignal::LookAtFiles look_at_redis_tls;
  if (redis) look_at_redis_tls = redis->LookAtFiles();
  stop.Wait(
      kMetricsLineEvery,
      [&] {
        log::Info("metrics", {{"connections", edge.connections()}, {"rss", ResidentBytes()}});
      },
      StopSignal::LookAtAll({edge.LookAtFiles(), look_at_link_tls, look_at_redis_tls}));
  Stopping stopping(options.edge.drain_timeout);
  const MonoTime drained_by = clock.Now() + options.edge.drain_timeout;
  Stopping::Step("closing the agents' port");
  edge.StopAccepting();
  Stopping::Step("waiting for calls in flight");
  if (!edge.WaitIdle(options.edge.drain_timeout)) {
    log::Warn("drain time is over; calls in flight are given up");
  }
  Stopping::Step("waiting until controls have all answers");
  (*relay)->WaitSaid(drained_by);
  const bool written = end(stopping);
  log::Info("edge stopped", {{"auditWritten", written}});
  return 0;
}

}  // namespace
}  // namespace toolwire

int main(int argc, char** argv) {
  toolwire::KeepMemoryPrivate();
  toolwire::StopSignal stop;
  toolwire::Options options;
  toolwire::flags::CommandLine line("Toolwire edge: terminates agents' WebSockets and hands calls to them.");
  toolwire::flags::VersionFlag(line.app(), TOOLWIRE_VERSION);
  toolwire::AddListenFlags(line.app(), &options.listen);
  toolwire::AddEdgeFlags(line.app(), &options.edge);
  toolwire::AddClusterEdgeFlags(line.app(), &options.edge);
  toolwire::AddDrainFlag(line.app(), &options.edge.drain_timeout);
  toolwire::AddPayloadFlags(line.app(), &options.edge.session.payload);
  toolwire::AddStoreFlags(line.app(), &options.store);
  toolwire::AddDatabaseFlags(line.app(), &options.store);
  toolwire::AddRegistryFlags(line.app(), &options.registry);
  toolwire::AddLogFlags(line.app(), &options.log);
  if (const auto ending = line.Parse(argc, argv)) return ending->Print();
  if (const auto ending = toolwire::flags::EndForFiles("toolwire-edge")) return ending->Print();
  toolwire::InitLog(options.log);
  return toolwire::Run(options, stop);
}
