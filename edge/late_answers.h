// Answers that match no call of this edge, until the edge whose call it is has fetched them.
#ifndef TOOLWIRE_EDGE_LATE_ANSWERS_H_
#define TOOLWIRE_EDGE_LATE_ANSWERS_H_

#include <cstddef>
#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "common/base/clock.h"
#include "toolwire/v1/relay.pb.h"

namespace toolwire {

// Bounded in bytes, for each user and for all, as agents may send such answers without end.
class LateAnswers {
 public:
  struct Options {
    size_t user_bytes_max = 32u << 20;         // Two of the largest; one may always be kept.
    size_t bytes_max = 256u << 20;             // Of all users.
    Duration life = std::chrono::seconds(10);  // Several round trips through Redis, each of 1 s at most.
  };

  LateAnswers() : LateAnswers(Options()) {}
  explicit LateAnswers(Options options) : options_(options) {}

  // In the place of an earlier answer to the same call. False if there is no room.
  bool Keep(v1::StrayAnswer&& stray, MonoTime now);
  std::optional<v1::StrayAnswer> Take(std::string_view user_id, std::string_view request_id);
  void Expire(MonoTime now);

  size_t bytes() const { return bytes_; }

 private:
  struct Kept {
    v1::StrayAnswer stray;
    size_t bytes;
    MonoTime until;
  };
  using Key = std::pair<std::string_view, std::string_view>;  // User id and request id, of the kept answer.

  void Erase(std::list<Kept>::iterator kept);

  const Options options_;
  size_t bytes_ = 0;
  std::list<Kept> kept_;  // The oldest first.
  absl::flat_hash_map<Key, std::list<Kept>::iterator> by_call_;
  absl::flat_hash_map<std::string, size_t> bytes_of_user_;
};

}  // namespace toolwire

#endif  // TOOLWIRE_EDGE_LATE_ANSWERS_H_
