// Who may call: callers as their tokens name them, and what each may do. No gRPC, no I/O.
#ifndef TOOLWIRE_CONTROL_CALLER_AUTH_H_
#define TOOLWIRE_CONTROL_CALLER_AUTH_H_

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "common/base/clock.h"
#include "common/base/counter.h"
#include "common/base/mutex.h"
#include "common/wire/outcome.h"
#include "control/caller.h"
#include "control/jwt_auth.h"
#include "control/tokens.h"

namespace toolwire {

// Thread-safe. Until tokens, or keys that sign them, are taken everybody may do everything, and there are no callers.
class CallerAuth {
 public:
  struct Counters : CounterSet {
    Counter missing{this, kRefused, kRefusedHelp, "reason", "missing"};
    Counter unknown{this, kRefused, kRefusedHelp, "reason", "unknown"};
    Counter invalid{this, kRefused, kRefusedHelp, "reason", "invalid"};
    Counter expired{this, kRefused, kRefusedHelp, "reason", "expired"};
    Counter scope{this, kRefused, kRefusedHelp, "reason", "scope"};
    Counter user{this, kRefused, kRefusedHelp, "reason", "user"};
    Counter taken{this, "toolwire_control_tokens_taken_total", "Contents of the token file that were taken."};
    Counter not_taken{this, "toolwire_control_tokens_refused_total",
                      "Contents of the token file that were refused, or times it could not be read: the tokens before "
                      "stay."};

    // In the order of their labels above.
    std::array<const Counter*, 6> refused() const { return {&missing, &unknown, &invalid, &expired, &scope, &user}; }

   private:
    static constexpr char kRefused[] = "toolwire_control_callers_refused_total";
    static constexpr char kRefusedHelp[] = "Requests and calls refused for their token, by reason.";
  };

  explicit CallerAuth(const Clock& clock, JwtOptions jwt = {}) : clock_(clock), jwt_(clock, std::move(jwt)) {}

  // From now on these are the tokens. A caller whose line is still there goes on, perhaps with another expiry; those of
  // lines that are gone, or changed otherwise, are marked as removed before this returns. INVALID_ARGUMENT: the file is
  // not valid, and nothing has changed.
  absl::Status Take(std::string_view file);

  struct Admission {
    std::shared_ptr<Caller> caller;          // Null: no tokens are asked for.
    std::optional<v1::CallFailure> refused;  // UNAUTHENTICATED or PERMISSION_DENIED, NOT_SENT.
  };
  // What the values of a request's `authorization` allow. `peer`: as of JwtAuth::Find.
  Admission Admit(const std::vector<std::string_view>& authorization, Scope scope, std::string_view peer = {});

  // Whether what the caller was admitted by is still good, now. Null is.
  std::optional<v1::CallFailure> CheckGood(const Caller* caller, std::string_view request_id = {});
  // Whether the caller may name this user, now. Null may.
  std::optional<v1::CallFailure> CheckUser(const Caller* caller, std::string_view user_id,
                                           std::string_view request_id = {});

  // Logs how many were refused since the last time, if any were and that is some seconds ago. One thread.
  void LogRefused();

  // Where the keys are taken.
  JwtAuth& jwt() { return jwt_; }
  size_t tokens() const;
  Counters& counters() { return counters_; }
  void AddSamples(std::vector<Sample>* out) const;

  // What calls and streams end with.
  static v1::CallFailure Expired(std::string_view request_id = {});
  static v1::CallFailure Removed(std::string_view request_id = {});

 private:
  using Callers = absl::flat_hash_map<Sha256Digest, std::shared_ptr<Caller>>;

  bool Asks() const;
  // Who shows this token, expired or not.
  Admission Find(std::string_view token, std::string_view peer);
  Admission FindJwt(std::string_view token, std::string_view peer);

  const Clock& clock_;
  Counters counters_;
  JwtAuth jwt_;
  std::array<uint64_t, 6> logged_{};  // LogRefused's, as is the next.
  MonoTime logged_at_{};

  mutable Mutex mu_;
  bool asks_ ABSL_GUARDED_BY(mu_) = false;  // For the tokens of the file.
  JwtProblem last_invalid_ ABSL_GUARDED_BY(mu_) = JwtProblem::kNone;
  Callers callers_ ABSL_GUARDED_BY(mu_);
};

}  // namespace toolwire

#endif  // TOOLWIRE_CONTROL_CALLER_AUTH_H_
