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
        const bool is_right = place_ == Place::kFirstLine || EndValue();
        place_ = Place::kLineFeed;
        return is_right;
      }
      if (place_ == Place::kFirstLine) return !is_control;
      return (!is_control || byte == '\t') && TakeValue(byte);
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
      return byte == '\n' && !(came_[kLength] && came_[kEncoding]);
    case Place::kBehind:
      return true;
  }
  return false;
}

bool RequestHead::TakeName() {
  const std::string_view name(name_.data(), name_size_);
  header_ = kHeaders;
  began_ = paused_ = false;
  for (size_t i = 0; i < kHeaders; ++i) {
    if (name != kNames[i]) continue;
    header_ = static_cast<Header>(i);
    return !std::exchange(came_[i], true) || i >= kSingles;
  }
  return !name.empty();
}

bool RequestHead::TakeValue(char byte) {
  if (header_ != kHost && header_ != kLength) return true;
  if (byte == ' ' || byte == '\t') {
    paused_ = began_;
    return true;
  }
  const auto c = static_cast<unsigned char>(byte);
  // Several lengths that do not differ are one. A name may be of bytes that are no ASCII.
  if (header_ == kLength) {
    began_ = true;
    return absl::ascii_isdigit(c) || c == ',';
  }
  const bool is_of_host = absl::ascii_isalnum(c) || c >= 0x80 ||
                          std::string_view("-._~%!$&'()*+;=:[]").find(byte) != std::string_view::npos;
  began_ = true;
  return is_of_host && !paused_;
}

bool RequestHead::EndValue() const { return header_ != kLength || began_; }

}  // namespace toolwire
