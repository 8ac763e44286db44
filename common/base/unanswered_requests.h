// Requests that were sent and whose answer may still come: their ids must not be used for other requests meanwhile.
#ifndef TOOLWIRE_COMMON_BASE_UNANSWERED_REQUESTS_H_
#define TOOLWIRE_COMMON_BASE_UNANSWERED_REQUESTS_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <list>
#include <string_view>

#include "absl/container/flat_hash_map.h"
#include "common/base/clock.h"
#include "common/base/counter.h"
#include "common/base/sip_hash.h"

namespace toolwire {

// An answer names its request by owner (a user, or a session) and request id, and agents answer late: what would answer
// an earlier attempt must not answer a newer one. So an id is refused from the end of an attempt without an answer
// until that answer comes, or `kept` is over.
//
// An entry is 100 bytes whatever its names are: it has a hash of them, by a key of this object. Two names with one hash
// cost a refusal, NOT_SENT, of a request that could have been sent. With 100,000 entries that is one in 10^14, and
// nobody can aim at it without the key. Every method costs the same however many entries there are; one may forget a
// few that are too old. While there are none, nothing is hashed.
class UnansweredRequests {
 public:
  struct Options {
    int requests_max = 100000;  // Past it the oldest is forgotten. They take 10 MB.
    // Agents that lost their connection dial again for minutes, and tools may run for as long.
    Duration kept = std::chrono::minutes(10);
  };

  // `forgotten` counts those that had to make room.
  UnansweredRequests(const Options& options, Counter* forgotten) : options_(options), forgotten_(*forgotten) {}

  // An attempt has ended without an answer. `attempt` is its number, by which it can be removed; 0: none.
  void Add(std::string_view owner, std::string_view request_id, uint64_t attempt, MonoTime now);
  // Whether an earlier attempt may still be answered.
  bool Has(std::string_view owner, std::string_view request_id, MonoTime now) const;
  // The answer has come. False if none was expected.
  bool Remove(std::string_view owner, std::string_view request_id);
  bool RemoveAttempt(uint64_t attempt);
  // Removes some of those that are too old. Call now and then.
  void Expire(MonoTime now);

  size_t size() const { return by_name_.size(); }

 private:
  struct Entry {
    uint64_t name = 0;
    uint64_t attempt = 0;
    MonoTime until;
  };
  using Entries = std::list<Entry>;  // The oldest first.

  uint64_t NameOf(std::string_view owner, std::string_view request_id) const;
  void Erase(Entries::iterator entry);
  void ExpireSome(MonoTime now, int at_most);

  const Options options_;
  Counter& forgotten_;
  const SipKey key_ = SipKey::Random();
  Entries entries_;
  absl::flat_hash_map<uint64_t, Entries::iterator> by_name_;
  absl::flat_hash_map<uint64_t, Entries::iterator> by_attempt_;
};

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_BASE_UNANSWERED_REQUESTS_H_
