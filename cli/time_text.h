// Times for people: UTC, to the second.
#ifndef TOOLWIRE_CLI_TIME_TEXT_H_
#define TOOLWIRE_CLI_TIME_TEXT_H_

#include <cstdint>
#include <ctime>
#include <string>

namespace toolwire {

// "2026-11-23T20:13:51Z" of a Unix time in milliseconds.
inline std::string TimeText(int64_t unix_ms) {
  const std::time_t seconds = unix_ms / 1000;
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

}  // namespace toolwire

#endif  // TOOLWIRE_CLI_TIME_TEXT_H_
