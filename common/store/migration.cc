#include "common/store/migration.h"

#include "common/store/open_store.h"
#include "common/store/pg_migration.h"
#include "common/store/sqlite_steps.h"

namespace toolwire {

absl::StatusOr<MigrationPlan> PlanMigration(const StoreOptions& options) {
  if (!options.database.url.empty()) return PlanPgMigration(options.database);
  MigrationPlan plan{SqlitePath(options), "", "", {}};
  auto steps = FindSqliteSteps(plan.store);
  if (!steps.ok()) return steps.status();
  plan.steps = *std::move(steps);
  return plan;
}

absl::StatusOr<MigrationPlan> Migrate(const StoreOptions& options, Duration patience, const MigrationEvents& events) {
  if (!options.database.url.empty()) return MigratePg(options.database, patience, events);
  auto plan = PlanMigration(options);
  if (!plan.ok()) return plan;
  // Whoever opens the file brings it up to date.
  if (const auto store = OpenStore(options); !store.ok()) return store.status();
  for (const MigrationStep& step : plan->steps) events.on_done(step);
  return plan;
}

}  // namespace toolwire
