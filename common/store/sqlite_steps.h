// The tables of the SQLite store, and how a file of an earlier version gets them.
#ifndef TOOLWIRE_COMMON_STORE_SQLITE_STEPS_H_
#define TOOLWIRE_COMMON_STORE_SQLITE_STEPS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/store/migration.h"
#include "common/store/sqlite_db.h"

namespace toolwire {

// Adds what the file lacks, in one transaction.
absl::Status TakeSqliteSteps(const sqlite::Db& db);

// What opening the file would add to it; all if there is no file. Changes nothing.
absl::StatusOr<std::vector<MigrationStep>> FindSqliteSteps(const std::string& path);

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_STORE_SQLITE_STEPS_H_
