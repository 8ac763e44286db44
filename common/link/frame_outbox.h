// What waits to be written on one side of a control-edge link: coalesced when it is small, cut when it is large.
#ifndef TOOLWIRE_COMMON_LINK_FRAME_OUTBOX_H_
#define TOOLWIRE_COMMON_LINK_FRAME_OUTBOX_H_

#include <cstdint>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "toolwire/v1/relay.pb.h"

namespace toolwire {

// Moves everything in `from` to the end of `*to`.
void AppendFrame(v1::ControlFrame&& from, v1::ControlFrame* to);
void AppendFrame(v1::EdgeFrame&& from, v1::EdgeFrame* to);

// Frames of one link that come in pieces and are not complete: how many, as an outbox of 512 MiB may cut if each is
// just over kWholeBytesMax, and how many bytes, for payloads of that size. A sender begins no more than a receiver
// takes.
constexpr size_t kUnfinishedMax = 4096;
constexpr size_t UnfinishedBytesMax(size_t payload_bytes_max) { return 16 * payload_bytes_max + (1u << 20); }

// Frames of one direction of one link. Whatever fits in one frame keeps its order. A frame of up to kWholeBytesMax
// goes out whole, together with its neighbours; a larger one is cut into fragments that alternate with whatever else is
// waiting, so that a 16 MiB result delays a small call by one fragment at most. Large frames past what may be
// unfinished at once wait in order until others are complete.
//
// Not thread-safe: the lock of the socket that owns it covers it.
template <typename Frame>
class FrameOutbox {
 public:
  static constexpr size_t kWholeBytesMax = 128u << 10;
  static constexpr size_t kFragmentBytes = 128u << 10;

  // `bytes_max`: what may wait; a push beyond it is refused, unless nothing waits. `unfinished_bytes_max`: as the
  // peer's FrameAssembler.
  FrameOutbox(size_t bytes_max, size_t unfinished_bytes_max)
      : bytes_max_(bytes_max), unfinished_bytes_max_(unfinished_bytes_max) {}

  // False: full; the frame was not taken and is as it was.
  bool Push(Frame&& frame);
  // The next frame to write. False: nothing waits.
  bool Next(Frame* frame);
  // What will never be written, once the link is broken: for a control, calls that did not leave. A frame of which a
  // piece was written is not among them.
  std::vector<Frame> TakeUnsent();
  size_t waiting_bytes() const { return waiting_bytes_; }

 private:
  struct Large {
    Frame frame;        // Kept until the first piece goes out.
    std::string bytes;  // The serialized frame from then on.
    size_t size = 0;
    uint64_t id = 0;
    size_t written = 0;
  };
  void Add(Frame&& frame, size_t bytes);
  void BeginLarge();
  void NextFragment(Frame* frame);

  const size_t bytes_max_;
  const size_t unfinished_bytes_max_;
  bool fragment_turn_ = false;
  uint64_t last_fragment_id_ = 0;
  size_t waiting_bytes_ = 0;
  std::deque<std::pair<Frame, size_t>> small_;
  std::deque<Large> large_;  // They take turns.
  size_t large_bytes_ = 0;   // Of these, whole: at most unfinished_bytes_max_, or one frame.
  std::deque<Large> large_waiting_;
};

// Puts fragments together again. Not thread-safe: the link's reader owns it.
template <typename Frame>
class FrameAssembler {
 public:
  // `bytes_max`: what has come of all unfinished frames together, and the announced size of each.
  explicit FrameAssembler(size_t bytes_max) : bytes_max_(bytes_max) {}

  enum class Added { kMore, kComplete, kBroken };
  // Takes the fragment of `*frame`. kComplete: `*frame` is now the frame that was cut. kBroken: the peer does not keep
  // to the protocol; the link must end.
  Added Add(Frame* frame);

 private:
  struct Partial {
    std::string bytes;
    uint64_t total = 0;
  };
  const size_t bytes_max_;
  size_t bytes_ = 0;
  absl::flat_hash_map<uint64_t, Partial> partial_;
};

extern template class FrameOutbox<v1::ControlFrame>;
extern template class FrameOutbox<v1::EdgeFrame>;
extern template class FrameAssembler<v1::ControlFrame>;
extern template class FrameAssembler<v1::EdgeFrame>;

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_LINK_FRAME_OUTBOX_H_
