// Bytes from one end of a connection to the other, one way, without sockets: with TLS at one end and gRPC at the other.
#ifndef TOOLWIRE_CONTROL_CARRY_H_
#define TOOLWIRE_CONTROL_CARRY_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include "common/tls/tls_stream.h"

namespace toolwire {

// An end that bytes come from or go to; no method waits. As of TlsStream: after a write that was not done the next one
// begins with the same bytes, and has no fewer.
class CarryEnd {
 public:
  virtual ~CarryEnd() = default;
  virtual TlsStream::Moved Read(char* buffer, size_t size) = 0;
  virtual TlsStream::Moved Write(const char* data, size_t size) = 0;
  // Read may return bytes that a wait for the end does not notice.
  virtual bool HasBuffered() const = 0;
  // Nothing more is written: the other side reads what was, and then the end.
  virtual void EndWrites() = 0;
};

// One direction. It holds what its destination does not take yet, and then reads no more of its source: who is slow
// slows down the other side.
class CarryWay {
 public:
  // Of one `Go`: then others have their turn. Records are counted, too, as they may have a byte each.
  static constexpr size_t kTurnBytesMax = 256u << 10;
  static constexpr int kTurnReadsMax = 32;

  // What Go waits for, or how the way has ended.
  enum class Next {
    kFromReadable,
    kFromWritable,
    kToReadable,
    kToWritable,
    kTurn,        // For its next turn: there is more.
    kEnded,       // The source has ended, and its destination has all of it and knows.
    kToLost,      // The destination takes nothing any more.
    kFromFailed,  // The source broke its protocol. What is held is dropped.
  };

  CarryWay(CarryEnd& from, CarryEnd& to) : from_(from), to_(to) {}

  // Bytes that were read of the source already; before the first Go.
  void Put(std::string first) { rest_ = std::move(first); }
  // Moves what there is. `scratch` is of use during the call only; what is left in it is kept: so `size` bounds what
  // one way holds.
  Next Go(char* scratch, size_t size);
  // Bytes that the destination has not taken.
  size_t held() const { return rest_.size(); }

 private:
  Next Keep(std::string_view bytes, TlsStream::Status status);

  CarryEnd& from_;
  CarryEnd& to_;
  std::string rest_;
  bool from_ended_ = false;
};

}  // namespace toolwire

#endif  // TOOLWIRE_CONTROL_CARRY_H_
