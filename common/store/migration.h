// Preparing a store for servers: what it lacks, and adding that.
#ifndef TOOLWIRE_COMMON_STORE_MIGRATION_H_
#define TOOLWIRE_COMMON_STORE_MIGRATION_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/store/store_options.h"

namespace toolwire {

// One change that a store needs.
struct MigrationStep {
  std::string what;       // "column call_id of tool_execution_logs"
  std::string statement;  // SQL
  std::string locks;      // Of what is there already, and how long.
  bool is_brief = false;  // Of an index: others wait while it waits for its lock, so it must give up soon.
};

struct MigrationPlan {
  std::string store;  // For people; without the password.
  std::string size;   // Of the audit table, as a sentence for people; empty if there is none.
  std::string risks;  // How the way to the store is not protected, as a sentence with what to do; empty: it is.
  std::vector<MigrationStep> steps;
};

struct MigrationEvents {
  // Once for each step that the plan has. May be called by another thread, while on_waiting is called.
  std::function<void(const MigrationStep&)> on_done;
  // What takes time now, as a sentence for people; every few seconds while it does.
  std::function<void(const std::string&)> on_waiting;
};

// What servers need and the store that the options name does not have, in the order in which it is added. Changes
// nothing. FAILED_PRECONDITION if a table lacks a column that is not ours to add, or the role a right; UNAVAILABLE if
// the store is.
absl::StatusOr<MigrationPlan> PlanMigration(const StoreOptions& options);

// Adds it, beside servers that run and others that do the same. Waits for the store, and for locks on its tables, until
// `patience` is over (then UNAVAILABLE); building indexes may take longer. Returns the plan that was carried out.
absl::StatusOr<MigrationPlan> Migrate(const StoreOptions& options, Duration patience, const MigrationEvents& events);

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_STORE_MIGRATION_H_
