// Structured logs: an event and its fields, as text for people or as one JSON object a line for machines.
#ifndef TOOLWIRE_COMMON_BASE_LOG_H_
#define TOOLWIRE_COMMON_BASE_LOG_H_

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>

#include "common/base/clock.h"

namespace toolwire::log {

enum class Format { kText, kJson };
enum class Level { kDebug, kInfo, kWarn, kError };

// Call once, early in main; before it, text at level info. Logs go to standard error. From here on a thread of its own
// writes them: a log that nobody reads holds up nobody, and costs lines. What waits when the process ends or crashes is
// written first, if that takes no longer than 1 s. SIGPIPE is ignored.
void Init(Format format, Level level);

// Whether a line of this level would be written: ask before building costly fields.
bool Enabled(Level level);

// A named value of one line. Secrets, params and results never become fields.
struct Field {
  template <typename T, std::enable_if_t<std::is_integral_v<T> && !std::is_same_v<T, bool>, int> = 0>
  Field(std::string_view name, T number) : key(name), value(static_cast<int64_t>(number)) {}
  Field(std::string_view name, bool flag) : key(name), value(flag) {}
  Field(std::string_view name, double number) : key(name), value(number) {}
  Field(std::string_view name, std::string_view text) : key(name), value(text) {}
  Field(std::string_view name, const char* text) : key(name), value(std::string_view(text)) {}
  Field(std::string_view name, const std::string& text) : key(name), value(std::string_view(text)) {}

  std::string_view key;
  std::variant<int64_t, bool, double, std::string_view> value;
};
using Fields = std::initializer_list<Field>;

// Writes one line. Any thread. `event` is a short static phrase: "agent connected".
void Write(Level level, std::string_view event, Fields fields = {});
inline void Debug(std::string_view event, Fields fields = {}) { Write(Level::kDebug, event, fields); }
inline void Info(std::string_view event, Fields fields = {}) { Write(Level::kInfo, event, fields); }
inline void Warn(std::string_view event, Fields fields = {}) { Write(Level::kWarn, event, fields); }
inline void Error(std::string_view event, Fields fields = {}) { Write(Level::kError, event, fields); }

// Lines that were dropped because too many waited, or because standard error did not take them.
uint64_t LinesDropped();
// Waits until what was logged before is written or dropped. False if `limit` has passed.
bool Flush(Duration limit);

}  // namespace toolwire::log

#endif  // TOOLWIRE_COMMON_BASE_LOG_H_
