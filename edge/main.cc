// toolwire-edge: the wiring of one edge process.
#include <CLI/CLI.hpp>
#include <iostream>

#include "common/lifecycle.h"
#include "common/log.h"
#include "common/memory_registry.h"
#include "common/metrics.h"
#include "common/open_store.h"
#include "common/options.h"
#include "edge/edge.h"
#include "edge/relay_service.h"

namespace toolwire {
namespace {

struct Options {
  LogOptions log;
  ListenOptions listen;
  EdgeOptions edge;
  StoreOptions store;
};

int Fail(const absl::Status& status) {
  std::cerr << "toolwire-edge: " << status.message() << "\n";
  return 1;
}

int Run(Options options, StopSignal& stop) {
  if (const absl::Status status = Validate(options.listen); !status.ok()) return Fail(status);
  if (const absl::Status status = Validate(&options.edge); !status.ok()) return Fail(status);
  auto store = OpenStore(options.store);
  if (!store.ok()) return Fail(store.status());
  SystemClock clock;
  MemoryRegistry registry(clock, std::chrono::milliseconds(options.edge.lease_ttl_ms));
  auto edge = Edge::Start(options.listen, options.edge, clock, registry, **store);
  if (!edge.ok()) return Fail(edge.status());
  auto relay =
      RelayServer::Start(options.listen.host, options.edge.relay_port, **edge, options.edge.payload.payload_bytes_max);
  if (!relay.ok()) return Fail(relay.status());
  auto metrics = MetricsEndpoint::Start(options.listen.host + ":" + std::to_string(options.listen.metrics_port),
                                        [&](std::vector<Sample>* out) { (*edge)->AddSamples(out); });
  if (!metrics.ok()) return Fail(metrics.status());
  log::Info("edge ready", {{"serverId", (*edge)->server_id()},
                           {"agents", (*edge)->port()},
                           {"relay", (*relay)->port()},
                           {"metrics", (*metrics)->port()}});

  stop.Wait(kMetricsLineEvery, [&] {
    log::Info("metrics", {{"connections", (*edge)->connections()}, {"rss", ResidentBytes()}});
  });
  (*edge)->StopAccepting();
  if (!(*edge)->WaitIdle(std::chrono::milliseconds(options.edge.drain_timeout_ms))) {
    log::Warn("drain time is over; calls in flight are given up");
  }
  (*edge)->Stop();
  relay->reset();
  log::Info("edge stopped");
  return 0;
}

}  // namespace
}  // namespace toolwire

int main(int argc, char** argv) {
  toolwire::StopSignal stop;
  toolwire::Options options;
  CLI::App app{"Toolwire edge: terminates agents' WebSockets and hands calls to them."};
  toolwire::AddListenFlags(&app, &options.listen);
  toolwire::AddEdgeFlags(&app, &options.edge);
  app.add_option("--relay-port", options.edge.relay_port, "Controls' gRPC port, internal; 0 takes a free one")
      ->envname("RELAY_PORT")
      ->check(CLI::Range(0, 65535))
      ->capture_default_str();
  toolwire::AddDrainFlag(&app, &options.edge.drain_timeout_ms);
  toolwire::AddPayloadFlags(&app, &options.edge.payload);
  toolwire::AddStoreFlags(&app, &options.store);
  toolwire::AddServerStoreFlags(&app, &options.store);
  toolwire::AddLogFlags(&app, &options.log);
  CLI11_PARSE(app, argc, argv);
  toolwire::InitLog(options.log);
  return toolwire::Run(options, stop);
}
