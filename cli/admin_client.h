// Where credentials and the audit log are: at a control, or in the store, opened directly.
#ifndef TOOLWIRE_CLI_ADMIN_CLIENT_H_
#define TOOLWIRE_CLI_ADMIN_CLIENT_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/control_target.h"
#include "cli/time_text.h"
#include "common/store/store.h"

namespace CLI {
class App;
}

namespace toolwire {

// What the user named; empty: nothing. The flags come before the environment, and in the environment a control before a
// store.
struct AdminFlags {
  AdminFlags() { control.address.clear(); }
  ControlTarget control;
  std::string database_url, data_dir;
  // A directory that is not there is made. Else it is taken for a mistyped one, and refused.
  bool makes_store = false;
};

void AddAdminFlags(CLI::App* app, AdminFlags* flags);

// What a command asks. Errors as the store's; UNAVAILABLE also if there is no control, with a sentence about what
// to do; DEADLINE_EXCEEDED if control does not answer, and what was asked may have been done. Blocks.
class AdminClient {
 public:
  virtual ~AdminClient() = default;

  // Whether changes of credentials reach live sessions.
  virtual bool closes_sessions() const = 0;
  // Called with each secret that is made, in the users' order. False: no more are made, as far as that can be.
  using OnSecret = std::function<bool(const std::string& user, const std::string& secret)>;
  virtual absl::Status Create(const std::vector<std::string>& users, const std::string& platform,
                              const OnSecret& on_secret) = 0;
  // Where live sessions have ended, if `closes_sessions()`: everywhere, or not at these edges, or, if none is named,
  // nobody knows.
  struct Reach {
    bool everywhere = false;
    std::vector<std::string> edges_not_heard;
  };
  // In two steps, so that the new secret is in safe hands before the old one is refused.
  struct NewSecret {
    std::string secret;
    bool holds = false;  // Already, by a control that knows one step only: `reach` is of that.
    Reach reach;
  };
  virtual absl::StatusOr<NewSecret> PrepareRotation(const std::string& user, bool keep_session) = 0;
  // From now on it holds.
  virtual absl::StatusOr<Reach> Rotate(const std::string& user, const std::string& secret, bool keep_session) = 0;
  struct Revoked {
    bool session_closed = false;
    Reach reach;
  };
  virtual absl::StatusOr<Revoked> Revoke(const std::string& user) = 0;
  // As Store::ListCredentials.
  virtual absl::StatusOr<std::vector<Credential>> ListCredentials(const std::string& after, int limit) = 0;
  // The first `limit` rows, newest first. `after` is not used.
  virtual absl::StatusOr<std::vector<AuditRow>> ListAudit(const AuditQuery& query) = 0;
};

// The control or the store that the flags name, or else the environment: --address or TOOLWIRE_ADDRESS; --database-url
// or DATABASE_URL; --data-dir or TOOLWIRE_DATA_DIR. By default the control at 127.0.0.1:50051.
absl::StatusOr<std::unique_ptr<AdminClient>> OpenAdmin(const AdminFlags& flags);

// Prints why OpenAdmin failed and returns the exit status: 2 for a wrong flag or variable, else that of FailAdmin.
int FailOpening(const std::string& command, const absl::Status& status);
// Prints what went wrong and returns the exit status: 3 if control or store cannot be reached, 4 if there was no answer
// in time, else 1.
int FailAdmin(const std::string& command, const absl::Status& status);
inline constexpr char kAdminExitStatus[] =
    "Exit status: 0 done, 1 refused, 2 wrong flags or variables, 3 control or store cannot be reached, 4 no answer in "
    "time: it may have been done.";

}  // namespace toolwire

#endif  // TOOLWIRE_CLI_ADMIN_CLIENT_H_
