// `GET /metrics` of the agents' port, as the replaced server had it: for everybody the counts, for some the users too.
#ifndef TOOLWIRE_EDGE_METRICS_PAGE_H_
#define TOOLWIRE_EDGE_METRICS_PAGE_H_

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/base/clock.h"
#include "common/base/mutex.h"

namespace toolwire {

// Thread-safe. Builds the pages on a thread of its own, when they are asked for, and keeps each for a second: however
// many requests come, a loop copies a string for each and nothing more.
class MetricsPage {
 public:
  static constexpr Duration kKept = std::chrono::seconds(1);
  using Text = std::shared_ptr<const std::string>;

  // `build` is called on the page's thread.
  MetricsPage(const Clock& clock, std::function<std::string(bool with_users)> build);
  // Stops like Stop().
  ~MetricsPage();

  // Calls `done` with a page that is at most kKept old, in this call or on the page's thread. Null: stopped.
  using Done = std::function<void(Text)>;
  void Get(bool with_users, Done done);
  // After this `done` is not called on the page's thread any more.
  void Stop();

 private:
  struct Page {
    Text text;
    MonoTime built_at{};
  };
  void Run();

  const Clock& clock_;
  const std::function<std::string(bool)> build_;
  Mutex mu_;
  CondVar changed_;
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
  std::array<Page, 2> pages_ ABSL_GUARDED_BY(mu_);  // Without the users, and with them.
  std::vector<std::pair<bool, Done>> waiting_ ABSL_GUARDED_BY(mu_);
  std::thread thread_;
};

}  // namespace toolwire

#endif  // TOOLWIRE_EDGE_METRICS_PAGE_H_
