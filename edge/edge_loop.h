// One thread of the edge: its sessions, and in rounds what its sockets, its timers and other threads bring them.
#ifndef TOOLWIRE_EDGE_EDGE_LOOP_H_
#define TOOLWIRE_EDGE_EDGE_LOOP_H_

#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "common/base/clock.h"
#include "common/base/low_priority_thread.h"
#include "common/base/mutex.h"
#include "edge/login.h"
#include "edge/secret_rechecks.h"
#include "edge/session.h"
#include "edge/session_table.h"
#include "edge/ws_server.h"

namespace toolwire {

// What the loops of one edge share.
struct EdgeShared : LoginShared {
  SessionLimits limits;
  Duration secret_recheck_interval{};  // 0: never.
  size_t frame_bytes_max = 0;
  LowPriorityThread* large_frames = nullptr;  // Decodes them.
  // Sends what a loop gathered to the controls.
  std::function<void(LinkBatches* batches)> send_to_controls;
  // Called by one of the loops, at least once a second.
  std::function<void()> tick;
  // Plain HTTP on the agents' port. Without a reply `later` is called with it, on any thread.
  std::function<std::optional<WsServer::HttpReply>(const std::string& path, const std::string& address,
                                                   std::function<void(WsServer::HttpReply)> later)>
      http;
};

// A call on its way to a session of this loop.
struct CallForSession {
  SessionId session = 0;
  LinkId link = 0;
  v1::Deliver deliver;
};

// A control waits until a session is closed: disconnects_done of relay.proto.
struct Confirmation {
  LinkId link = 0;
  uint64_t id = 0;  // 0: it does not.
};

// Owned by Edge. Public methods may be called from any thread, never block, and are carried out on the loop's own
// thread in the order of the calls, deliveries before the others that wait. Exceptions of the libraries end there.
class EdgeLoop final : private WsServer::Handler, private Logins::Handler {
 public:
  EdgeLoop(uint32_t index, EdgeShared& shared);
  // Stops like StopThread().
  ~EdgeLoop();
  // At once; call CloseAll and wait first, so that agents get their close frames. The other loops of the edge may still
  // call this one.
  void StopThread();

  // What else runs on this loop's thread: links to controls.
  asio::io_context& io() { return io_; }

  // Numbers the next socket of this loop; each id once in the edge.
  SessionId NextId() { return (static_cast<uint64_t>(index_) << 48) | ++sockets_made_; }
  static uint32_t LoopOf(SessionId id) { return static_cast<uint32_t>(id >> 48); }
  // Takes over a connected socket, whose place has the id; on the port with TLS, `tls` makes its handshake.
  void Adopt(int fd, std::unique_ptr<Admission::Place> place, TlsHandshakes* tls);
  // Ends the socket: one that is closing by a reset, another if it is silent still.
  void MakeRoom(SessionId id, bool is_closing);
  void Deliver(std::vector<CallForSession> deliveries);
  void CancelCalls(LinkId link, std::vector<uint64_t> call_ids);
  void LinkDown(LinkId link);
  // Sends the sessions of this loop to a new link, then calls `done` on the loop.
  void Snapshot(LinkId link, std::function<void()> done);
  // With `answers_lost` no answer to its calls will come by another way either.
  void CloseSession(SessionId id, CloseReason reason, bool answers_lost = false, Confirmation confirmation = {});
  // The session counts as opened with this secret.
  void KeepSession(SessionId id, const SecretDigest& secret);
  // A newer connection of this user was made elsewhere: closes the user's session of this loop, if it is older (4001).
  void Replaced(const std::string& user_id, uint64_t epoch);
  // Closes every session and socket for this reason.
  void CloseAll(CloseReason reason);
  // Extends the leases of this loop's sessions that were not extended within `unless_within`; heartbeats do it, too.
  void RefreshLeases(Duration unless_within);

 private:
  // Runs `task` on the loop. Any thread.
  void Post(std::function<void()> task) override;
  void WakeInbox() ABSL_EXCLUSIVE_LOCKS_REQUIRED(inbox_mu_);

  // --- everything below: loop thread only ---
  void Run();
  void DrainInbox();
  void ScheduleRound();
  void Round();
  void ArmTick();
  void OnTick();
  // Advances the table in slices, with whatever else is ready between them.
  void AdvanceTable();
  void ScheduleAdvance();
  void ReportSessions(LinkId link, std::vector<SessionId> ids, std::function<void()> done);
  void RefreshHeard();
  void AddHeld(const std::string& user_id, uint64_t epoch, std::vector<Registry::Held>* held);
  // Has the secrets of those sessions checked that are due for it, a batch at a time.
  void RecheckSecrets();
  void OnRechecked(const std::vector<SessionId>& sessions, const std::vector<SecretCheck>& checks,
                   const absl::StatusOr<std::vector<bool>>& verdicts);

  void OnProxyHeader(SessionId id, const std::optional<std::string>& client) override { logins_.Named(id, client); }
  void OnRequest(SessionId id, const std::string& proxied) override { logins_.Spoke(id, proxied); }
  std::optional<WsServer::HttpReply> OnHttp(SessionId id, const std::string& path) override;
  void OnOpen(SessionId id, const std::string& target, const std::string& authorization) override;
  void OnFrame(SessionId id, std::string& text) override;
  void DecodeLarge(SessionId id, std::string text);
  void OnDecoded(SessionId id, std::string_view text, AgentFrame* frame);
  void DecodeNow(SessionId id);
  bool NextFrame(SessionId id, std::string* text) override;
  void OnWritable(SessionId id) override;
  void OnEnd(SessionId id, bool too_big) override;
  void OnClosed(SessionId id) override { logins_.Closed(id); }

  void CloseSocket(SessionId id, const CloseReason& reason) override { Close(id, reason, false); }
  void OpenSession(SessionId id, const std::string& user_id, uint64_t epoch, const SecretDigest& secret,
                   std::vector<std::string> early) override;

  void Close(SessionId id, const CloseReason& reason, bool answers_lost);
  // The session of this socket, or its login, ends now, whatever becomes of the socket. Idempotent. `reason` is
  // empty if the socket ended by itself.
  void EndSession(SessionId id, const CloseReason& reason, bool answers_lost);

  const uint32_t index_;
  EdgeShared& shared_;
  const Duration slow_tick_;
  asio::io_context io_{1};
  asio::executor_work_guard<asio::io_context::executor_type> work_{io_.get_executor()};
  asio::steady_timer tick_{io_};
  Duration tick_armed_for_ = Duration::max();  // How long the timer was set to wait; the greatest: it is not set.
  MonoTime next_refresh_{};
  bool round_scheduled_ = false;
  std::atomic<uint64_t> sockets_made_{0};  // By the acceptors.
  bool advance_scheduled_ = false;
  struct Decoding {
    std::shared_ptr<const std::string> text;
    std::vector<std::string> behind;  // What came after it: no more than one read of the socket.
  };
  absl::flat_hash_map<SessionId, Decoding> decoding_;  // Sessions of which a large frame is being decoded.
  SessionTable table_;
  Logins logins_;
  SecretRechecks rechecks_;
  WsServer server_;

  Mutex inbox_mu_;
  std::vector<CallForSession> inbox_deliveries_ ABSL_GUARDED_BY(inbox_mu_);
  std::vector<std::function<void()>> inbox_tasks_ ABSL_GUARDED_BY(inbox_mu_);
  bool inbox_posted_ ABSL_GUARDED_BY(inbox_mu_) = false;

  std::thread thread_;
};

}  // namespace toolwire

#endif  // TOOLWIRE_EDGE_EDGE_LOOP_H_
