#include "edge/owed_answers.h"

#include <vector>

#include "common/base/log.h"

namespace toolwire {

void OwedAnswers::Add(std::string channel, std::string text, MonoTime until) {
  uint64_t number = 0;
  {
    MutexLock lock(mu_);
    number = ++last_number_;
    Owed& owed = owed_[number];
    owed.channel = channel;
    owed.until = until;
    if (bytes_ + text.size() <= bytes_max_) {
      owed.text = text;
      bytes_ += text.size();
    } else {
      counters_.full.Add();
    }
  }
  publish_(number, channel, std::move(text));
}

void OwedAnswers::Published(uint64_t number, const absl::StatusOr<int64_t>& receivers) {
  MutexLock lock(mu_);
  const auto found = owed_.find(number);
  if (found == owed_.end()) return;
  Owed& owed = found->second;
  if (receivers.ok() && (*receivers > 0 || !owed.has_failed)) return EraseLocked(found);
  const MonoTime now = clock_.Now();
  if (owed.text.empty() || now >= owed.until) return LoseLocked(found);
  owed.has_failed = true;
  owed.again = now + kRetryWait;
}

void OwedAnswers::Tick() {
  struct Try {
    uint64_t number;
    std::string channel, text;
  };
  std::vector<Try> tries;
  {
    MutexLock lock(mu_);
    const MonoTime now = clock_.Now();
    for (auto next = owed_.begin(); next != owed_.end();) {
      const auto each = next++;
      Owed& owed = each->second;
      if (!owed.again) continue;
      if (now >= owed.until) {
        LoseLocked(each);
      } else if (now >= *owed.again) {
        owed.again.reset();
        counters_.again.Add();
        tries.push_back({each->first, owed.channel, owed.text});
      }
    }
  }
  for (Try& one : tries) publish_(one.number, one.channel, std::move(one.text));
}

bool OwedAnswers::WaitNone(MonoTime until) {
  MutexLock lock(mu_);
  while (!owed_.empty()) {
    if (clock_.Now() >= until) return false;
    changed_.WaitUntil(mu_, until);
  }
  return true;
}

void OwedAnswers::EraseLocked(std::map<uint64_t, Owed>::iterator owed) {
  bytes_ -= owed->second.text.size();
  owed_.erase(owed);
  if (owed_.empty()) changed_.NotifyAll();
}

void OwedAnswers::LoseLocked(std::map<uint64_t, Owed>::iterator owed) {
  counters_.lost.Add();
  if (const auto others = lost_line_.Take(clock_.Now())) {
    log::Error("old answer lost", {{"channel", owed->second.channel},
                                   {"why", owed->second.text.empty() ? "Redis did not take it, and too many are kept"
                                                                     : "Redis did not take it while its caller waited"},
                                   {"others", *others}});
  }
  EraseLocked(owed);
}

size_t OwedAnswers::bytes() const {
  MutexLock lock(mu_);
  return bytes_;
}

size_t OwedAnswers::count() const {
  MutexLock lock(mu_);
  return owed_.size();
}

}  // namespace toolwire
