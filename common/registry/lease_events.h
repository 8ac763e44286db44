// The events of its users' leases that an edge receives, in the one order that EdgeEvents promises.
#ifndef TOOLWIRE_COMMON_REGISTRY_LEASE_EVENTS_H_
#define TOOLWIRE_COMMON_REGISTRY_LEASE_EVENTS_H_

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "common/base/clock.h"
#include "common/base/counter.h"

namespace toolwire {

// The answer to a claim comes over one connection; over another one come the users' messages, and among them the marks
// "claimed" and "replaced", which stand before the first message that is ours, and before
// the first that no longer is. This class holds back what overtakes a
// claim's answer, drops what is not ours, and after an interruption keeps messages until it is known whose they are.
// Users are remembered as long as they have claims under way or a lease; what comes of others is nothing to this edge.
// No epoch is 0. Callbacks must not call back into this object.
class LeaseEvents {
 public:
  struct Events {
    std::function<void(const std::string& user_id, uint64_t epoch)> replaced;
    std::function<void(const std::string& user_id, std::string message, MonoTime born)> command;
    // Another edge has made an older lease again: ours has to be refreshed, so that it is the one that counts.
    std::function<void(const std::string& user_id, uint64_t epoch)> contested;
    // Nothing is remembered of this user any more: its messages need not be subscribed.
    std::function<void(const std::string& user_id)> forgotten;
  };
  struct Counters : CounterSet {
    Counter dropped{this, "toolwire_redis_messages_dropped_total",
                    "Old commands dropped because too many were kept while it was undecided whose they are."};
  };

  explicit LeaseEvents(Events events) : events_(std::move(events)) {}

  // --- claims: each that began ends with one of the other two, called after its `done` ---
  void ClaimBegun(const std::string& user_id);
  // `whole`: the messages were not interrupted since the claim was sent.
  void Claimed(const std::string& user_id, uint64_t epoch, bool whole);
  void ClaimFailed(const std::string& user_id);

  // --- what comes among the messages ---
  // From here on they are ours, under a lease of this epoch; or not any more.
  void Marked(const std::string& user_id, uint64_t epoch);
  void MarkedReplaced(const std::string& user_id, uint64_t epoch);
  // `born`: it was not published before.
  void Message(const std::string& user_id, std::string message, MonoTime born = {});

  // The answer to a refresh names a newer lease at another edge.
  void Replaced(const std::string& user_id, uint64_t epoch);
  // The edge has released this lease.
  void Released(const std::string& user_id, uint64_t epoch);
  // Messages and marks were missed. Those that come now are kept until `Confirmed` reports that the lease was ours all
  // the time.
  void Interrupted();
  void Confirmed(const std::string& user_id, uint64_t epoch);
  // Waiting for `Confirmed`.
  bool OwnershipUnknown(const std::string& user_id) const;

  // The edge reports that it holds this lease. True if that was not known: then OwnershipUnknown.
  bool Remember(const std::string& user_id, uint64_t epoch);
  void ForgetAll();
  const Counters& counters() const { return counters_; }

 private:
  struct Event {
    uint64_t replaced_by = 0;  // 0: a message.
    std::string message;
    MonoTime born{};
  };
  struct User {
    enum class Messages : uint8_t { kNotOurs, kOurs, kUnknown };
    Messages messages = Messages::kNotOurs;
    uint32_t claims = 0;           // Under way.
    uint64_t epoch = 0;            // Of the lease that the edge holds; 0: none.
    uint64_t marked = 0;           // By the last mark.
    std::vector<Event> waiting;    // For the end of the claims.
    std::vector<Event> undecided;  // Messages, for `Confirmed`.
  };
  using Users = absl::flat_hash_map<std::string, User>;

  void EndClaim(Users::iterator user);
  void Mark(User& user, User::Messages messages, uint64_t epoch);
  void Deliver(const std::string& user_id, User& user, Event event);
  void ReportReplaced(const std::string& user_id, User& user, uint64_t epoch);
  void Keep(std::vector<Event>* kept, Event event);
  void DropUndecided(User& user);
  void ForgetIfIdle(Users::iterator user);

  const Events events_;
  Users users_;
  size_t kept_bytes_ = 0;
  Counters counters_;
};

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_REGISTRY_LEASE_EVENTS_H_
