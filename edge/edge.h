// The edge: loops, links to controls, and the order of starting and stopping.
#ifndef TOOLWIRE_EDGE_EDGE_H_
#define TOOLWIRE_EDGE_EDGE_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/counter.h"
#include "common/base/mutex.h"
#include "common/link/link.h"
#include "common/link/relay_port.h"
#include "common/process/readiness.h"
#include "common/registry/registry.h"
#include "common/store/store.h"
#include "common/tls/tls_files.h"
#include "common/tls/tls_handshakes.h"
#include "edge/acceptor.h"
#include "edge/admission.h"
#include "edge/authenticator.h"
#include "edge/edge_loop.h"
#include "edge/edge_options.h"
#include "edge/late_answers.h"
#include "edge/metrics_page.h"
#include "edge/proxy_socket.h"
#include "edge/revocations.h"
#include "edge/user_directory.h"

namespace toolwire {

// One edge in this process. Thread-safe; nothing blocks but Listen, WaitIdle and Stop. Its threads: one for each loop,
// one that accepts, one for the store, one for lease refreshes, one for
// the page of /metrics.
class Edge {
 public:
  // All references outlive the edge. `options` must have been validated.
  Edge(const EdgeOptions& options, const Clock& clock, Registry& registry, Store& store);
  // Stops like Stop() and WriteStatus().
  ~Edge();

  // What an old backend published for an agent of this edge. Set before Join; any thread, must not block.
  using OnCommand = std::function<void(const std::string& user_id, std::string message, MonoTime born)>;
  // Makes the edge known to the registry; controls dial its relay at `relay_address` from then on. Before Listen, so
  // that calls can come as soon as agents do.
  void Join(const std::string& relay_address, OnCommand on_command);
  // Opens the agents' port.
  absl::Status Listen(const ListenOptions& listen);

  // --- links ---
  // What the edge says of itself at the begin of each connection.
  v1::LinkHello Hello(const RecordSender::Limits& limits) const;
  // A control is there: it gets the sessions of this edge and then everything that concerns it.
  LinkId Attach(std::shared_ptr<ToControl> control);
  void Receive(LinkId link, v1::ControlFrame&& frame);
  // The link of this control is down: its calls are dropped.
  void Detach(LinkId link);
  // A stray answer that was offered, if it is still kept.
  std::optional<v1::StrayAnswer> TakeStray(const std::string& user_id, const std::string& request_id);
  // The loop on which the next link may run its socket.
  asio::io_context& LinkLoop();
  // Counts accepts of links that fail.
  EdgeCounters& counters() { return counters_; }
  Counter& accept_errors() { return admission_.counters().accept_errors; }

  // --- stopping, in this order ---
  // Refuses new agents and new calls.
  void StopAccepting();
  // Waits until no call is in flight or `limit` has passed; true if none is.
  bool WaitIdle(Duration limit);
  // Closes every session (1001), releases the leases and leaves the registry.
  void Stop(MonoTime until);
  // Writes the status of the agents that were closed. No login calls back afterwards.
  void WriteStatus(MonoTime until) { authenticator_.Stop(until); }

  int port() const { return acceptor_->port(); }
  // Of the one without TLS beside it; -1 if there is none.
  int plain_port() const { return plain_acceptor_ ? plain_acceptor_->port() : -1; }
  // Looks whether the certificate has changed; empty if there is none. One thread; blocks on the file system.
  std::function<void(bool now)> LookAtFiles();
  const std::string& server_id() const { return shared_.server_id; }
  int64_t connections() const;
  void AddSamples(std::vector<Sample>* out) const;
  // Checks that it takes agents: neither draining, nor without store or registry. They do not outlive the edge.
  void AddReadiness(Readiness* readiness) const;

 private:
  absl::StatusOr<std::unique_ptr<Acceptor>> Accept(const std::string& host, int port, TlsHandshakes* tls);
  // True if it is done; else the session's loop confirms it.
  bool Disconnect(LinkId link, const v1::Disconnect& disconnect);
  void CloseRevoked(const SessionRef& ref, Confirmation confirmation = {});
  void KeepSession(const v1::KeptSession& kept);
  std::optional<WsServer::HttpReply> Http(const std::string& path, const std::string& address,
                                          std::function<void(WsServer::HttpReply)> later);
  std::string HealthJson() const;
  std::string MetricsJson(bool with_users) const;
  void SendToControls(LinkBatches* batches);
  // Keeps the large ones among the stray answers, and returns what is offered in their place.
  std::vector<v1::StrayOffer> KeepLarge(std::vector<v1::StrayAnswer>* strays);
  void RefreshLeases();

  const EdgeOptions options_;
  const Clock& clock_;
  const MonoTime started_;
  const std::string instance_id_;
  EdgeCounters counters_;
  ProxyHeaderCounters proxy_headers_;
  UserDirectory directory_;
  Revocations revocations_;
  Admission admission_;
  LoginLimits login_limits_;
  Authenticator authenticator_;
  EdgeShared shared_;
  std::atomic<bool> draining_{false};

  mutable Mutex links_mu_;
  absl::flat_hash_map<LinkId, std::shared_ptr<ToControl>> links_ ABSL_GUARDED_BY(links_mu_);
  LinkId last_link_ ABSL_GUARDED_BY(links_mu_) = 0;

  mutable Mutex strays_mu_;
  LateAnswers strays_ ABSL_GUARDED_BY(strays_mu_);

  MetricsPage metrics_page_{clock_, [this](bool with_users) { return MetricsJson(with_users); }};
  std::vector<std::unique_ptr<EdgeLoop>> loops_;
  // After the loops, to which it gives what it has decoded. Each session has one frame there at most.
  LowPriorityThread large_frames_{std::numeric_limits<size_t>::max(), LowPriorityThread::Yields::kAtOnce};
  // Null without TLS. The handshakes, too, come after the loops.
  std::unique_ptr<TlsFiles> tls_files_;
  std::unique_ptr<TlsHandshakes> tls_handshakes_;
  std::unique_ptr<Acceptor> acceptor_, plain_acceptor_;
  std::atomic<uint32_t> next_loop_{0};       // For agents' sockets,
  std::atomic<uint32_t> next_link_loop_{0};  // and for links.

  Mutex refresh_mu_;
  CondVar refresh_wake_;
  bool stopped_ ABSL_GUARDED_BY(refresh_mu_) = false;
  std::thread refresher_;
};

}  // namespace toolwire

#endif  // TOOLWIRE_EDGE_EDGE_H_
