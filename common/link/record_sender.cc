// What waits is in one list for each class, large frames in one for each payer until they begin. A record is made when
// the connection can take it, is numbered then, and stays in `retained_` until it is acknowledged; a new connection
// begins at the first that is. The window of pieces follows the time from writing a piece to its acknowledgement: it
// grows by a part of what is acknowledged while that is little more than the least of late, and shrinks in proportion,
// once in a round trip, when it is more. What is under way without a pause hides how long a trip takes by itself: now
// and then the window closes until that is seen.
#include "common/link/record_sender.h"

#include <google/protobuf/io/coded_stream.h>

#include <algorithm>
#include <cassert>
#include <utility>

namespace toolwire {
namespace {

// How long the least trip is believed: routes change.
constexpr Duration kTripBelieved = std::chrono::seconds(10);
// What one that waits takes beside its bytes: its node and its places in the indexes.
constexpr size_t kWaitingMemory = 320;

uint64_t Microseconds(MonoTime time) {
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch()).count());
}

// A record with this frame, which is serialized where it belongs, not first by itself: that would be a third of what a
// lone call costs at its link. REQUIRES: frame.ByteSizeLong() was called last.
std::string WithFrame(const v1::LinkRecord& record, const google::protobuf::MessageLite& frame) {
  using google::protobuf::io::CodedOutputStream;
  constexpr uint32_t kTag = v1::LinkRecord::kFrameFieldNumber << 3 | 2;  // Of a length and bytes.
  const auto size = static_cast<uint32_t>(frame.GetCachedSize());
  assert(size == frame.ByteSizeLong());
  std::string bytes(record.ByteSizeLong() + CodedOutputStream::StaticVarintSize32<kTag>::value +
                        CodedOutputStream::VarintSize32(size) + size,
                    '\0');
  auto* at = reinterpret_cast<uint8_t*>(bytes.data());
  at = record.SerializeWithCachedSizesToArray(at);
  at = CodedOutputStream::WriteTagToArray(kTag, at);
  at = CodedOutputStream::WriteVarint32ToArray(size, at);
  frame.SerializeWithCachedSizesToArray(at);
  return bytes;
}

}  // namespace

// --- what waits ------------------------------------------------------------------------------------------------------

RecordSender::Pushed RecordSender::Push(LinkItem&& item) {
  const bool large = item.bytes.size() > kWholeBytesMax;
  if (item.bytes.size() > receiver_.frame_bytes_max || (large && receiver_.unfinished_max == 0)) {
    return Pushed::kTooLarge;
  }
  const size_t memory = item.bytes.capacity() + kWaitingMemory;
  Payer& payer = payers_[item.payer];
  // One frame may always wait, since the limit may be smaller than a frame.
  if (item.cls != LinkItem::Class::kWord && waits()) {
    const size_t left = waiting_bytes_max_ - std::min(waiting_bytes_max_, waiting_bytes_);
    if (memory > left || payer.bytes + memory > kShare * left) {
      if (payer.bytes == 0) payers_.erase(item.payer);
      return Pushed::kShareFull;
    }
  }
  payer.bytes += memory;
  waiting_bytes_ += memory;
  ++waiting_count_;
  if (large && payer.large.empty() && !payer.begun) AwaitTurn(item.payer, &payer);
  Waiting waiting{std::move(item), memory};
  Queue& queue = QueueOf(waiting, payer);
  queue.push_back(std::move(waiting));
  const auto at = std::prev(queue.end());
  if (const uint64_t ref = at->item.ref; ref != 0) {
    payer.refs.insert(ref);
    by_ref_[ref] = at;
    by_expiry_.emplace(at->item.expires, ref);
  }
  return Pushed::kTaken;
}

// A payer's place changes with the map's growth: what waits does not keep it.
RecordSender::Queue& RecordSender::QueueOf(const Waiting& waiting, Payer& payer) {
  if (waiting.number != 0) return begun_;
  if (waiting.item.bytes.size() > kWholeBytesMax) return payer.large;
  return waiting.item.cls == LinkItem::Class::kWord ? words_ : small_;
}

void RecordSender::Erase(Queue::iterator at) {
  waiting_bytes_ -= at->memory;
  --waiting_count_;
  const auto found = payers_.find(at->item.payer);
  Payer& payer = found->second;
  payer.bytes -= at->memory;
  if (const uint64_t ref = at->item.ref; ref != 0) {
    payer.refs.erase(ref);
    by_ref_.erase(ref);
    by_expiry_.erase({at->item.expires, ref});
  }
  Queue& queue = QueueOf(*at, payer);
  if (&queue == &begun_) {
    begun_bytes_ -= at->item.bytes.size();
    payer.begun = false;
    if (!payer.large.empty()) AwaitTurn(found->first, &payer);
  } else if (&queue == &payer.large && queue.size() == 1 && !payer.begun) {
    turns_.erase(payer.turn);
  }
  queue.erase(at);
  if (payer.bytes == 0) payers_.erase(found);
}

bool RecordSender::Withdraw(uint64_t ref) {
  const auto found = by_ref_.find(ref);
  if (found == by_ref_.end()) return false;
  const Queue::iterator at = found->second;
  if (at->written > 0) aborts_.push_back(at->number);
  Erase(at);
  return true;
}

std::vector<uint64_t> RecordSender::WithdrawPayer(uint64_t payer) {
  const auto found = payers_.find(payer);
  if (found == payers_.end()) return {};
  const std::vector<uint64_t> refs(found->second.refs.begin(), found->second.refs.end());
  for (const uint64_t ref : refs) Withdraw(ref);
  return refs;
}

std::vector<uint64_t> RecordSender::Expire(MonoTime now, size_t at_most) {
  std::vector<uint64_t> refs;
  while (!by_expiry_.empty() && by_expiry_.begin()->first <= now && refs.size() < at_most) {
    refs.push_back(by_expiry_.begin()->second);
    Withdraw(refs.back());
  }
  return refs;
}

// Of each payer whose turn it is one frame, for as long as the receiver takes more.
void RecordSender::Begin() {
  while (!turns_.empty() && begun_.size() < receiver_.unfinished_max) {
    Payer& payer = payers_.find(turns_.front())->second;
    Queue& large = payer.large;
    const size_t bytes = large.front().item.bytes.size();
    if (!begun_.empty() && begun_bytes_ + bytes > receiver_.unfinished_bytes_max) return;
    begun_bytes_ += bytes;
    large.front().number = ++last_frame_;
    begun_.splice(begun_.end(), large, large.begin());
    payer.begun = true;
    turns_.pop_front();
  }
}

// --- saying ----------------------------------------------------------------------------------------------------------

bool RecordSender::Next(MonoTime now, std::string_view* record) {
  // What is said again says what had come when it was made.
  if (std::exchange(word_first_, false) || (written_ != last_number() && ack_owed())) {
    *record = Word(now);
    return true;
  }
  // After a new connection, first what the receiver does not have.
  if (written_ == last_number() && (!Open() || !MakeRecord(now))) return false;
  *record = retained_[written_ - acked_].bytes;
  ++written_;
  return true;
}

std::string_view RecordSender::SayNow(const google::protobuf::MessageLite& frame, MonoTime now) {
  scratch_.Clear();
  Keep(now, 0, &frame);
  ++written_;
  return retained_.back().bytes;
}

bool RecordSender::MakeRecord(MonoTime now) {
  Begin();
  const bool whole = !words_.empty() || !small_.empty();
  const bool piece = !begun_.empty() && LargeOpen();
  scratch_.Clear();
  uint64_t last_of = 0;
  if (!aborts_.empty()) {
    scratch_.set_abort(aborts_.back());
    aborts_.pop_back();
  } else if (piece && (!whole || piece_turn_)) {
    piece_turn_ = false;
    TakePiece(scratch_.mutable_piece(), &last_of);
  } else if (whole) {
    piece_turn_ = true;
    TakeWhole(scratch_.mutable_frame());
  } else if (end_ && !waits()) {
    end_ = false;
    scratch_.set_end(true);
  } else {
    return false;
  }
  Keep(now, last_of);
  return true;
}

void RecordSender::Keep(MonoTime now, uint64_t last_of, const google::protobuf::MessageLite* frame) {
  scratch_.set_number(last_number() + 1);
  scratch_.set_received(received_);
  received_said_ = received_;
  scratch_.set_clock_us(Microseconds(now));
  const size_t piece_bytes = scratch_.piece().data().size();
  std::string bytes = frame == nullptr ? scratch_.SerializeAsString() : WithFrame(scratch_, *frame);
  retained_.push_back({std::move(bytes), piece_bytes, last_of, now});
  unacked_bytes_ += MemoryOf(retained_.back());
  pieces_bytes_ += piece_bytes;
}

// Words first, then small frames, for as long as they fit.
void RecordSender::TakeWhole(std::string* frame) {
  for (Queue* const queue : {&words_, &small_}) {
    while (!queue->empty()) {
      std::string& bytes = queue->front().item.bytes;
      if (!frame->empty() && frame->size() + bytes.size() > merged_bytes_max_) return;
      frame->append(bytes);
      Erase(queue->begin());
    }
  }
}

void RecordSender::TakePiece(v1::LinkPiece* piece, uint64_t* last_of) {
  const Queue::iterator at = begun_.begin();
  const std::string& bytes = at->item.bytes;
  piece->set_frame_number(at->number);
  if (at->written == 0) piece->set_total_bytes(bytes.size());
  const size_t size = std::min(kPieceBytes, bytes.size() - at->written);
  piece->set_data(bytes.data() + at->written, size);
  at->written += size;
  if (at->written == bytes.size()) {
    piece->set_last(true);
    *last_of = at->item.ref;
    Erase(at);
  } else {
    begun_.splice(begun_.end(), begun_, at);  // They take turns.
  }
}

std::string_view RecordSender::Word(MonoTime now) {
  scratch_.Clear();
  scratch_.set_received(received_);
  received_said_ = received_;
  scratch_.set_clock_us(Microseconds(now));
  scratch_.SerializeToString(&word_);
  return word_;
}

bool RecordSender::Acked(uint64_t number, MonoTime now) {
  if (number > written_) return false;
  if (number <= acked_) return true;  // Said again on a new connection.
  const bool used = pieces_bytes_ + kPieceBytes > window_;
  size_t piece_bytes = 0;
  MonoTime made;
  while (acked_ < number) {
    if (retained_.front().piece_bytes > 0) made = retained_.front().made;
    piece_bytes += DropFirst();
  }
  if (piece_bytes > 0 && acked_ > trips_from_) Measure(now - made, piece_bytes, used, now);
  return true;
}

size_t RecordSender::DropFirst() {
  const size_t piece_bytes = retained_.front().piece_bytes;
  pieces_bytes_ -= piece_bytes;
  unacked_bytes_ -= MemoryOf(retained_.front());
  retained_.pop_front();
  ++acked_;
  return piece_bytes;
}

// `trip`: of the last of the pieces that were acknowledged. `used`: the window was full; one that is not says nothing
// of what the connection carries.
void RecordSender::Measure(Duration trip, size_t acked_bytes, bool used, MonoTime now) {
  if (now - trip_since_ > kTripBelieved / 2) {
    trip_since_ = now;
    trip_least_before_ = std::exchange(trip_least_, trip);
    if (trip_least_before_ != Duration::max() && window_after_ == 0) {
      window_after_ = std::exchange(window_, 2 * kPieceBytes);
      narrowed_at_ = last_number();
    }
  }
  trip_least_ = std::min(trip_least_, trip);
  if (window_after_ > 0) {
    if (acked_ > narrowed_at_) window_ = std::exchange(window_after_, 0);
    return;
  }
  const Duration good = std::min(trip_least_, trip_least_before_) + kQueueDelayMax;
  if (trip <= good) {
    // By a quarter in a round trip, since it takes one until a queue is seen.
    if (used) window_ = std::min(window_ + acked_bytes / 4, kUnackedBytesMax);
  } else if (acked_ > narrowed_at_) {
    narrowed_at_ = last_number();
    window_ = std::max<size_t>(
        2 * kPieceBytes, static_cast<size_t>(static_cast<double>(window_) *
                                             (static_cast<double>(good.count()) / static_cast<double>(trip.count()))));
  }
}

// --- connections -----------------------------------------------------------------------------------------------------

void RecordSender::Resume(uint64_t received) {
  trips_from_ = last_number();  // Those of what is said again say nothing.
  while (acked_ < received) DropFirst();
  written_ = acked_;
  word_first_ = !retained_.empty();
  received_said_ = received_;  // The hello has said it.
}

RecordSender::Unsent RecordSender::TakeUnsent(bool receiver_ended) {
  Unsent unsent;
  for (const auto& [ref, at] : by_ref_) unsent.refs.push_back(ref);
  const uint64_t sent = receiver_ended ? acked_ : std::max(acked_, taken_);
  for (uint64_t number = sent + 1; number <= last_number(); ++number) {
    const Record& record = retained_[number - acked_ - 1];
    if (record.ref != 0) unsent.refs.push_back(record.ref);
    if (scratch_.ParseFromString(record.bytes) && !scratch_.frame().empty()) {
      unsent.frames.push_back(std::move(*scratch_.mutable_frame()));
    }
  }
  by_ref_.clear();
  by_expiry_.clear();
  for (Queue* const queue : {&words_, &small_, &begun_}) queue->clear();
  payers_.clear();
  turns_.clear();
  aborts_.clear();
  waiting_count_ = waiting_bytes_ = begun_bytes_ = 0;
  return unsent;
}

}  // namespace toolwire
