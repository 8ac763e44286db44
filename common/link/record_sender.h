// One direction of a link's conversation, at its sender: what waits, whose it is, what is said next, and what must be
// said again. Pure: no socket, no time of its own.
#ifndef TOOLWIRE_COMMON_LINK_RECORD_SENDER_H_
#define TOOLWIRE_COMMON_LINK_RECORD_SENDER_H_

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <list>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "common/base/clock.h"
#include "toolwire/v1/relay.pb.h"

namespace toolwire {

// One thing to say, whole in itself: a serialized frame. Frames that follow each other are merged by concatenation, as
// protobuf allows.
struct LinkItem {
  // What bounds it while it waits: a word by what it refers to, all else by its payer's share.
  enum class Class { kWord, kOther };

  std::string bytes;
  uint64_t ref = 0;    // By which it is withdrawn, unique among what waits: a call id. 0: it is not.
  uint64_t payer = 0;  // Whose it is: a hash of a user, a session. 0: nobody's in particular.
  MonoTime expires = MonoTime::max();
  Class cls = Class::kOther;
};

// Says things as numbered records and keeps each until the receiver has acknowledged it.
//
// Classes, best first: words, small frames, pieces of large ones. Words are never refused. Small frames and pieces take
// turns. Large frames are begun in turns by payer, one of each at a time and no more at once than the receiver takes;
// and of their pieces no more is on its way than the connection carries in about kQueueDelayMax: what is said next
// waits no longer than that. What is of one class and one payer arrives in order.
//
// Not thread-safe: the link's lock covers it.
class RecordSender {
 public:
  // A frame of up to this many bytes goes out in one record, merged with its neighbours; a larger one in pieces.
  static constexpr size_t kWholeBytesMax = 128u << 10;
  // 8 ms at 16 MB/s: what a small frame waits for a large one.
  static constexpr size_t kPieceBytes = 64u << 10;
  // Records that are not acknowledged: more than any connection in use holds (100 MB/s over 80 ms).
  static constexpr size_t kUnackedBytesMax = 8u << 20;
  static constexpr Duration kQueueDelayMax = std::chrono::milliseconds(10);
  // A payer's share of what may wait: so many times what is left of it.
  static constexpr size_t kShare = 4;

  // What the receiver takes, of its hello.
  struct Limits {
    size_t frame_bytes_max;
    size_t unfinished_bytes_max;
    size_t unfinished_max;
  };

  // `waiting_bytes_max`: all that waits and is not yet a record, as memory.
  RecordSender(size_t waiting_bytes_max, const Limits& receiver)
      : waiting_bytes_max_(waiting_bytes_max),
        receiver_(receiver),
        merged_bytes_max_(std::min(kWholeBytesMax, receiver.frame_bytes_max)) {}

  // --- what waits ---------------------------------------------------------------------------------------------------
  enum class Pushed { kTaken, kShareFull, kTooLarge };
  Pushed Push(LinkItem&& item);
  // Takes the item out. True: it will certainly not be complete at the receiver. False: it has left, or never waited.
  bool Withdraw(uint64_t ref);
  // The same for all of a payer's that have a ref; returns those.
  std::vector<uint64_t> WithdrawPayer(uint64_t payer);
  // The same for what has expired, at most so many.
  std::vector<uint64_t> Expire(MonoTime now, size_t at_most);
  bool waits() const { return waiting_count_ > 0; }
  size_t waiting_bytes() const { return waiting_bytes_; }

  // --- saying -------------------------------------------------------------------------------------------------------
  // The next record for the connection; valid until the next call of a method that is not const. False: nothing waits,
  // or the receiver must acknowledge first.
  bool Next(MonoTime now, std::string_view* record);
  // Whether a frame can be the next record at once, before anything that waits.
  bool idle() const { return !waits() && aborts_.empty() && written_ == last_number() && Open(); }
  // This frame, of at most kWholeBytesMax, is the next record: without waiting it needs no ref and no payer.
  // REQUIRES: idle(), and frame.ByteSizeLong() was called last.
  std::string_view SayNow(const google::protobuf::MessageLite& frame, MonoTime now);
  // A record of the moment, not numbered: an acknowledgement and a sign of life.
  std::string_view Word(MonoTime now);
  // What this side has from the other: goes with the next record.
  void Received(uint64_t number) { received_ = number; }
  bool ack_owed() const { return received_ != received_said_; }
  uint64_t ack_owed_records() const { return received_ - received_said_; }
  // The receiver has all up to `number`. False: that makes no sense.
  bool Acked(uint64_t number, MonoTime now);
  uint64_t last_number() const { return acked_ + retained_.size(); }  // Of the last record that was made,
  uint64_t acked() const { return acked_; }                           // and that was acknowledged.
  bool all_acked() const { return !waits() && aborts_.empty() && retained_.empty() && !end_; }
  // The last thing: after all that waits, nothing follows it.
  void End() { end_ = true; }

  // --- connections --------------------------------------------------------------------------------------------------
  // Whether the conversation can go on with a receiver that has all up to `received`.
  bool CanResume(uint64_t received) const { return received >= acked_ && received <= last_number(); }
  // It goes on over a new connection: what the receiver does not have is said again, after a word, since the clocks of
  // what is said again are old and the receiver knows no trip of this connection. REQUIRES: CanResume(received).
  void Resume(uint64_t received);
  // The connection has taken all of the records that Next and SayNow gave.
  void Taken() { taken_ = std::max(taken_, written_); }
  // What is certainly not complete at the receiver when the conversation is over.
  struct Unsent {
    std::vector<uint64_t> refs;
    std::vector<std::string> frames;  // Of records.
  };
  // `receiver_ended`: it takes nothing after what it has acknowledged. Else what was taken by a connection may be
  // there.
  Unsent TakeUnsent(bool receiver_ended);

 private:
  struct Waiting {
    LinkItem item;
    size_t memory;
    uint64_t number = 0;  // Of a large one that has begun.
    size_t written = 0;
  };
  using Queue = std::list<Waiting>;
  struct Payer {
    size_t bytes = 0;
    Queue large;                         // Not begun.
    bool begun = false;                  // One has begun: the next one's turn comes when that has left.
    std::list<uint64_t>::iterator turn;  // If any is in `large` and none has begun.
    absl::flat_hash_set<uint64_t> refs;
  };
  struct Record {
    std::string bytes;
    size_t piece_bytes;  // 0: no piece.
    uint64_t ref;        // Of the frame whose last piece it is.
    MonoTime made;
  };
  bool Open() const { return unacked_bytes_ < kUnackedBytesMax; }
  bool LargeOpen() const { return pieces_bytes_ == 0 || pieces_bytes_ + kPieceBytes <= window_; }
  void AwaitTurn(uint64_t key, Payer* payer) { payer->turn = turns_.insert(turns_.end(), key); }
  Queue& QueueOf(const Waiting& waiting, Payer& payer);
  void Erase(Queue::iterator at);
  void Begin();
  bool MakeRecord(MonoTime now);
  void TakeWhole(std::string* frame);
  void TakePiece(v1::LinkPiece* piece, uint64_t* last_of);
  void Keep(MonoTime now, uint64_t last_of = 0, const google::protobuf::MessageLite* frame = nullptr);
  static size_t MemoryOf(const Record& record) { return record.bytes.capacity() + sizeof record; }
  size_t DropFirst();
  void Measure(Duration trip, size_t acked_bytes, bool used, MonoTime now);

  const size_t waiting_bytes_max_;
  const Limits receiver_;
  const size_t merged_bytes_max_;

  // What waits.
  Queue words_, small_;
  absl::flat_hash_map<uint64_t, Payer> payers_;  // Those of whom anything waits.
  std::list<uint64_t> turns_;                    // Payers of whom a large frame can begin, in the order of their turns.
  Queue begun_;                                  // Large frames of which pieces are sent, in turns.
  size_t begun_bytes_ = 0;
  std::vector<uint64_t> aborts_;
  absl::flat_hash_map<uint64_t, Queue::iterator> by_ref_;
  std::set<std::pair<MonoTime, uint64_t>> by_expiry_;
  size_t waiting_count_ = 0;
  size_t waiting_bytes_ = 0;
  uint64_t last_frame_ = 0;
  bool piece_turn_ = false;
  bool end_ = false;
  bool word_first_ = false;

  // What was said. Numbers: acked_ <= written_ <= last_number().
  std::deque<Record> retained_;
  uint64_t acked_ = 0;
  uint64_t written_ = 0;      // The last one given to this connection,
  uint64_t taken_ = 0;        // and taken whole by one.
  size_t unacked_bytes_ = 0;  // As memory.
  size_t pieces_bytes_ = 0;   // Of these, in pieces.
  uint64_t received_ = 0, received_said_ = 0;

  // How much of pieces may be on its way.
  size_t window_ = 4 * kPieceBytes;
  Duration trip_least_ = Duration::max(), trip_least_before_ = Duration::max();
  MonoTime trip_since_{};
  uint64_t trips_from_ = 0;   // The last record that was made before this connection.
  uint64_t narrowed_at_ = 0;  // The last record when the window was last made smaller.
  size_t window_after_ = 0;   // What it is again when a piece made since then has been acknowledged.

  v1::LinkRecord scratch_;
  std::string word_;
};

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_LINK_RECORD_SENDER_H_
