// An edge as a control sees it: it keeps what it is sent, and answers and refuses as a test decides.
#ifndef TOOLWIRE_TESTS_FAKES_SCRIPTED_EDGE_H_
#define TOOLWIRE_TESTS_FAKES_SCRIPTED_EDGE_H_

#include <cstdint>
#include <functional>
#include <mutex>
#include <utility>
#include <vector>

#include "common/link/relay_port.h"

namespace toolwire {

// One end of one link. Any thread.
class ScriptedEdge final : public ToEdge {
 public:
  // Decides about a frame: false refuses it. Runs inside `Send` with no lock held, so that a test may answer, break
  // the link or call back before `Send` returns.
  using Judge = std::function<bool(const v1::ControlFrame& frame)>;

  void SetJudge(Judge judge) {
    std::lock_guard<std::mutex> lock(mu_);
    judge_ = std::move(judge);
  }
  // From now on every frame is refused.
  void Break() {
    SetJudge([](const v1::ControlFrame&) { return false; });
  }

  bool Send(v1::ControlFrame&& frame) override {
    Judge judge;
    {
      std::lock_guard<std::mutex> lock(mu_);
      judge = judge_;
      frames_.push_back(frame);
    }
    if (!judge || judge(frame)) return true;
    std::lock_guard<std::mutex> lock(mu_);
    ++refused_;
    return false;
  }

  // Everything that was sent, refused frames included.
  std::vector<v1::ControlFrame> frames() const {
    std::lock_guard<std::mutex> lock(mu_);
    return frames_;
  }
  std::vector<v1::Deliver> deliveries() const {
    std::lock_guard<std::mutex> lock(mu_);
    std::vector<v1::Deliver> all;
    for (const v1::ControlFrame& frame : frames_) {
      all.insert(all.end(), frame.deliveries().begin(), frame.deliveries().end());
    }
    return all;
  }
  std::vector<uint64_t> cancels() const {
    std::lock_guard<std::mutex> lock(mu_);
    std::vector<uint64_t> all;
    for (const v1::ControlFrame& frame : frames_) all.insert(all.end(), frame.cancels().begin(), frame.cancels().end());
    return all;
  }
  // Request ids of the answers that were fetched.
  std::vector<std::string> fetches() const {
    std::lock_guard<std::mutex> lock(mu_);
    std::vector<std::string> all;
    for (const v1::ControlFrame& frame : frames_) {
      for (const v1::StrayName& name : frame.stray_fetches()) all.push_back(name.request_id());
    }
    return all;
  }
  int refused() const {
    std::lock_guard<std::mutex> lock(mu_);
    return refused_;
  }

 private:
  mutable std::mutex mu_;
  Judge judge_;  // Guarded by mu_, as are the others.
  std::vector<v1::ControlFrame> frames_;
  int refused_ = 0;
};

}  // namespace toolwire

#endif  // TOOLWIRE_TESTS_FAKES_SCRIPTED_EDGE_H_
