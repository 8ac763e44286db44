#include "common/link/record_receiver.h"

#include <algorithm>
#include <utility>

namespace toolwire {
namespace {

constexpr Duration kHalfMinute = std::chrono::seconds(30);
// Longer than any call may take.
constexpr uint64_t kAgeMaxUs = 24ull * 3600 * 1'000'000;

// A peer may say any clock: the difference wraps around, and only that peer's records are judged by it.
int64_t Since(uint64_t clock_us, MonoTime now) {
  const auto now_us = std::chrono::duration_cast<std::chrono::microseconds>(now.time_since_epoch()).count();
  return static_cast<int64_t>(static_cast<uint64_t>(now_us) - clock_us);
}

}  // namespace

RecordReceiver::Got RecordReceiver::Broken(const char* why) {
  error_ = why;
  broken_ = true;
  return Got::kBroken;
}

RecordReceiver::Got RecordReceiver::Take(std::string_view bytes, MonoTime now) {
  if (broken_) return Got::kBroken;
  if (frame_.capacity() > 2 * RecordSender::kWholeBytesMax) std::string().swap(frame_);  // It was a large one.
  if (bytes.size() > std::numeric_limits<int>::max() ||
      !record_.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return Broken("what it says is no record");
  }
  peer_received_ = std::max(peer_received_, record_.received());
  Heard(record_.clock_us(), now);
  if (record_.number() <= received_) return Got::kNothing;  // A word, or said again.
  if (record_.number() != received_ + 1) return Broken("records are missing");
  received_ = record_.number();
  if (record_.has_piece()) return TakePiece();
  if (record_.end()) return Got::kEnd;
  if (record_.abort() != 0) {
    const auto aborted = unfinished_.find(record_.abort());
    if (aborted == unfinished_.end()) return Broken("it withdraws what has not begun");
    Drop(aborted);
    return Got::kNothing;
  }
  if (record_.frame().empty()) return Got::kNothing;  // Of a newer peer.
  if (record_.frame().size() > own_.frame_bytes_max) return Broken("a frame is too large");
  frame_.swap(*record_.mutable_frame());
  return Got::kFrame;
}

void RecordReceiver::Hear(std::string_view bytes, MonoTime now) {
  if (!record_.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return;
  peer_received_ = std::max(peer_received_, record_.received());
  Heard(record_.clock_us(), now);
}

RecordReceiver::Got RecordReceiver::TakePiece() {
  const v1::LinkPiece& piece = record_.piece();
  const auto [at, begins] = unfinished_.try_emplace(piece.frame_number());
  Unfinished& frame = at->second;
  if (begins) {
    frame.total = piece.total_bytes();
    if (frame.total == 0 || frame.total > own_.frame_bytes_max) return Broken("a frame is too large");
    if (unfinished_.size() > own_.unfinished_max) return Broken("too many frames are not complete");
  }
  const size_t size = frame.bytes.size() + piece.data().size();
  if (piece.data().empty() || size > frame.total) return Broken("a piece does not fit");
  // What is announced may never come: memory follows what has come, at most twice as much.
  if (size > frame.bytes.capacity()) frame.bytes.reserve(std::min<size_t>(frame.total, 2 * size));
  frame.bytes.append(piece.data());
  unfinished_bytes_ += frame.bytes.capacity() - frame.counted;
  frame.counted = frame.bytes.capacity();
  // The sender counts whole frames, of which it begins one in any case.
  if (unfinished_bytes_ > 2 * std::max(own_.unfinished_bytes_max, own_.frame_bytes_max)) {
    return Broken("too much is not complete");
  }
  if (!piece.last()) return Got::kNothing;
  if (size != frame.total) return Broken("a frame is not complete with its last piece");
  frame_ = std::move(frame.bytes);
  Drop(at);
  return Got::kFrame;
}

void RecordReceiver::Drop(absl::flat_hash_map<uint64_t, Unfinished>::iterator at) {
  unfinished_bytes_ -= at->second.counted;
  unfinished_.erase(at);
}

void RecordReceiver::Heard(uint64_t clock_us, MonoTime now) {
  if (clock_us == 0) return;
  if (now - least_since_ > kHalfMinute) {
    least_since_ = now;
    least_before_ = std::exchange(least_, kNone);
  }
  least_ = std::min(least_, Since(clock_us, now));
}

void RecordReceiver::ForgetTrips() { least_ = least_before_ = kNone; }

Duration RecordReceiver::Age(uint64_t as_of_us, MonoTime now) const {
  const int64_t least = std::min(least_, least_before_);
  if (as_of_us == 0 || least == kNone) return Duration::zero();
  const int64_t since = Since(as_of_us, now);
  if (since <= least) return Duration::zero();
  const uint64_t age = static_cast<uint64_t>(since) - static_cast<uint64_t>(least);
  return std::chrono::microseconds(std::min(age, kAgeMaxUs));
}

}  // namespace toolwire
