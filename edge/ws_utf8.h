// Stands in for websocketpp's UTF-8 validator, which looks at text byte by byte, on receive and again on send, at
// 2 ns a byte. An edge checks each text once, whole and with SIMD, in the wire codec, and closes with 1007 there.
// What is checked at once stays checked: the reasons of close frames, which nobody else looks at.
// Comes before any header of websocketpp, and in every file that includes one that validates: its guard below is the
// library's own, and one program must not hold both forms of the validator.
#ifndef TOOLWIRE_EDGE_WS_UTF8_H_
#define TOOLWIRE_EDGE_WS_UTF8_H_

#ifdef UTF8_VALIDATOR_HPP
#error "edge/ws_utf8.h must be included before websocketpp's own validator"
#endif
#define UTF8_VALIDATOR_HPP

#include <cstdint>
#include <string>

#include "common/base/json_text.h"

namespace websocketpp::utf8_validator {

class validator {
 public:
  bool consume(uint8_t) { return true; }
  template <typename Iterator>
  bool decode(Iterator, Iterator) {
    return true;
  }
  bool complete() { return true; }
  void reset() {}
};

inline bool validate(const std::string& text) { return toolwire::json::IsUtf8(text); }

}  // namespace websocketpp::utf8_validator

#endif  // TOOLWIRE_EDGE_WS_UTF8_H_
