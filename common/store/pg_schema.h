// The tables in PostgreSQL: making them, taking over those of the replaced server, and what of them varies.
#ifndef TOOLWIRE_COMMON_STORE_PG_SCHEMA_H_
#define TOOLWIRE_COMMON_STORE_PG_SCHEMA_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/store/migration.h"
#include "common/store/pg_connections.h"

namespace toolwire {

// What differs between the tables of different installations.
struct PgAuditTable {
  std::string id_type = "bigint";                      // As SQL has it; not always a number.
  std::string time_type = "timestamp with time zone";  // Of created_at, which may be without.
  // SQL for a row's time, as the indexes have it. A row without one counts as of 1970.
  std::string time() const;
  // Columns that must have a value.
  bool params_required = false;
  bool result_required = false;
  bool error_required = false;
  bool execution_time_required = false;
  bool created_at_required = true;
  bool has_call_index = false;    // The unique index on call_id is there, and valid.
  bool has_list_indexes = false;  // So are the two that list rows by time.
  bool has_user_key = false;      // user_id is a foreign key.
};

// Makes the tables that are missing and adds the columns `call_id` and `caller`; these change nothing for the replaced
// server, which may go on using the tables. Quick, and harmless when several processes do it at once. Tables that are
// complete are only looked at, so that a role without the right to change them will do. UNAVAILABLE also if an existing
// table lacks a column that we need.
absl::StatusOr<PgAuditTable> PreparePgTables(PgSession& session);

// Makes the indexes that are missing or were left unfinished, while others go on writing: the unique one on `call_id`,
// then those that list rows by time, of a user and of all. Calls `on_index` with the name of each as soon as it is
// there. May take as long as reading the table several times; the session is not used again. Until the first is there,
// rows cannot be appended. Returns early if `stopping`.
void BuildPgIndexes(PgSession& session, const PgAuditTable& table, const std::function<void(const char*)>& on_index,
                    const std::function<bool()>& stopping);

// What these two would do, in their order.
std::vector<MigrationStep> FindPgSteps(PgSession& session, pqxx::transaction_base& transaction);

// What is there of the tables, only looked at.
struct PgTablesFound {
  bool credentials = false, audit = false;
  bool our_columns = false;                  // Those that are added to tables taken over: call_id, caller.
  bool call_index = false;                   // As PgAuditTable::has_call_index.
  std::vector<std::string> missing_columns;  // `table.column`, of tables that are there; not those of ours.
};
PgTablesFound FindPgTables(PgSession& session, pqxx::transaction_base& transaction);

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_STORE_PG_SCHEMA_H_
