// One end of a control-edge link: protobuf frames over one TCP connection, coalesced, cut, probed.
//
// On the wire, each way: the 8 bytes of kRelayPreface, then frames, each a length (4 bytes, little-endian) and that
// many bytes of a serialized ControlFrame or EdgeFrame. Two lengths mean something else: the peer answers kProbe with
// kProbeAnswer at once.
#ifndef TOOLWIRE_COMMON_LINK_RELAY_SOCKET_H_
#define TOOLWIRE_COMMON_LINK_RELAY_SOCKET_H_

#include <asio.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/link/frame_outbox.h"
#include "toolwire/v1/relay.pb.h"

namespace toolwire {

// Ends in the protocol's version. Peers that send anything else, such as an HTTP client, are cut.
constexpr char kRelayPreface[] = "TWRELAY1";
constexpr size_t kRelayPrefaceBytes = sizeof kRelayPreface - 1;

// Takes a link's bytes apart. Pure: no socket, no time. Not thread-safe.
template <typename Frame>
class RelayReader {
 public:
  // Whole frames and fragments are smaller than this; a longer one breaks the protocol.
  static constexpr size_t kPieceBytesMax = 256u << 10;

  // `unfinished_bytes_max`: of all frames together that come in pieces and are not complete.
  explicit RelayReader(size_t unfinished_bytes_max) : assembler_(unfinished_bytes_max) {}

  // Where the next bytes go, never empty; then how many came.
  asio::mutable_buffer Space();
  void Added(size_t bytes) { end_ += bytes; }

  enum class Got { kNothing, kPreface, kFrame, kProbe, kBroken };
  // The next thing in what was added: first kPreface, once, then frames. kNothing: more bytes are needed. kBroken: the
  // peer does not speak this protocol; call no more.
  Got Next(Frame* frame);

 private:
  bool preface_seen_ = false;
  std::string buffer_ = std::string(64u << 10, '\0');
  size_t begin_ = 0, end_ = 0;  // What of the buffer has been added and not been taken.
  FrameAssembler<Frame> assembler_;
};

// The socket of one end. `Send` writes in the calling thread when the kernel takes it at once, so a frame needs no
// thread but its sender's; everything else happens on the loop that runs `socket`. Frames of one thread keep their
// order. A peer that is silent for too long is cut, also while much is being sent to it.
template <typename Out, typename In>
class RelaySocket : public std::enable_shared_from_this<RelaySocket<Out, In>> {
 public:
  struct Options {
    size_t outbox_bytes_max;      // Frames that wait because the peer does not read; more are refused.
    size_t unfinished_bytes_max;  // UnfinishedBytesMax, of both directions.
    Duration silence_max;         // Without a byte from a peer that is probed four times a second.
  };
  // All on the loop. `closed` comes once and last; until then the socket keeps itself and these alive.
  struct Events {
    std::function<void()> opened;                        // The peer speaks this protocol.
    std::function<bool(In&& frame)> frame;               // False: the link must end.
    std::function<void(const std::string& why)> closed;  // Nothing more will be sent or received.
  };

  RelaySocket(asio::ip::tcp::socket socket, const Options& options);

  // Loop thread, once.
  void Start(Events events);
  // Any thread, never blocks. False: the link has ended or the outbox is full, and nothing of the frame leaves.
  bool Send(Out&& frame);
  // Any thread. Ends this direction once everything that waits is written, and the link when the peer ends its own.
  void EndWhenWritten();
  // Any thread. Ends the link now.
  void Close(const std::string& why);
  // After `closed`: frames of which nothing was written.
  std::vector<Out> TakeUnsent();

 private:
  void Read();
  bool HandleAll();
  void Tick();
  void SendControlWord(uint32_t word);
  void WriteLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void AwaitWritableLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void CloseOnLoop(const std::string& why);

  const Options options_;
  // Loop thread only.
  asio::ip::tcp::socket socket_;
  asio::steady_timer ticker_;
  Events events_;
  RelayReader<In> reader_;
  In incoming_;
  int silent_ticks_ = 0;

  Mutex mu_;
  FrameOutbox<Out> outbox_ ABSL_GUARDED_BY(mu_);
  Out outgoing_ ABSL_GUARDED_BY(mu_);
  std::string bytes_ ABSL_GUARDED_BY(mu_);  // What is being written, from `written_` on.
  size_t written_ ABSL_GUARDED_BY(mu_) = 0;
  bool waiting_writable_ ABSL_GUARDED_BY(mu_) = false;
  bool ending_ ABSL_GUARDED_BY(mu_) = false;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;  // The descriptor is not to be used any more.
};

using ControlSocket = RelaySocket<v1::ControlFrame, v1::EdgeFrame>;  // At control.
using EdgeSocket = RelaySocket<v1::EdgeFrame, v1::ControlFrame>;     // At the edge.

extern template class RelayReader<v1::ControlFrame>;
extern template class RelayReader<v1::EdgeFrame>;
extern template class RelaySocket<v1::ControlFrame, v1::EdgeFrame>;
extern template class RelaySocket<v1::EdgeFrame, v1::ControlFrame>;

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_LINK_RELAY_SOCKET_H_
