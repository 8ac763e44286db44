// Preparing a PostgreSQL database, as common/store/migration.h says.
#ifndef TOOLWIRE_COMMON_STORE_PG_MIGRATION_H_
#define TOOLWIRE_COMMON_STORE_PG_MIGRATION_H_

#include "common/store/migration.h"
#include "common/store/pg_options.h"

namespace toolwire {

absl::StatusOr<MigrationPlan> PlanPgMigration(const PgOptions& options);
absl::StatusOr<MigrationPlan> MigratePg(const PgOptions& options, Duration patience, const MigrationEvents& events);

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_STORE_PG_MIGRATION_H_
