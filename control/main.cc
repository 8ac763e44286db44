// toolwire-control: the wiring of one control process.
#include <CLI/CLI.hpp>
#include <iostream>

#include "common/audit_log.h"
#include "common/lifecycle.h"
#include "common/log.h"
#include "common/memory_registry.h"
#include "common/metrics.h"
#include "common/open_store.h"
#include "common/options.h"
#include "control/control.h"
#include "control/grpc_edge_link.h"

namespace toolwire {
namespace {

struct Options {
  LogOptions log;
  ListenOptions listen;
  ControlOptions control;
  StoreOptions store;
};

int Fail(const absl::Status& status) {
  std::cerr << "toolwire-control: " << status.message() << "\n";
  return 1;
}

int Run(const Options& options, StopSignal& stop) {
  if (const absl::Status status = Validate(options.listen); !status.ok()) return Fail(status);
  if (const absl::Status status = Validate(options.control); !status.ok()) return Fail(status);
  auto store = OpenStore(options.store);
  if (!store.ok()) return Fail(store.status());
  SystemClock clock;
  AuditLog audit(**store, AuditOptions(options.store, "CONTROL_LOST"));
  SingleEdgeRegistry registry;
  Control control(options.control, clock, registry, &audit);
  auto link = std::make_unique<GrpcEdgeLink>(options.control.edge_address, control.dispatcher(),
                                             options.control.payload.payload_bytes_max,
                                             [&](const std::string& edge_id) { registry.SetEdge(edge_id); });
  if (const absl::Status status = control.Listen(options.listen); !status.ok()) return Fail(status);
  auto metrics = MetricsEndpoint::Start(options.listen.host + ":" + std::to_string(options.listen.metrics_port),
                                        [&](std::vector<Sample>* out) {
                                          control.AddSamples(out);
                                          AddAuditSamples(audit, out);
                                        });
  if (!metrics.ok()) return Fail(metrics.status());
  log::Info("control ready",
            {{"callers", control.port()}, {"edge", options.control.edge_address}, {"metrics", (*metrics)->port()}});

  stop.Wait(kMetricsLineEvery, [&] {
    log::Info("metrics", {{"callsInFlight", control.dispatcher().in_flight()},
                          {"calls", control.dispatcher().counters().calls.value()},
                          {"rss", ResidentBytes()}});
  });
  control.StopAccepting();
  if (!control.WaitIdle(std::chrono::milliseconds(options.control.drain_timeout_ms))) {
    log::Warn("drain time is over; calls in flight are given up");
  }
  control.Stop();
  link.reset();
  const bool written = audit.Flush(std::chrono::seconds(5));
  log::Info("control stopped", {{"auditWritten", written}});
  return 0;
}

}  // namespace
}  // namespace toolwire

int main(int argc, char** argv) {
  toolwire::StopSignal stop;
  toolwire::Options options;
  options.listen.metrics_port = 9091;
  CLI::App app{"Toolwire control: serves ToolDispatch and delivers calls through the edge that holds the agent."};
  toolwire::AddListenFlags(&app, &options.listen);
  toolwire::AddControlFlags(&app, &options.control);
  app.add_option("--edge", options.control.edge_address, "host:port of the edge's relay")
      ->envname("EDGE_ADDRESS")
      ->required();
  toolwire::AddDrainFlag(&app, &options.control.drain_timeout_ms);
  toolwire::AddPayloadFlags(&app, &options.control.payload);
  toolwire::AddStoreFlags(&app, &options.store);
  toolwire::AddServerStoreFlags(&app, &options.store);
  toolwire::AddLogFlags(&app, &options.log);
  CLI11_PARSE(app, argc, argv);
  toolwire::InitLog(options.log);
  return toolwire::Run(options, stop);
}
