#include "control/link_to_edge.h"

#include <chrono>
#include <utility>

#include "common/link/link_frames.h"

namespace toolwire {
namespace {

using R = v1::Refusal;

void Refuse(const std::vector<uint64_t>& call_ids, R::Cause cause, v1::EdgeFrame* refusals) {
  for (const uint64_t call_id : call_ids) {
    R* const refusal = refusals->add_refusals();
    refusal->set_call_id(call_id);
    refusal->set_cause(cause);
    refusal->set_delivery(v1::CallError::NOT_SENT);
  }
}

}  // namespace

bool LinkToEdge::Send(v1::ControlFrame&& frame) {
  const MonoTime now = std::chrono::steady_clock::now();
  if (link_->SayNow(frame)) return true;
  v1::EdgeFrame refusals;
  for (const v1::Disconnect& disconnect : frame.disconnects()) {
    if (disconnect.cause() != v1::Disconnect::CREDENTIAL_REVOKED) continue;
    Refuse(link_->WithdrawPayer(PayerOf(disconnect.user_id())), R::SESSION_LOST, &refusals);
  }
  const std::vector<uint64_t> cancels(frame.cancels().begin(), frame.cancels().end());
  if (!cancels.empty()) Refuse(link_->Withdraw(cancels), R::CANCELLED, &refusals);
  std::vector<LinkItem> items = ItemsOf(std::move(frame), now), not_taken;
  if (!link_->Push(&items, &not_taken)) {
    frame.Clear();
    for (const LinkItem& item : items) {
      if (item.ref != 0) frame.add_deliveries()->set_call_id(item.ref);
    }
    for (const R& refusal : refusals.refusals()) frame.add_deliveries()->set_call_id(refusal.call_id());
    return false;
  }
  for (const LinkItem& item : not_taken) {
    const bool too_large = item.bytes.size() > link_->peer_frame_bytes_max();
    Refuse({item.ref}, too_large ? R::EDGE_UNAVAILABLE : R::AGENT_BUSY, &refusals);
  }
  Give(std::move(refusals));
  return true;
}

void LinkToEdge::Expired(const std::vector<uint64_t>& call_ids) {
  v1::EdgeFrame refusals;
  Refuse(call_ids, R::TIMED_OUT, &refusals);
  Give(std::move(refusals));
}

void LinkToEdge::SetNumber(uint64_t number) {
  v1::EdgeFrame refusals;
  {
    MutexLock lock(mu_);
    number_ = number;
    refusals.Swap(&refused_early_);
  }
  Give(std::move(refusals));
}

void LinkToEdge::Give(v1::EdgeFrame&& refusals) {
  if (refusals.refusals_size() == 0) return;
  uint64_t number = 0;
  {
    MutexLock lock(mu_);
    if (number_ == 0) return refused_early_.MergeFrom(refusals);
    number = number_;
  }
  refused_(number, std::move(refusals));
}

}  // namespace toolwire
