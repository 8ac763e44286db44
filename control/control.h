// The control: callers' gRPC server, dispatcher, its clock tick, and the order of starting and stopping.
#ifndef TOOLWIRE_CONTROL_CONTROL_H_
#define TOOLWIRE_CONTROL_CONTROL_H_

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/audit/audit_log.h"
#include "common/base/clock.h"
#include "common/base/counter.h"
#include "common/base/ticker.h"
#include "common/process/readiness.h"
#include "common/registry/registry.h"
#include "common/store/store.h"
#include "control/admin_service.h"
#include "control/agent_directory.h"
#include "control/caller_auth.h"
#include "control/caller_budgets.h"
#include "control/callers_port.h"
#include "control/control_options.h"
#include "control/dispatch_service.h"
#include "control/dispatcher.h"
#include "control/grpc_threads.h"
#include "control/tokens_file.h"

namespace toolwire {

// One control in this process. Its threads: gRPC's, one that accepts, and one that ticks; with TLS two more, for
// handshakes and for bytes.
class Control {
 public:
  // Prepares everything but the callers' port, so that links can be made first. All references outlive the control;
  // `audit` may be null.
  Control(const ControlOptions& options, const Clock& clock, Registry& registry, Store& store, AuditLog* audit);
  ~Control();

  // Reads the files of tokens, keys and TLS, and opens the callers' port: gRPC with health and reflection, which need no
  // token.
  absl::Status Listen(const ListenOptions& listen);

  Dispatcher& dispatcher() { return dispatcher_; }
  // For StopSignal::Wait: looks whether the files of tokens, keys or TLS have changed. Empty without any. Between Listen
  // and Stop.
  std::function<void(bool now)> LookAtFiles();

  // --- stopping, in this order ---
  // New calls are refused; health reports NOT_SERVING.
  void StopAccepting();
  // Waits until no call is in flight or `limit` has passed; true if none is.
  bool WaitIdle(Duration limit) { return dispatcher_.WaitIdle(limit); }
  // Settles what is left, ends the streams, answers operators' requests (which end with the store's own deadline) and
  // closes the port: the store is not asked any more, but by the audit log.
  void Stop(MonoTime until);

  int port() const { return port_ ? port_->port() : 0; }
  void AddSamples(std::vector<Sample>* out) const;
  // Checks that it takes calls: not stopping, and linked to an edge. They do not outlive the control.
  void AddReadiness(Readiness* readiness) const;

 private:
  absl::Status LoadTokens();
  absl::Status LoadTls();
  absl::Status Load(const char* flag, const std::string& path, TokensFile::Reader reader);
  void LookAtTokens(bool now);

  const ControlOptions options_;
  CallerAuth auth_;
  std::vector<TokensFile> token_files_;  // Of tokens and of keys, as far as they are given.
  const Clock& clock_;
  std::unique_ptr<TlsFiles> tls_files_;  // Null: the port is plain.
  CallerBudgets budgets_;
  AgentDirectory directory_;
  Dispatcher dispatcher_;
  DispatchService service_;
  AdminService admin_;
  std::unique_ptr<grpc::Server> server_;
  std::atomic<bool> stopping_{false};
  std::optional<GrpcThreads> threads_;
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> connections_;
  std::unique_ptr<CallersPort> port_;
  Ticker ticker_;
};

}  // namespace toolwire

#endif  // TOOLWIRE_CONTROL_CONTROL_H_
