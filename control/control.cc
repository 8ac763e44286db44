// Wires gRPC's server to the dispatcher, the directory and the two services. Stopping goes from the outside in: refuse
// new calls, settle those in flight, end the streams, then operators' requests, then the server.
#include "control/control.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>

#include <chrono>
#include <utility>

#include "absl/synchronization/mutex.h"
#include "common/base/host_port.h"
#include "grpc/health/v1/health.pb.h"

namespace toolwire {

Control::Control(const ControlOptions& options, const Clock& clock, Registry& registry, Store& store, AuditLog* audit)
    : options_(options),
      dispatcher_(clock, registry, directory_, audit, Dispatcher::Options()),
      service_(clock, dispatcher_, directory_, registry, options),
      admin_(clock, store, registry, directory_, dispatcher_),
      ticker_(Dispatcher::kTick, [this] {
        dispatcher_.Tick();
        service_.Tick();
      }) {}

Control::~Control() { Stop(); }

absl::Status Control::Listen(const ListenOptions& listen) {
#ifdef NDEBUG
  // gRPC's locks are absl's, which Debian builds with a search for deadlocks under one lock for the whole process.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
#endif
  grpc::EnableDefaultHealthCheckService(true);
  // Keeps the descriptor in the program; reflection finds it by itself.
  grpc::health::v1::HealthCheckRequest::descriptor();
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  const std::string address = JoinHostPort(listen.host, options_.grpc_port);
  grpc::ServerBuilder builder;
  builder.AddListeningPort(address, grpc::InsecureServerCredentials(), &port_);
  builder.RegisterService(&service_);
  builder.RegisterService(&admin_);
  // The largest params and what is around them; params that are a little too large reach the check that reports it.
  builder.SetMaxReceiveMessageSize(static_cast<int>(options_.payload.payload_bytes_max + (2u << 20)));
  builder.SetMaxSendMessageSize(-1);
  // A second control on the same port would otherwise start without an error and take half of the callers.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 5000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  server_ = builder.BuildAndStart();
  if (!server_ || port_ == 0) return absl::UnavailableError("callers: cannot listen on " + address);
  threads_.emplace(options_.grpc_threads);
  server_->GetHealthCheckService()->SetServingStatus("toolwire.v1.ToolDispatch", true);
  server_->GetHealthCheckService()->SetServingStatus("toolwire.v1.AgentAdmin", true);
  return absl::OkStatus();
}

void Control::StopAccepting() {
  dispatcher_.StopAccepting();
  if (server_) server_->GetHealthCheckService()->SetServingStatus(false);
}

void Control::Stop() {
  if (!server_) return;
  StopAccepting();
  dispatcher_.FailAll();
  service_.EndStreams();
  admin_.Stop();
  // Streams whose callers do not read the last answers are cut.
  server_->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(2));
  server_->Wait();
  server_.reset();
  threads_.reset();
}

void Control::AddSamples(std::vector<Sample>* out) const {
  const auto gauge = [&](const char* name, const char* help, size_t value) {
    AddGauge(out, name, help, static_cast<double>(value));
  };
  gauge("toolwire_control_calls_in_flight", "Calls begun and not settled.", dispatcher_.in_flight());
  gauge("toolwire_control_edges_linked", "Edges this control is linked to.", dispatcher_.links());
  gauge("toolwire_control_agents", "Agents known to be connected.", directory_.size());
  dispatcher_.counters().AddSamples(out);
  service_.AddSamples(out);
  admin_.counters().AddSamples(out);
}

}  // namespace toolwire
