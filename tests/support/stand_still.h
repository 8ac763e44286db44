// Stopping another process for a while.
#ifndef TOOLWIRE_TESTS_SUPPORT_STAND_STILL_H_
#define TOOLWIRE_TESTS_SUPPORT_STAND_STILL_H_

#include <signal.h>
#include <sys/types.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>

#include "tests/support/await.h"

namespace toolwire {

// Stops a process with SIGSTOP, and returns once no thread of it runs any more: the signal alone only asks for that.
inline void StandStill(pid_t pid) {
  if (kill(pid, SIGSTOP) != 0) return;  // It has just ended.
  Await([pid] {
    if (kill(pid, 0) != 0) return true;
    std::error_code error;
    std::filesystem::directory_iterator threads("/proc/" + std::to_string(pid) + "/task", error);
    for (; !error && threads != std::filesystem::directory_iterator(); threads.increment(error)) {
      std::ifstream file(threads->path() / "stat");
      const std::string stat((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
      const size_t name_end = stat.rfind(") ");
      if (name_end == std::string::npos || std::string("TtZX").find(stat[name_end + 2]) == std::string::npos) return false;
    }
    return !error;
  });
}

}  // namespace toolwire

#endif  // TOOLWIRE_TESTS_SUPPORT_STAND_STILL_H_
