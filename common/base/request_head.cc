#include "common/base/request_head.h"

#include <utility>

#include "absl/strings/ascii.h"

namespace toolwire {

bool RequestHead::Take(std::string_view bytes) {
  for (const char byte : bytes) {
    if (place_ == Place::kBehind) return true;
    if (!TakeOne(byte)) return false;
  }
  return true;
}

bool RequestHead::TakeOne(char byte) {
  const bool is_control = static_cast<unsigned char>(byte) < 0x20 || byte == 0x7f;
  switch (place_) {
    case Place::kFirstLine:
    case Place::kValue:
      if (byte == '\r') {
        place_ = Place::kLineFeed;
        return true;
      }
      return !is_control || (byte == '\t' && place_ == Place::kValue);
    case Place::kLineFeed:
      place_ = Place::kLineStart;
      return byte == '\n';
    case Place::kLineStart:
      name_size_ = 0;
      if (byte == '\r') {
        place_ = Place::kLastLineFeed;
        return true;
      }
      place_ = Place::kName;
      [[fallthrough]];
    case Place::kName:
      if (byte == ':') {
        place_ = Place::kValue;
        return TakeName();
      }
      if (name_size_ < name_.size()) name_[name_size_++] = absl::ascii_tolower(static_cast<unsigned char>(byte));
      return !is_control && byte != ' ';
    case Place::kLastLineFeed:
      place_ = Place::kBehind;
      return byte == '\n';
    case Place::kBehind:
      return true;
  }
  return false;
}

bool RequestHead::TakeName() {
  const std::string_view name(name_.data(), name_size_);
  for (size_t i = 0; i < kSingles; ++i) {
    if (name == kNames[i]) return !std::exchange(came_[i], true);
  }
  return !name.empty();
}

}  // namespace toolwire
