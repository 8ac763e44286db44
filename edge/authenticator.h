// The edge's dealings with the store, off the loops: credential checks and status updates, in batches.
#ifndef TOOLWIRE_EDGE_AUTHENTICATOR_H_
#define TOOLWIRE_EDGE_AUTHENTICATOR_H_

#include <atomic>
#include <deque>
#include <functional>
#include <thread>
#include <utility>
#include <vector>

#include "common/base/clock.h"
#include "common/base/counter.h"
#include "common/base/mutex.h"
#include "common/base/process_options.h"
#include "common/store/store.h"

namespace toolwire {

enum class Verdict { kRight, kWrong, kStoreUnavailable, kInternal };

// Two threads, one for checks and one for status updates, so that a row of the store that somebody else holds locked
// keeps nobody from logging in. Each takes everything that has gathered, so that a storm of logins is a few large
// statements. Checks that find the store unavailable are answered kStoreUnavailable; status updates are kept, of each
// user the newest.
class Authenticator {
 public:
  using Done = std::function<void(Verdict verdict)>;
  struct Counters : CounterSet {
    Counter right{this, "toolwire_edge_logins_right_total", "Logins with right credentials."};
    Counter wrong{this, "toolwire_edge_logins_wrong_total", "Logins with wrong credentials."};
    Counter checks{this, "toolwire_edge_credential_checks_total", "Logins whose credentials were sent to the store."};
    Counter rechecks{this, "toolwire_edge_secret_rechecks_total", "Sessions whose secrets were checked again."};
    Counter status_updates{this, "toolwire_edge_status_updates_total", "Changes of agents' status written."};
    Counter status_held{this, "toolwire_edge_status_updates_held_total",
                        "Changes of agents' status put off since others held the rows locked."};
    Counter statements{this, "toolwire_edge_store_statements_total", "Store statements sent."};
    Counter store_errors{this, "toolwire_edge_store_errors_total", "Store statements that failed."};
  };
  static constexpr size_t kBatchMax = 512;  // Bounds how long the first of a batch waits for the last.

  // `store` outlives the authenticator.
  explicit Authenticator(Store& store);
  // Stops like Stop().
  ~Authenticator() { Stop(std::chrono::steady_clock::now() + kStopGrace); }
  // Writes the status updates that wait, and tries again until then; a statement ends with the store's own deadline
  // (Store::EndBy). Checks that wait are dropped. No `done` runs afterwards.
  void Stop(MonoTime until);

  // Any thread; never blocks. `done` runs on the authenticator's thread of checks and must not block.
  void Check(CredentialCheck check, Done done);
  void ReportStatus(StatusUpdate update);
  // Of open sessions; logins come first. `done` gets one verdict for each check, or why there
  // is none; it runs as above.
  using RechecksDone = std::function<void(absl::StatusOr<std::vector<bool>> verdicts)>;
  void Recheck(std::vector<SecretCheck> checks, RechecksDone done);

  // Whether the last check found the store unavailable. While it is, and no login comes, one is made every 500 ms.
  bool store_unavailable() const { return store_unavailable_.load(std::memory_order_relaxed); }
  const Counters& counters() const { return counters_; }

 private:
  void RunAllChecks();
  void RunAllUpdates();
  void RunChecks(std::vector<std::pair<CredentialCheck, Done>> batch);
  void RunRechecks(const std::vector<SecretCheck>& checks, const RechecksDone& done);
  // Checks empty credentials, to find out whether the store is available again.
  void Probe();
  // Leaves those that are to be tried again.
  void RunUpdates(std::vector<StatusUpdate>* updates);

  Store& store_;
  Counters counters_;
  std::atomic<bool> store_unavailable_{false};
  bool status_waits_ = false;  // Since the store took none. Of the thread of updates.
  Mutex mu_;
  CondVar wake_checks_, wake_updates_;
  std::vector<std::pair<CredentialCheck, Done>> checks_ ABSL_GUARDED_BY(mu_);
  std::vector<StatusUpdate> updates_ ABSL_GUARDED_BY(mu_);
  std::deque<std::pair<std::vector<SecretCheck>, RechecksDone>> rechecks_ ABSL_GUARDED_BY(mu_);  // One for each loop.
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  MonoTime stop_at_ ABSL_GUARDED_BY(mu_);
  std::thread checks_thread_, updates_thread_;
};

}  // namespace toolwire

#endif  // TOOLWIRE_EDGE_AUTHENTICATOR_H_
