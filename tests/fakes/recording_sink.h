// A caller that remembers every outcome it receives, and whether it was asked to send them.
#ifndef TOOLWIRE_TESTS_FAKES_RECORDING_SINK_H_
#define TOOLWIRE_TESTS_FAKES_RECORDING_SINK_H_

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "control/dispatcher.h"

namespace toolwire {

// Any thread.
class RecordingSink final : public CallSink {
 public:
  // `on_settle` runs at each outcome with no lock held: a sink may call the dispatcher from there.
  explicit RecordingSink(std::function<void(const v1::DispatchAnswer&)> on_settle = nullptr)
      : on_settle_(std::move(on_settle)) {}

  void Settle(v1::DispatchAnswer&& outcome) override {
    {
      std::lock_guard<std::mutex> lock(mu_);
      ++kept_;
      outcomes_[outcome.id()].push_back(outcome);
    }
    if (on_settle_) on_settle_(outcome);
  }
  void Flush() override {
    std::lock_guard<std::mutex> lock(mu_);
    kept_ = 0;
    ++flushes_;
  }

  // The outcomes of the call with this id: one, if all is well.
  std::vector<v1::DispatchAnswer> Of(uint64_t id) const {
    std::lock_guard<std::mutex> lock(mu_);
    auto found = outcomes_.find(id);
    return found == outcomes_.end() ? std::vector<v1::DispatchAnswer>() : found->second;
  }
  size_t settled() const {
    std::lock_guard<std::mutex> lock(mu_);
    size_t count = 0;
    for (const auto& [id, outcomes] : outcomes_) count += outcomes.size();
    return count;
  }
  // Outcomes that came after the last `Flush`: they would never be sent.
  int kept() const {
    std::lock_guard<std::mutex> lock(mu_);
    return kept_;
  }
  int flushes() const {
    std::lock_guard<std::mutex> lock(mu_);
    return flushes_;
  }

 private:
  const std::function<void(const v1::DispatchAnswer&)> on_settle_;
  mutable std::mutex mu_;
  std::map<uint64_t, std::vector<v1::DispatchAnswer>> outcomes_;  // Guarded by mu_, as are the others.
  int kept_ = 0;
  int flushes_ = 0;
};

}  // namespace toolwire

#endif  // TOOLWIRE_TESTS_FAKES_RECORDING_SINK_H_
