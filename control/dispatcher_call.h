// What the Dispatcher's sources share: one call in flight, and what a locked section leaves to do without the lock.
#ifndef TOOLWIRE_CONTROL_DISPATCHER_CALL_H_
#define TOOLWIRE_CONTROL_DISPATCHER_CALL_H_

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "control/dispatcher.h"

namespace toolwire {

struct Dispatcher::Pending : TimerNode, ListNode, Call {
  // Params over this size are shared, not copied, while the lock is held: 16 MiB take some milliseconds, for which
  // every other call would wait.
  static constexpr size_t kSharedParamsBytes = 64u << 10;

  explicit Pending(Call&& call) : Call(std::move(call)) {
    if (params_json.size() > kSharedParamsBytes) {
      shared_params = std::make_shared<const std::string>(std::move(params_json));
      params_json.clear();
    }
  }
  size_t params_bytes() const { return shared_params ? shared_params->size() : params_json.size(); }
  using Call::deadline;  // The caller's, not the timer's.

  std::shared_ptr<const std::string> shared_params;  // In the place of `params_json`.
  State state = State::kLooking;
  bool cancelled = false;
  int attempts = 0;
  uint64_t link_number = 0;   // But kLooking: the link that is to get it, has or had it.
  Lease tried;                // The lease of the last delivery; without an edge if that went nowhere.
  bool tried_listed = false;  // The directory knew its session by then.
  bool agent_stays = false;   // The last delivery failed for the edge's sake: its agent may still be there.
  MonoTime wait_until{};      // Waiting for a session ends here; unset until it first waits.
  // The caller's error if looking up again finds no other session.
  Reason last_reason = v1::CallError::AGENT_NOT_CONNECTED;
};

class Dispatcher::Work {
 public:
  // `calls`: how many this is about, as far as that is known. Rows are dear to move.
  explicit Work(Dispatcher* dispatcher, size_t calls = 1) : dispatcher_(dispatcher), calls_(calls) {}

  // The link's queue is this work's to send.
  void SendTo(uint64_t link_number) { links_.push_back(link_number); }
  void Lookup(uint64_t call_id, std::string user_id) { lookups_.emplace_back(call_id, std::move(user_id)); }
  void Settle(std::shared_ptr<CallSink> sink, v1::DispatchAnswer&& outcome) {
    settled_.emplace_back(std::move(sink), std::move(outcome));
  }
  // `params`: what the row is still to get of them, or null.
  void Audit(const AuditTicket& ticket, AuditRow&& row, std::shared_ptr<const std::string> params) {
    if (audit_.empty()) audit_.reserve(std::min<size_t>(calls_, 64));
    audit_.push_back({ticket, std::move(row), std::move(params)});
  }

  // With no lock held. Links first: an agent works while the rest is done. Audit before the callers: if this process
  // is killed, the row of a call that was answered says so.
  void Run() {
    for (const uint64_t link_number : links_) dispatcher_->SendQueue(link_number);
    if (dispatcher_->audit_ != nullptr) {
      for (auto& [ticket, row, params] : audit_) {
        if (params != nullptr) row.params_json = dispatcher_->audit_->Storable(*params);
        dispatcher_->audit_->Settle(ticket, std::move(row));
      }
    }
    for (auto& [sink, outcome] : settled_) sink->Settle(std::move(outcome));
    const CallSink* flushed = nullptr;
    for (auto& [sink, outcome] : settled_) {
      if (sink.get() != flushed) sink->Flush();
      flushed = sink.get();
    }
    for (const auto& [call_id, user_id] : lookups_) dispatcher_->LookUp(call_id, user_id);
  }

 private:
  struct Audited {
    AuditTicket ticket;
    AuditRow row;
    std::shared_ptr<const std::string> params;
  };

  Dispatcher* const dispatcher_;
  const size_t calls_;
  std::vector<uint64_t> links_;
  std::vector<std::pair<std::shared_ptr<CallSink>, v1::DispatchAnswer>> settled_;
  std::vector<Audited> audit_;
  std::vector<std::pair<uint64_t, std::string>> lookups_;
};

// For each of many calls, with the lock held for kAtOnce of them: others must not wait for all.
template <typename Step>
void Dispatcher::InSlices(size_t count, Step step) {
  for (size_t i = 0; i < count;) {
    Work work(this, std::min(count - i, kAtOnce));
    {
      MutexLock lock(mu_);
      for (const size_t end = std::min(count, i + kAtOnce); i < end; ++i) step(i, &work);
    }
    work.Run();
  }
}

}  // namespace toolwire

#endif  // TOOLWIRE_CONTROL_DISPATCHER_CALL_H_
