// One direction of a link's conversation, at its receiver: which records have come, frames put together from their
// pieces, and how long each was on its way. Pure: no socket, no time of its own.
#ifndef TOOLWIRE_COMMON_LINK_RECORD_RECEIVER_H_
#define TOOLWIRE_COMMON_LINK_RECORD_RECEIVER_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

#include "absl/container/flat_hash_map.h"
#include "common/base/clock.h"
#include "common/link/record_sender.h"
#include "toolwire/v1/relay.pb.h"

namespace toolwire {

// Not thread-safe: the thread that reads the connection owns it.
class RecordReceiver {
 public:
  // `own`: what this side's hello has said that it takes.
  explicit RecordReceiver(const RecordSender::Limits& own) : own_(own) {}

  // kNothing: a word, a piece, what has come before, or a record of a kind that is not known. kFrame: `frame()` is
  // whole. kEnd: the sender says nothing more. kBroken: it makes no sense, `error()` says why; the conversation must
  // end, and nothing more is taken.
  enum class Got { kNothing, kFrame, kEnd, kBroken };
  Got Take(std::string_view record, MonoTime now);
  // Only what the record says in passing: nothing is taken any more.
  void Hear(std::string_view record, MonoTime now);
  // Valid until the next Take; may be moved from.
  std::string& frame() { return frame_; }
  const char* error() const { return error_; }
  // Whether the last record was a piece.
  bool was_piece() const { return record_.has_piece(); }

  uint64_t received() const { return received_; }                // The number of the last record that has come.
  uint64_t peer_received() const { return peer_received_; }      // And of this side's, at the peer, as it has said.
  size_t unfinished_bytes() const { return unfinished_bytes_; }  // As memory.
  size_t unfinished() const { return unfinished_.size(); }

  // How much longer what counted at `as_of_us` of the sender's clock was on its way than the fastest record of the last
  // minute. 0 for an `as_of_us` of 0.
  Duration Age(uint64_t as_of_us, MonoTime now) const;
  // A new connection may have another way, and the peer's clock may have stood still.
  void ForgetTrips();

 private:
  struct Unfinished {
    std::string bytes;
    uint64_t total = 0;
    size_t counted = 0;  // In unfinished_bytes_.
  };
  Got Broken(const char* why);
  Got TakePiece();
  void Drop(absl::flat_hash_map<uint64_t, Unfinished>::iterator at);
  void Heard(uint64_t clock_us, MonoTime now);

  const RecordSender::Limits own_;
  bool broken_ = false;
  uint64_t received_ = 0;
  uint64_t peer_received_ = 0;
  absl::flat_hash_map<uint64_t, Unfinished> unfinished_;
  size_t unfinished_bytes_ = 0;
  v1::LinkRecord record_;
  std::string frame_;
  const char* error_ = "";

  // The least difference of this clock to the sender's, in microseconds, of two half minutes.
  static constexpr int64_t kNone = std::numeric_limits<int64_t>::max();
  int64_t least_ = kNone, least_before_ = kNone;
  MonoTime least_since_{};
};

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_LINK_RECORD_RECEIVER_H_
