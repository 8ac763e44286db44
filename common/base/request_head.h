// What may be the head of an HTTP request.
#ifndef TOOLWIRE_COMMON_BASE_REQUEST_HEAD_H_
#define TOOLWIRE_COMMON_BASE_REQUEST_HEAD_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace toolwire {

// Whether the bytes of a request keep the rules of RFC 9112 on lines and names, by which a proxy and an edge read the
// same headers in it: lines end with CR LF, no control character is in them but a tab in a value, no line is folded,
// nothing is between a name and its colon, and headers of which there is one come once. A proxy takes
// `X-Forwarded-For : 192.0.2.9` for a header that it does not know, and passes it on behind its own; of two `Host` it
// may read the other. Lengths and what headers mean are not its business.
class RequestHead {
 public:
  // The next bytes, in any pieces. False once they break a rule. Of what follows the head nothing is asked.
  bool Take(std::string_view bytes);
  // The head was taken whole.
  bool complete() const { return place_ == Place::kBehind; }
  bool has_host() const { return came_[kHost]; }

 private:
  enum class Place : uint8_t { kFirstLine, kLineFeed, kLineStart, kName, kValue, kLastLineFeed, kBehind };
  // Those that come once.
  enum Single : size_t { kHost, kWebSocketKey, kWebSocketVersion, kSingles };
  static constexpr std::array<std::string_view, kSingles> kNames{"host", "sec-websocket-key", "sec-websocket-version"};

  bool TakeOne(char byte);
  // False if the line's header came before and comes once.
  bool TakeName();

  Place place_ = Place::kFirstLine;
  std::array<bool, kSingles> came_{};
  // The line's, in lower case; of longer ones, which are none of these, the first bytes.
  std::array<char, 24> name_{};
  size_t name_size_ = 0;
};

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_BASE_REQUEST_HEAD_H_
