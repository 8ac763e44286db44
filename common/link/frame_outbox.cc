// Two queues: frames that go out whole, merged until kWholeBytesMax is reached, and large ones, cut. The two take
// turns, and large frames among themselves, one fragment each, as many as the peer may have unfinished. A large frame
// is split into its items first, so that only an item that is large by itself is cut, and is serialized when its first
// fragment is due.
#include "common/link/frame_outbox.h"

#include <algorithm>

namespace toolwire {
namespace {

template <typename Repeated>
void MoveAll(Repeated* from, Repeated* to) {
  if (to->empty()) return to->Swap(from);
  // By pointer: the items are not allocated a second time.
  std::vector<typename Repeated::value_type*> items(static_cast<size_t>(from->size()));
  from->ExtractSubrange(0, from->size(), items.data());
  to->Reserve(to->size() + static_cast<int>(items.size()));
  for (auto* item : items) to->AddAllocated(item);
}

// One frame for each item, so that only an item that is large by itself is cut into fragments.
std::vector<v1::ControlFrame> SplitItems(v1::ControlFrame&& frame) {
  std::vector<v1::ControlFrame> frames;
  for (v1::Deliver& one : *frame.mutable_deliveries()) *frames.emplace_back().add_deliveries() = std::move(one);
  if (frame.cancels_size() > 0) frames.emplace_back().mutable_cancels()->Swap(frame.mutable_cancels());
  for (v1::Disconnect& one : *frame.mutable_disconnects()) *frames.emplace_back().add_disconnects() = std::move(one);
  return frames;
}

std::vector<v1::EdgeFrame> SplitItems(v1::EdgeFrame&& frame) {
  std::vector<v1::EdgeFrame> frames;
  if (frame.has_hello()) *frames.emplace_back().mutable_hello() = std::move(*frame.mutable_hello());
  for (v1::SessionEvent& one : *frame.mutable_sessions()) *frames.emplace_back().add_sessions() = std::move(one);
  for (v1::Answer& one : *frame.mutable_answers()) *frames.emplace_back().add_answers() = std::move(one);
  for (v1::Refusal& one : *frame.mutable_refusals()) *frames.emplace_back().add_refusals() = std::move(one);
  for (v1::StrayAnswer& one : *frame.mutable_strays()) *frames.emplace_back().add_strays() = std::move(one);
  return frames;
}

}  // namespace

void AppendFrame(v1::ControlFrame&& from, v1::ControlFrame* to) {
  MoveAll(from.mutable_deliveries(), to->mutable_deliveries());
  to->mutable_cancels()->MergeFrom(from.cancels());
  MoveAll(from.mutable_disconnects(), to->mutable_disconnects());
}

void AppendFrame(v1::EdgeFrame&& from, v1::EdgeFrame* to) {
  if (from.has_hello()) *to->mutable_hello() = std::move(*from.mutable_hello());
  MoveAll(from.mutable_sessions(), to->mutable_sessions());
  MoveAll(from.mutable_answers(), to->mutable_answers());
  MoveAll(from.mutable_refusals(), to->mutable_refusals());
  MoveAll(from.mutable_strays(), to->mutable_strays());
}

template <typename Frame>
bool FrameOutbox<Frame>::Push(Frame&& frame) {
  const size_t bytes = frame.ByteSizeLong();
  if (waiting_bytes_ > 0 && waiting_bytes_ + bytes > bytes_max_) return false;
  if (bytes <= kWholeBytesMax) {
    Add(std::move(frame), bytes);
  } else {
    for (Frame& one : SplitItems(std::move(frame))) {
      const size_t one_bytes = one.ByteSizeLong();
      Add(std::move(one), one_bytes);
    }
  }
  return true;
}

template <typename Frame>
void FrameOutbox<Frame>::Add(Frame&& frame, size_t bytes) {
  waiting_bytes_ += bytes;
  if (bytes <= kWholeBytesMax) {
    small_.emplace_back(std::move(frame), bytes);
  } else {
    large_waiting_.push_back({std::move(frame), {}, bytes, ++last_fragment_id_, 0});
    BeginLarge();
  }
}

template <typename Frame>
void FrameOutbox<Frame>::BeginLarge() {
  while (!large_waiting_.empty() && large_.size() < kUnfinishedMax &&
         (large_.empty() || large_bytes_ + large_waiting_.front().size <= unfinished_bytes_max_)) {
    large_bytes_ += large_waiting_.front().size;
    large_.push_back(std::move(large_waiting_.front()));
    large_waiting_.pop_front();
  }
}

template <typename Frame>
bool FrameOutbox<Frame>::Next(Frame* frame) {
  frame->Clear();
  if (small_.empty() && large_.empty()) return false;
  if (!large_.empty() && (small_.empty() || fragment_turn_)) {
    fragment_turn_ = false;
    NextFragment(frame);
    return true;
  }
  fragment_turn_ = true;
  size_t total = 0;
  while (!small_.empty() && (total == 0 || total + small_.front().second <= kWholeBytesMax)) {
    total += small_.front().second;
    AppendFrame(std::move(small_.front().first), frame);
    small_.pop_front();
  }
  waiting_bytes_ -= std::min(waiting_bytes_, total);
  return true;
}

template <typename Frame>
void FrameOutbox<Frame>::NextFragment(Frame* frame) {
  Large large = std::move(large_.front());
  large_.pop_front();
  v1::Fragment* fragment = frame->mutable_fragment();
  fragment->set_fragment_id(large.id);
  if (large.written == 0) {
    large.frame.SerializeToString(&large.bytes);
    large.frame.Clear();
    fragment->set_total_bytes(large.bytes.size());
  }
  const size_t size = std::min(kFragmentBytes, large.bytes.size() - large.written);
  fragment->set_data(large.bytes.data() + large.written, size);
  large.written += size;
  waiting_bytes_ -= std::min(waiting_bytes_, size);
  if (large.written == large.bytes.size()) {
    fragment->set_last(true);
    large_bytes_ -= large.size;
    BeginLarge();
  } else {
    large_.push_back(std::move(large));  // Large frames take turns, too.
  }
}

template <typename Frame>
std::vector<Frame> FrameOutbox<Frame>::TakeUnsent() {
  std::vector<Frame> unsent;
  for (auto& [frame, bytes] : small_) unsent.push_back(std::move(frame));
  for (auto* const queue : {&large_, &large_waiting_}) {
    for (Large& large : *queue) {
      if (large.written == 0) unsent.push_back(std::move(large.frame));
    }
    queue->clear();
  }
  small_.clear();
  large_bytes_ = 0;
  waiting_bytes_ = 0;
  return unsent;
}

template <typename Frame>
typename FrameAssembler<Frame>::Added FrameAssembler<Frame>::Add(Frame* frame) {
  v1::Fragment& fragment = *frame->mutable_fragment();
  const uint64_t id = fragment.fragment_id();
  const auto [found, is_new] = partial_.try_emplace(id);
  Partial& partial = found->second;
  if (is_new) {
    if (fragment.total_bytes() == 0 || fragment.total_bytes() > bytes_max_) return Added::kBroken;
    if (partial_.size() > kUnfinishedMax) return Added::kBroken;
    partial.total = fragment.total_bytes();
  }
  bytes_ += fragment.data().size();
  const size_t size = partial.bytes.size() + fragment.data().size();
  if (bytes_ > bytes_max_ || size > partial.total) return Added::kBroken;
  // What is announced may never come: memory follows what has come, at most twice as much.
  if (size > partial.bytes.capacity()) partial.bytes.reserve(std::min<size_t>(partial.total, 2 * size));
  partial.bytes.append(fragment.data());
  if (!fragment.last()) return Added::kMore;
  const Partial complete = std::move(partial);
  partial_.erase(id);
  bytes_ -= complete.bytes.size();
  if (complete.bytes.size() != complete.total || !frame->ParseFromString(complete.bytes)) return Added::kBroken;
  return Added::kComplete;
}

template class FrameOutbox<v1::ControlFrame>;
template class FrameOutbox<v1::EdgeFrame>;
template class FrameAssembler<v1::ControlFrame>;
template class FrameAssembler<v1::EdgeFrame>;

}  // namespace toolwire
