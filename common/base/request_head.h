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
// may read the other. A Host is one name or address, a length is of digits, and is not there beside a
// Transfer-Encoding. What else headers mean is not its business.
class RequestHead {
 public:
  // The next bytes, in any pieces. False once they break a rule. Of what follows the head nothing is asked.
  bool Take(std::string_view bytes);
  // The head was taken whole.
  bool complete() const { return place_ == Place::kBehind; }
  bool has_host() const { return came_[kHost]; }
  // One was there, perhaps an empty one.
  bool has_subprotocols() const { return came_[kSubprotocols]; }

 private:
  enum class Place : uint8_t { kFirstLine, kLineFeed, kLineStart, kName, kValue, kLastLineFeed, kBehind };
  // Those before kSingles come once.
  enum Header : uint8_t {
    kHost,
    kWebSocketKey,
    kWebSocketVersion,
    kSingles,
    kLength = kSingles,
    kEncoding,
    kSubprotocols,
    kHeaders
  };
  static constexpr std::array<std::string_view, kHeaders> kNames{
      "host", "sec-websocket-key", "sec-websocket-version", "content-length", "transfer-encoding",
      "sec-websocket-protocol"};

  bool TakeOne(char byte);
  // Of a Host and a length.
  bool TakeValue(char byte);
  bool EndValue() const;
  // False if the line's header came before and comes once.
  bool TakeName();

  Place place_ = Place::kFirstLine;
  std::array<bool, kHeaders> came_{};
  Header header_ = kHeaders;  // The line's; kHeaders: none of these.
  bool began_ = false;        // Of its value something came that is no space,
  bool paused_ = false;       // and a space behind it.
  // The line's, in lower case; of longer ones, which are none of these, the first bytes.
  std::array<char, 24> name_{};
  size_t name_size_ = 0;
};

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_BASE_REQUEST_HEAD_H_
