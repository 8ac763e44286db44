// One thread of the edge: its sockets, its sessions, its timers. Of the edge, only this includes websocketpp.
#ifndef TOOLWIRE_EDGE_EDGE_LOOP_H_
#define TOOLWIRE_EDGE_EDGE_LOOP_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/registry/registry.h"
#include "edge/admission.h"
#include "edge/authenticator.h"
#include "edge/revocations.h"
#include "edge/session.h"
#include "edge/user_directory.h"

namespace asio {
class io_context;
}

namespace toolwire {

class EdgeLoop;

// What the loops of one edge share. No pointer is null; everything outlives the loops and is safe to use from any
// thread.
struct EdgeShared {
  struct HttpReply {
    int status = 404;
    std::string body;
  };

  std::string server_id;
  SessionLimits limits;
  size_t frame_bytes_max = 0;
  Duration login_timeout{};
  const Clock* clock = nullptr;
  Registry* registry = nullptr;
  Authenticator* authenticator = nullptr;
  Admission* admission = nullptr;
  UserDirectory* directory = nullptr;
  Revocations* revocations = nullptr;
  EdgeCounters* counters = nullptr;
  // Sends what a loop gathered to the controls.
  std::function<void(LinkBatches* batches)> send_to_controls;
  // Closes the session that a newer login of the same user displaced, on whatever loop it is: as replaced, or as
  // `revoked` if the credentials were while that login was under way.
  std::function<void(const SessionRef& ref, bool revoked)> close_displaced;
  // Plain HTTP on the agents' port.
  std::function<HttpReply(const std::string& path)> http;
};

// A call on its way to a session of this loop.
struct CallForSession {
  SessionId session = 0;
  LinkId link = 0;
  v1::Deliver deliver;
};

// Owned by Edge. Public methods may be called from any thread, never block, and are carried out on the loop's own
// thread in the order of the calls. Exceptions of the libraries end there.
class EdgeLoop {
 public:
  EdgeLoop(uint32_t index, EdgeShared& shared);
  // Stops the thread at once; call CloseAll and wait first to be polite.
  ~EdgeLoop();

  // What else runs on this loop's thread: links to controls.
  asio::io_context& io();

  // Takes over a connected socket, already counted by the admission.
  void Adopt(int fd, std::string address);
  void Deliver(std::vector<CallForSession> deliveries);
  void CancelCalls(LinkId link, std::vector<uint64_t> call_ids);
  void LinkDown(LinkId link);
  // Sends the sessions of this loop to a new link, then calls `done` on the loop.
  void Snapshot(LinkId link, std::function<void()> done);
  // With `answers_lost` no answer to its calls will come by another way either.
  void CloseSession(SessionId id, CloseReason reason, bool answers_lost = false);
  // A newer connection of this user was made elsewhere: closes the user's session of this loop, if it is older (4001).
  void Replaced(const std::string& user_id, uint64_t epoch);
  // Closes every session and socket for this reason.
  void CloseAll(CloseReason reason);
  // Extends the leases of this loop's sessions that were not extended within `unless_within`; heartbeats do it, too.
  void RefreshLeases(Duration unless_within);

  struct Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace toolwire

#endif  // TOOLWIRE_EDGE_EDGE_LOOP_H_
