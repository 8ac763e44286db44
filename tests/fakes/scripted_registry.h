// A registry whose leases a test decides, and whose answers it can hold back.
#ifndef TOOLWIRE_TESTS_FAKES_SCRIPTED_REGISTRY_H_
#define TOOLWIRE_TESTS_FAKES_SCRIPTED_REGISTRY_H_

#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "common/registry/registry.h"

namespace toolwire {

// Answers look-ups before `Lookup` returns, or when the test lets it. Any thread; no lock is held while answering.
class ScriptedRegistry final : public Registry {
 public:
  using Answer = absl::StatusOr<std::optional<Lease>>;
  using Judge = std::function<Answer(const std::string& user_id)>;

  // The lease of one user from now on. Also of look-ups that are held back now.
  void SetLease(const std::string& user_id, const std::string& edge_id, uint64_t epoch) {
    std::lock_guard<std::mutex> lock(mu_);
    leases_[user_id] = Lease{edge_id, epoch};
  }
  void RemoveLease(const std::string& user_id) {
    std::lock_guard<std::mutex> lock(mu_);
    leases_.erase(user_id);
  }
  // Decides in place of the leases.
  void SetJudge(Judge judge) {
    std::lock_guard<std::mutex> lock(mu_);
    judge_ = std::move(judge);
  }
  void Fail(absl::Status error) {
    SetJudge([error = std::move(error)](const std::string&) -> Answer { return error; });
  }

  // From now on look-ups wait for `AnswerNext`.
  void Hold() {
    std::lock_guard<std::mutex> lock(mu_);
    held_back_ = true;
  }
  // Later look-ups are answered at once again; those that wait still wait.
  void LetGo() {
    std::lock_guard<std::mutex> lock(mu_);
    held_back_ = false;
  }
  size_t waiting() const {
    std::lock_guard<std::mutex> lock(mu_);
    return waiting_.size();
  }
  // Answers the look-up that has waited longest. False if none waits.
  bool AnswerNext() {
    std::pair<std::string, LookupDone> next;
    {
      std::lock_guard<std::mutex> lock(mu_);
      if (waiting_.empty()) return false;
      next = std::move(waiting_.front());
      waiting_.pop_front();
    }
    next.second(Decide(next.first));
    return true;
  }

  // How often this user was looked up.
  int lookups(const std::string& user_id) const {
    std::lock_guard<std::mutex> lock(mu_);
    auto found = lookups_.find(user_id);
    return found == lookups_.end() ? 0 : found->second;
  }

  void Lookup(const std::string& user_id, LookupDone done) override {
    {
      std::lock_guard<std::mutex> lock(mu_);
      ++lookups_[user_id];
      if (held_back_) {
        waiting_.emplace_back(user_id, std::move(done));
        return;
      }
    }
    done(Decide(user_id));
  }

  // Only edges do these.
  void Claim(const ClaimRequest&, ClaimDone done) override {
    done(absl::UnimplementedError("only Lookup is"));
  }
  void Refresh(const std::string&, std::vector<Held>) override {}
  void Release(const std::string&, const std::string&, uint64_t, ReleaseDone) override {}
  void Join(const EdgeAddress&, EdgeEvents) override {}
  void Leave(const std::string&, MonoTime) override {}
  void WatchEdges(EdgesChanged) override {}
  void ListEdges(ListDone done) override {
    absl::StatusOr<std::vector<std::string>> edges;
    {
      std::lock_guard<std::mutex> lock(mu_);
      edges = edges_;
    }
    done(std::move(edges));
  }
  // The edges that are alive, or why they are not known.
  void SetEdges(absl::StatusOr<std::vector<std::string>> edges) {
    std::lock_guard<std::mutex> lock(mu_);
    edges_ = std::move(edges);
  }
  bool connected() const override { return true; }

 private:
  Answer Decide(const std::string& user_id) {
    Judge judge;
    {
      std::lock_guard<std::mutex> lock(mu_);
      auto found = leases_.find(user_id);
      if (!judge_) return found == leases_.end() ? std::optional<Lease>() : std::optional<Lease>(found->second);
      judge = judge_;
    }
    return judge(user_id);
  }

  mutable std::mutex mu_;
  Judge judge_;  // Guarded by mu_, as are the others.
  absl::StatusOr<std::vector<std::string>> edges_ = std::vector<std::string>();
  bool held_back_ = false;
  std::map<std::string, Lease> leases_;
  std::map<std::string, int> lookups_;
  std::deque<std::pair<std::string, LookupDone>> waiting_;
};

}  // namespace toolwire

#endif  // TOOLWIRE_TESTS_FAKES_SCRIPTED_REGISTRY_H_
