// The lists of the SQLite store: a connection of their own, as they may take long.
#ifndef TOOLWIRE_COMMON_STORE_SQLITE_LISTS_H_
#define TOOLWIRE_COMMON_STORE_SQLITE_LISTS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/store/sqlite_db.h"
#include "common/store/store.h"

namespace toolwire {

// A list ends after 10 s, at `end`, and soon after its caller has gone. Any thread, one list at a time.
class SqliteLists {
 public:
  explicit SqliteLists(sqlite::End& end) : end_(end) {}
  // Call once, before all others. Without locks, as no other thread has it yet.
  absl::Status Open(const std::string& path) ABSL_NO_THREAD_SAFETY_ANALYSIS;

  // As Store::ListCredentials and Store::ListAudit.
  absl::StatusOr<std::vector<Credential>> Credentials(const std::string& after, int limit, const IsGone& is_gone);
  absl::StatusOr<std::vector<ListedAuditRow>> Audit(const AuditQuery& query, const IsGone& is_gone);

 private:
  // Called while a list runs, by its thread; not 0: it ends.
  static int Ends(void* lists) ABSL_NO_THREAD_SAFETY_ANALYSIS;

  sqlite::End& end_;
  Mutex mu_;
  // Statements go before their connection.
  sqlite::Db db_ ABSL_GUARDED_BY(mu_);
  sqlite::Statement credentials_ ABSL_GUARDED_BY(mu_), audit_ ABSL_GUARDED_BY(mu_);
  MonoTime list_end_ ABSL_GUARDED_BY(mu_);  // Of the list that runs.
  IsGone is_gone_ ABSL_GUARDED_BY(mu_);     // The same; may be null.
};

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_STORE_SQLITE_LISTS_H_
