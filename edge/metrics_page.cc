#include "edge/metrics_page.h"

namespace toolwire {

MetricsPage::MetricsPage(const Clock& clock, std::function<std::string(bool)> build)
    : clock_(clock), build_(std::move(build)), thread_([this] { Run(); }) {}

MetricsPage::~MetricsPage() { Stop(); }

void MetricsPage::Get(bool with_users, Done done) {
  Text text;
  {
    MutexLock lock(mu_);
    const Page& page = pages_[with_users];
    const bool fresh = page.text != nullptr && clock_.Now() - page.built_at < kKept;
    if (!fresh && !stopped_) {
      waiting_.emplace_back(with_users, std::move(done));
      return changed_.NotifyAll();
    }
    text = page.text;
  }
  done(std::move(text));
}

void MetricsPage::Stop() {
  {
    MutexLock lock(mu_);
    stopped_ = true;
    changed_.NotifyAll();
  }
  if (thread_.joinable()) thread_.join();
}

void MetricsPage::Run() {
  MutexLock lock(mu_);
  while (true) {
    changed_.Wait(mu_, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return stopped_ || !waiting_.empty(); });
    if (stopped_) return;
    const auto waiting = std::exchange(waiting_, {});
    lock.Unlock();
    std::array<Page, 2> built;
    for (const auto& [with_users, done] : waiting) {
      Page& page = built[with_users];
      if (page.text == nullptr) page = {std::make_shared<const std::string>(build_(with_users)), clock_.Now()};
    }
    // Kept first: who asks again because of the answer gets the same page.
    lock.Lock();
    for (size_t i = 0; i < built.size(); ++i) {
      if (built[i].text != nullptr) pages_[i] = built[i];
    }
    lock.Unlock();
    for (const auto& [with_users, done] : waiting) done(built[with_users].text);
    lock.Lock();
  }
}

}  // namespace toolwire
