#include "control/carry.h"

#include <utility>

namespace toolwire {
namespace {

using Moved = TlsStream::Moved;

}  // namespace

CarryWay::Next CarryWay::Go(char* scratch, size_t size) {
  const std::string kept = std::exchange(rest_, {});
  std::string_view bytes = kept;
  size_t moved = 0;
  bool more = true;  // May be there at once.
  for (int reads = 0;; ++reads) {
    while (!bytes.empty()) {
      const Moved written = to_.Write(bytes.data(), bytes.size());
      if (written.status != TlsStream::Status::kDone) return Keep(bytes, written.status);
      bytes.remove_prefix(written.bytes);
      moved += written.bytes;
    }
    if (from_ended_) {
      to_.EndWrites();
      return Next::kEnded;
    }
    if (!more) return Next::kFromReadable;
    if (moved >= kTurnBytesMax || reads == kTurnReadsMax) return Next::kTurn;
    const Moved read = from_.Read(scratch, size);
    switch (read.status) {
      case TlsStream::Status::kDone:
        bytes = {scratch, read.bytes};
        // After a short read there is seldom more, and the wait for it notices if there is.
        more = read.bytes > size / 2 || from_.HasBuffered();
        break;
      case TlsStream::Status::kWantsRead:
        return Next::kFromReadable;
      case TlsStream::Status::kWantsWrite:
        return Next::kFromWritable;
      case TlsStream::Status::kClosed:
        from_ended_ = true;
        break;
      case TlsStream::Status::kFailed:
        return Next::kFromFailed;
    }
  }
}

CarryWay::Next CarryWay::Keep(std::string_view bytes, TlsStream::Status status) {
  switch (status) {
    case TlsStream::Status::kWantsWrite:
      rest_ = std::string(bytes);
      return Next::kToWritable;
    case TlsStream::Status::kWantsRead:
      rest_ = std::string(bytes);
      return Next::kToReadable;
    default:
      return Next::kToLost;
  }
}

}  // namespace toolwire
