// The indexes of the audit table: which are there, and the thread that builds those that are missing.
#ifndef TOOLWIRE_COMMON_STORE_PG_INDEXES_H_
#define TOOLWIRE_COMMON_STORE_PG_INDEXES_H_

#include <atomic>
#include <optional>
#include <thread>

#include "absl/status/status.h"
#include "common/base/mutex.h"
#include "common/store/pg_connections.h"
#include "common/store/pg_schema.h"

namespace toolwire {

// Building may take minutes, so it has a thread and a connection of its own; the destructor cuts that connection and so
// does not wait for the server. Thread-safe.
class PgIndexes {
 public:
  explicit PgIndexes(PgConnections& connections) : connections_(connections) {}
  ~PgIndexes();
  // The process is stopping: no index for listing is built any more, and the one on call_id, without which the last rows
  // cannot be written, until then.
  void EndBy(MonoTime end);

  // What the store found in the database.
  void Note(const PgAuditTable& table);

  // Whether rows can be appended: the unique index on call_id is there.
  bool HasCallIndex() const { return has_call_index_; }
  // Has all missing indexes built, and waits for the one on call_id as long as for a statement. UNAVAILABLE if it is
  // not there by then.
  absl::Status AwaitCallIndex();
  // Has the indexes that list rows built, if they are missing and nobody has begun.
  void BuildListIndexes();

 private:
  void StartLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Build();
  absl::Status BuildWith(PgSession& session);
  bool IsEnding();
  bool IsEndingLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  PgConnections& connections_;
  std::atomic<bool> has_call_index_{false};
  std::atomic<bool> lacks_list_indexes_{false};  // Until somebody has begun to build them.

  Mutex mu_;
  CondVar changed_;
  std::thread thread_ ABSL_GUARDED_BY(mu_);
  bool is_building_ ABSL_GUARDED_BY(mu_) = false;
  std::optional<MonoTime> end_ ABSL_GUARDED_BY(mu_);   // Once the process is stopping.
  absl::Status status_ ABSL_GUARDED_BY(mu_);           // Of rows that wait for the index on call_id.
  PgSession* session_ ABSL_GUARDED_BY(mu_) = nullptr;  // The one that builds.
};

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_STORE_PG_INDEXES_H_
