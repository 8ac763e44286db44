// Whether this process can do its work now, for `GET /readyz` of the Prometheus port, and if it cannot, why.
#ifndef TOOLWIRE_COMMON_PROCESS_READINESS_H_
#define TOOLWIRE_COMMON_PROCESS_READINESS_H_

#include <functional>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/base/mutex.h"

namespace toolwire {

// A few named checks. Thread-safe once all are added.
class Readiness {
 public:
  explicit Readiness(const Clock& clock) : clock_(clock) {}

  // `why` returns a sentence for operators, without users' data and secrets; or nothing: all is well. It must not
  // block, and runs on the thread that asks.
  using Why = std::function<std::string()>;
  void Add(std::string name, Why why);

  struct Report {
    bool ready = true;
    // One line: {"ready":false,"checks":[{"name":"store","ready":false,"why":"...","since":"2026-11-30T20:15:00Z"}]}.
    // `since` is when somebody who asked was first given a reason by this check, and has been ever since.
    std::string json;
  };
  Report Ask();

 private:
  struct Check {
    std::string name;
    Why why;
    int64_t since_ms = 0;  // 0: it is well.
  };

  const Clock& clock_;
  Mutex mu_;
  std::vector<Check> checks_ ABSL_GUARDED_BY(mu_);
};

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_PROCESS_READINESS_H_
