// What `toolwire doctor` finds out: one finding a line.
#ifndef TOOLWIRE_CLI_DOCTOR_DOCTOR_FINDING_H_
#define TOOLWIRE_CLI_DOCTOR_DOCTOR_FINDING_H_

#include <string>
#include <utility>
#include <vector>

namespace toolwire {

struct Finding {
  enum class Level {
    kOk,
    kSkipped,  // Not configured, so not looked at.
    kWarn,     // Works, and will not under some conditions.
    kFail,     // Does not work.
  };
  Level level = Level::kOk;
  std::string check;    // What was looked at, one word or two: "redis memory".
  std::string message;  // A sentence for people, without secrets.
  std::string advice;   // What to do about it; for warnings and failures.
};
using Findings = std::vector<Finding>;

inline Finding Ok(std::string check, std::string message) {
  return {Finding::Level::kOk, std::move(check), std::move(message), ""};
}
inline Finding Skipped(std::string check, std::string why) {
  return {Finding::Level::kSkipped, std::move(check), std::move(why), ""};
}
inline Finding Warn(std::string check, std::string message, std::string advice) {
  return {Finding::Level::kWarn, std::move(check), std::move(message), std::move(advice)};
}
inline Finding Fail(std::string check, std::string message, std::string advice) {
  return {Finding::Level::kFail, std::move(check), std::move(message), std::move(advice)};
}

}  // namespace toolwire

#endif  // TOOLWIRE_CLI_DOCTOR_DOCTOR_FINDING_H_
