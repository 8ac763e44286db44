// Tasks on threads of their own, waited for together for a limited time.
#ifndef TOOLWIRE_CLI_DOCTOR_SIDE_BY_SIDE_H_
#define TOOLWIRE_CLI_DOCTOR_SIDE_BY_SIDE_H_

#include <functional>
#include <future>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "common/base/clock.h"

namespace toolwire {

// What each task returned, in their order; nothing for one that has not ended within `timeout`. Its thread goes on, so
// it must hold all that it uses, and the process must then end with std::_Exit.
template <typename Result>
std::vector<std::optional<Result>> RunSideBySide(const std::vector<std::function<Result()>>& tasks, Duration timeout) {
  std::vector<std::future<Result>> futures;
  for (const auto& task : tasks) {
    std::packaged_task<Result()> packaged(task);
    futures.push_back(packaged.get_future());
    std::thread(std::move(packaged)).detach();
  }
  const MonoTime deadline = std::chrono::steady_clock::now() + timeout;
  std::vector<std::optional<Result>> results(tasks.size());
  for (size_t i = 0; i < tasks.size(); ++i) {
    if (futures[i].wait_until(deadline) == std::future_status::ready) results[i] = futures[i].get();
  }
  return results;
}

}  // namespace toolwire

#endif  // TOOLWIRE_CLI_DOCTOR_SIDE_BY_SIDE_H_
