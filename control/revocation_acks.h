// Which edges have confirmed a revocation, and which have not in time.
#ifndef TOOLWIRE_CONTROL_REVOCATION_ACKS_H_
#define TOOLWIRE_CONTROL_REVOCATION_ACKS_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/base/clock.h"
#include "common/base/mutex.h"

namespace toolwire {

// Waits for nobody by itself: each revocation is reported once, when all edges have confirmed it or `kWaitMax` has
// passed. Bounded by who begins them: an operator's request is open for each. Thread-safe.
class RevocationAcks {
 public:
  static constexpr Duration kWaitMax = std::chrono::seconds(2);

  struct Reach {
    // Whether every edge that is linked here or that the registry names has confirmed.
    bool everywhere = false;
    // Whether the user's session was known, and its edge has confirmed.
    bool session_closed = false;
    // Of these, those that have not, in the order of their ids. None, though it is not everywhere: the registry is
    // unavailable, and there may be edges that are not known here.
    std::vector<std::string> not_heard;
  };
  // Called on any thread, with no lock held.
  using Done = std::function<void(Reach reach)>;

  // A revocation is about to be sent on these links, which have the numbers and edges. `session_edge` is the edge of
  // the user's session; empty: none is known. Returns the revocation's id, not 0.
  uint64_t Begin(const std::vector<std::pair<uint64_t, std::string>>& links, const std::string& session_edge,
                 MonoTime now, Done done);
  // All edges that the registry names; nullopt: it is unavailable. Once after each Begin.
  void Named(uint64_t id, const std::optional<std::vector<std::string>>& edges);
  // The edge of this link has ended what had to end. Any number, known or not.
  void Confirmed(uint64_t link, uint64_t id);
  // It could not be sent there.
  void NotSent(uint64_t link, uint64_t id);
  // The link is down: its edge will not confirm any more.
  void LinkDown(uint64_t link);
  // Reports what has waited for long enough.
  void Tick(MonoTime now);
  // Reports all: this process is stopping.
  void EndAll() { Tick(MonoTime::max()); }

 private:
  struct Revocation {
    std::map<uint64_t, std::string> waiting;  // Links that may confirm yet, with their edges.
    std::set<std::string> asked;
    std::set<std::string> not_heard;
    std::string session_edge;
    bool named = false;    // The registry has answered,
    bool unknown = false;  // or was unavailable.
    MonoTime until;
    Done done;
  };
  using Ended = std::vector<std::pair<Done, Reach>>;

  void Settle(uint64_t link, uint64_t id, bool confirmed);
  // Moves it to `ended` if nothing more is to come, or in any case.
  void EndLocked(std::map<uint64_t, Revocation>::iterator found, bool in_any_case, Ended* ended)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  static void Report(Ended ended);

  Mutex mu_;
  uint64_t last_id_ ABSL_GUARDED_BY(mu_) = 0;
  std::map<uint64_t, Revocation> revocations_ ABSL_GUARDED_BY(mu_);  // By id, and so by `until`.
};

}  // namespace toolwire

#endif  // TOOLWIRE_CONTROL_REVOCATION_ACKS_H_
