// Wires gRPC's server to the dispatcher, the directory and the two services. Stopping goes from the outside in: refuse
// new calls, settle those in flight, end the streams, then operators' requests, then the server.
#include "control/control.h"

#include <grpc/support/log.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "common/base/log.h"
#include "control/grpc_headers.h"
#include "control/stream_hello.h"
#include "grpc/health/v1/health.pb.h"

namespace toolwire {

namespace {

constexpr Duration kLastAnswersMin = std::chrono::milliseconds(500), kLastAnswersMax = std::chrono::seconds(2);
// For those that were refused just now.
constexpr Duration kLastRefusals = std::chrono::milliseconds(100);

// What a caller may send on one stream before control has read it: 20 MB/s of large params over a round trip of 50 ms.
constexpr int kStreamWindowBytes = 1 << 20;

// gRPC's reflection takes a thread for each of its streams, and no other service does; one of these accepts.
constexpr int kReflectionThreadsMax = 4;

int Ms(Duration time) { return static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(time).count()); }

// What gRPC 1.51 has against callers that send too much or vanish.
void SetLimits(const ControlOptions& options, grpc::ServerBuilder* builder) {
  builder->SetMaxReceiveMessageSize(static_cast<int>(MessageBytesMax(options)));
  builder->SetMaxSendMessageSize(-1);
  // A compressed message is inflated before its size is checked: 2 MB took 2.7 GiB. So calls that announce one fail
  // with UNIMPLEMENTED, and nothing is inflated before they do.
  builder->AddChannelArgument(GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0);
  for (const auto algorithm : {GRPC_COMPRESS_DEFLATE, GRPC_COMPRESS_GZIP}) {
    builder->SetCompressionAlgorithmSupportStatus(algorithm, false);
  }
  builder->AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, options.callers.connection_streams_max);
  const HeaderLimits& headers = options.jwks_file.empty() ? kHeaderLimits : kJwtHeaderLimits;
  LimitHeaderBytes(headers.header_bytes);
  builder->AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, headers.metadata_bytes);
  grpc::ResourceQuota quota("callers");
  quota.Resize(options.grpc_memory_bytes_max);
  quota.SetMaxThreads(kReflectionThreadsMax);
  builder->SetSyncServerOption(grpc::ServerBuilder::NUM_CQS, 1);
  builder->SetResourceQuota(quota);
  // For the HTTP/2 preface, once the first bytes are there.
  builder->AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, Ms(options.callers.connect_timeout));
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, Ms(options.keepalive_interval));
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, Ms(options.keepalive_timeout));
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  // gRPC would ping callers that send, to learn how large their windows should be. They are as large as the next line
  // says; so pings come for keepalive alone, where a caller says nothing.
  builder->AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  builder->AddChannelArgument(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, kStreamWindowBytes);
  builder->AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, Ms(options.connection_idle_timeout));
  // Clients that ping more often than every 5 s get GOAWAY after two pings too many.
  builder->AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 5000);
}

// gRPC would write to standard error in its own threads, which would wait for whoever reads that.
void LogForGrpc(gpr_log_func_args* line) {
  const log::Level level = line->severity == GPR_LOG_SEVERITY_ERROR ? log::Level::kWarn : log::Level::kInfo;
  log::Write(level, "grpc says", {{"message", line->message}});
}

}  // namespace

Control::Control(const ControlOptions& options, const Clock& clock, Registry& registry, Store& store, AuditLog* audit)
    : options_(options),
      auth_(clock, options.jwt),
      clock_(clock),
      budgets_(clock, options.budgets),
      dispatcher_(clock, registry, directory_, audit, options.dispatcher),
      service_(clock, auth_, budgets_, dispatcher_, directory_, registry, options),
      admin_(clock, auth_, budgets_, store, registry, directory_, dispatcher_),
      ticker_(Dispatcher::kTick, [this] {
        dispatcher_.Tick();
        service_.Tick();
      }) {}

Control::~Control() { Stop(std::chrono::steady_clock::now() + kStopGrace); }

absl::Status Control::Listen(const ListenOptions& listen) {
#ifdef NDEBUG
  // gRPC's locks are absl's, which Debian builds with a search for deadlocks under one lock for the whole process.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
#endif
  if (absl::Status status = LoadTokens(); !status.ok()) return status;
  if (absl::Status status = LoadTls(); !status.ok()) return status;
  gpr_set_log_function(LogForGrpc);
  grpc::EnableDefaultHealthCheckService(true);
  // Keeps the descriptor in the program; reflection finds it by itself.
  grpc::health::v1::HealthCheckRequest::descriptor();
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  const auto hand_to_grpc = [this](int fd) {
    grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters connection;
    connection.fd = fd;
    connections_->HandleNewConnection(&connection);
  };
  auto port = CallersPort::Listen(listen.host, options_.grpc_port, options_.callers, tls_files_.get(), hand_to_grpc);
  if (!port.ok()) return port.status();
  grpc::ServerBuilder builder;
  connections_ = builder.experimental().AddExternalConnectionAcceptor(
      grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD, grpc::InsecureServerCredentials());
  builder.RegisterService(&service_);
  builder.RegisterService(&admin_);
  SetLimits(options_, &builder);
  server_ = builder.BuildAndStart();
  if (!server_) return absl::UnavailableError("callers: gRPC does not start");
  threads_.emplace(options_.grpc_threads);
  server_->GetHealthCheckService()->SetServingStatus("toolwire.v1.ToolDispatch", true);
  server_->GetHealthCheckService()->SetServingStatus("toolwire.v1.AgentAdmin", true);
  port_ = *std::move(port);
  port_->Start();
  return absl::OkStatus();
}

absl::Status Control::LoadTokens() {
  absl::Status loaded = Load("--tokens-file", options_.tokens_file, TokensFile::TokensOf(auth_));
  if (loaded.ok()) loaded = Load("--jwks-file", options_.jwks_file, TokensFile::KeysOf(auth_.jwt()));
  return loaded;
}

absl::Status Control::Load(const char* flag, const std::string& path, TokensFile::Reader reader) {
  if (path.empty()) return absl::OkStatus();
  const absl::Status loaded = token_files_.emplace_back(path, std::move(reader)).Load();
  return loaded.ok() ? loaded : absl::InvalidArgumentError(absl::StrCat(flag, ": ", loaded.message()));
}

absl::Status Control::LoadTls() {
  if (options_.grpc_tls.certificate_file.empty()) return absl::OkStatus();
  auto files = TlsFiles::Load(options_.grpc_tls, clock_);
  if (!files.ok()) return files.status();
  tls_files_ = *std::move(files);
  return absl::OkStatus();
}

std::function<void(bool now)> Control::LookAtFiles() {
  if (token_files_.empty() && !tls_files_) return {};
  return [this](bool now) {
    if (tls_files_) tls_files_->Look(now);
    LookAtTokens(now);
  };
}

void Control::LookAtTokens(bool now) {
  bool changed = false;
  for (TokensFile& file : token_files_) changed = file.Look(now) || changed;
  if (changed) {
    // In this order: whoever is admitted meanwhile by a token that was removed finds that it was.
    service_.TokensChanged();
    dispatcher_.CancelRemoved();
  }
  auth_.LogRefused();
}

void Control::StopAccepting() {
  stopping_ = true;
  dispatcher_.StopAccepting();
  service_.Drain();
  if (server_) server_->GetHealthCheckService()->SetServingStatus(false);
}

void Control::Stop(MonoTime until) {
  if (!server_) return;
  StopAccepting();
  dispatcher_.FailAll();
  service_.EndStreams();
  admin_.Stop();
  port_->Stop();
  // Callers who do not read the last answers are cut. An operator's request may have waited for the store until the
  // very deadline: its answer needs a moment more, for which the watch-dog leaves room.
  const Duration left =
      std::clamp<Duration>(until - std::chrono::steady_clock::now(), kLastAnswersMin, kLastAnswersMax);
  // What never ends by itself, such as a watch of gRPC's health service, is not waited for.
  budgets_.WaitNone(std::chrono::steady_clock::now() + left);
  server_->Shutdown(std::chrono::system_clock::now() + kLastRefusals);
  server_->Wait();
  server_.reset();
  port_->EndTls(std::chrono::steady_clock::now() + kLastAnswersMin);
  threads_.reset();
}

void Control::AddReadiness(Readiness* readiness) const {
  readiness->Add("callers", [this] { return stopping_ ? "control is stopping: it takes no more calls" : ""; });
  readiness->Add("edges",
                 [this] { return dispatcher_.links() > 0 ? "" : "no edge is linked: no agent can be called"; });
}

void Control::AddSamples(std::vector<Sample>* out) const {
  const auto gauge = [&](const char* name, const char* help, size_t value) {
    AddGauge(out, name, help, static_cast<double>(value));
  };
  gauge("toolwire_control_calls_in_flight", "Calls begun and not settled.", dispatcher_.in_flight());
  gauge("toolwire_control_calls_waiting_for_session", "Calls that wait for their agent's next session.",
        dispatcher_.waiting_for_session());
  gauge("toolwire_control_unanswered_requests", "Request ids refused, as an earlier call may still be answered.",
        dispatcher_.unanswered());
  gauge("toolwire_control_edges_linked", "Edges this control is linked to.", dispatcher_.links());
  gauge("toolwire_control_agents", "Agents known to be connected.", directory_.size());
  auth_.AddSamples(out);
  dispatcher_.counters().AddSamples(out);
  service_.AddSamples(out);
  budgets_.AddSamples(out);
  if (port_) port_->AddSamples(out);
  if (tls_files_) tls_files_->AddSamples(out);
  AddHeaderSamples(out);
}

}  // namespace toolwire
