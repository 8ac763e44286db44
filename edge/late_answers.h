// Answers that match no call of this edge, until whoever has the call has fetched them.
#ifndef TOOLWIRE_EDGE_LATE_ANSWERS_H_
#define TOOLWIRE_EDGE_LATE_ANSWERS_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "common/base/clock.h"
#include "toolwire/v1/relay.pb.h"

namespace toolwire {

// The largest stray answer that everybody gets who may wait for it: every control, and every edge through Redis. A
// larger one is offered by its names, and kept.
inline constexpr size_t kStrayWholeBytesMax = 4 << 10;

// Bounded in bytes, for each user and for all, as agents may send such answers without end. Who holds most makes room, by
// the oldest of its answers: so a few users who fill it push out only each other.
class LateAnswers {
 public:
  struct Options {
    size_t user_bytes_max = 32u << 20;        // Two of the largest; one may always be kept.
    size_t bytes_max = 256u << 20;            // Of all users.
    Duration life = std::chrono::seconds(2);  // As long as a control waits for one.
  };

  LateAnswers() : LateAnswers(Options()) {}
  explicit LateAnswers(Options options) : options_(options) {}

  // In the place of an earlier answer to the same call. Returns how many others had to make room.
  size_t Keep(v1::StrayAnswer&& stray, MonoTime now);
  std::optional<v1::StrayAnswer> Take(std::string_view user_id, std::string_view request_id);
  void Expire(MonoTime now);

  size_t bytes() const { return bytes_; }

 private:
  struct Kept {
    v1::StrayAnswer stray;
    size_t bytes;
    MonoTime until;
    uint64_t number;
  };
  using Key = std::pair<std::string_view, std::string_view>;  // User id and request id, of the kept answer.

  size_t BytesOf(std::string_view user_id) const;
  void AddBytes(const std::string& user_id, size_t bytes);
  void RemoveBytes(std::string_view user_id, size_t bytes);
  void EraseOldestOf(std::string_view user_id);
  void Erase(std::list<Kept>::iterator kept);

  const Options options_;
  size_t bytes_ = 0;
  uint64_t last_number_ = 0;
  std::list<Kept> kept_;  // The oldest first.
  absl::flat_hash_map<Key, std::list<Kept>::iterator> by_call_;
  std::map<std::pair<std::string_view, uint64_t>, std::list<Kept>::iterator> of_user_;  // By user id and number.
  std::map<std::string, size_t, std::less<>> bytes_of_user_;
  std::set<std::pair<size_t, std::string_view>> users_by_bytes_;  // Views of the keys above.
};

}  // namespace toolwire

#endif  // TOOLWIRE_EDGE_LATE_ANSWERS_H_
