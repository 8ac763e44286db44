// A message of +switch-master is "name old-host old-port new-host new-port". While the known master works, answers of
// sentinels are only kept; once it fails, the address that most of them name takes its place, of two the one named
// last.

#include "common/registry/sentinel_view.h"

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"

namespace toolwire {
namespace {

std::optional<RedisAddress> ReadAddress(absl::string_view host, absl::string_view port) {
  return RedisAddress::Read(std::string(host), std::string(port));
}

}  // namespace

SentinelView::SentinelView(std::string master_name, size_t sentinels)
    : name_(std::move(master_name)), named_(sentinels) {}

bool SentinelView::Answered(size_t sentinel, const RedisAddress& address) {
  named_[sentinel] = Named{address, ++heard_};
  return (!master_ || fails_) && Choose();
}

bool SentinelView::Published(size_t sentinel, absl::string_view message) {
  const std::vector<absl::string_view> words = absl::StrSplit(message, ' ');
  if (words.size() != 5 || words[0] != name_) return false;
  const auto from = ReadAddress(words[1], words[2]);
  const auto to = ReadAddress(words[3], words[4]);
  if (!from || !to) return false;
  named_[sentinel] = Named{*to, ++heard_};
  if (master_ && *master_ == *from) {
    if (*to == *from) return false;
    master_ = to;
    fails_ = false;
    return true;
  }
  return (!master_ || fails_) && Choose();
}

void SentinelView::Lost(size_t sentinel) { named_[sentinel].reset(); }

void SentinelView::Dialled(const RedisAddress& address, bool works) {
  if (!master_ || !(*master_ == address)) return;
  fails_ = !works;
  if (fails_) Choose();
}

// A few sentinels: counting each against all is fine.
bool SentinelView::Choose() {
  const Named* best = nullptr;
  size_t best_votes = 0;
  for (const std::optional<Named>& one : named_) {
    if (!one || (master_ && one->address == *master_)) continue;
    size_t votes = 0;
    for (const std::optional<Named>& other : named_) votes += other && other->address == one->address ? 1 : 0;
    if (best == nullptr || votes > best_votes || (votes == best_votes && one->at > best->at)) {
      best = &*one;
      best_votes = votes;
    }
  }
  if (best == nullptr) return false;
  master_ = best->address;
  fails_ = false;
  return true;
}

}  // namespace toolwire
