#include "common/process/stopping.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "common/base/log.h"

namespace toolwire {
namespace {

// Read by a thread that outlives main, so never destroyed.
std::atomic<Duration::rep> ends_at{0};
std::atomic<const char*> step{"beginning"};

void Watch() {
  MonoTime end;
  while ((end = MonoTime(Duration(ends_at))) > std::chrono::steady_clock::now()) {
    std::this_thread::sleep_for(std::min<Duration>(end - std::chrono::steady_clock::now(), std::chrono::seconds(1)));
  }
  log::Error("the stop takes too long and is cut short", {{"step", step.load()}});
  log::Flush(std::chrono::milliseconds(200));
  _exit(1);
}

void EndAt(MonoTime end) { ends_at = end.time_since_epoch().count(); }

}  // namespace

Stopping::Stopping(Duration drain_timeout, Duration grace) : grace_(grace) {
  EndAt(std::chrono::steady_clock::now() + drain_timeout + grace);
  std::thread(Watch).detach();
}

MonoTime Stopping::EndDrain() {
  const MonoTime now = std::chrono::steady_clock::now();
  EndAt(now + grace_);
  return now + 3 * grace_ / 4;  // The rest is for what cannot look at the time.
}

void Stopping::Step(const char* name) { step = name; }

}  // namespace toolwire
