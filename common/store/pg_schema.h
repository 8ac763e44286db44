// The tables in PostgreSQL as a database has them: what of them varies, what keeps Toolwire from using them, and what
// they lack. Only looked at: what changes them is `toolwire migrate`.
#ifndef TOOLWIRE_COMMON_STORE_PG_SCHEMA_H_
#define TOOLWIRE_COMMON_STORE_PG_SCHEMA_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/store/migration.h"
#include "common/store/pg_connections.h"

namespace toolwire {

struct PgColumn {
  // As CAST takes it, without a length, so that nothing is cut silently. Of a domain, what it is made of: a CAST to the
  // domain itself cuts to its length, and what is written is held against it all the same.
  std::string type;
  std::string declared;  // With the domain's own name.
  bool required = false;
  bool has_default = false;
  int characters_max = 0;  // 0: any number.
  bool is_narrow = false;  // An enum or a domain: it takes some texts only.
};

// A table of that name on the search path, or none.
struct PgTable {
  bool exists = false;
  char kind = 'r';           // pg_class.relkind: r table, p partitioned, v view.
  bool hides_rows = false;   // Row-level security applies to this role.
  std::string other_schema;  // Where a table of this name is, if it is not on the search path.
  std::map<std::string, PgColumn> columns;

  bool has(const std::string& column) const { return columns.count(column) > 0; }
  std::string type(const std::string& column) const;  // "text" if there is no such column.
  bool required(const std::string& column) const;
};

struct PgTables {
  PgTable credentials, audit;
  // Of these only call_id's concerns writing: by what it is, not by its name.
  bool has_call_index = false;    // A valid unique index on call_id of the audit table.
  int64_t call_index = 0;         // Its object id.
  bool has_list_indexes = false;  // The two that list rows by time.
  bool has_calls_table = false;   // toolwire_audit_calls, which stands in for that index.
  bool may_use_calls = true;      // This role has its rights on that table.
  // Roles that may write the audit table and not use that one, as SQL names them, if this role may change that.
  std::vector<std::string> without_calls;
  bool has_user_key = false;      // The audit table's user_id is a foreign key.
  std::string role;

  // Why logins, or the audit log, cannot go on; a sentence that names the column and what to do. Empty: they can.
  std::string CredentialsProblem() const;
  std::string AuditProblem() const;
  // What will be refused for some rows; sentences as those.
  std::vector<std::string> Warnings() const;
};

PgTables LookAtPgTables(PgSession& session, pqxx::transaction_base& transaction);

// SQL for a row's time, as the indexes have it, in this table. A row without one counts as of 1970.
std::string PgRowTime(const PgTable& audit);

// Columns of the tables that the replaced server made, which are needed. `table.column`, of tables that are there.
std::vector<std::string> MissingPgColumns(const PgTables& tables);
// Those that are added to them are there: call_id and caller, status_epoch.
bool HasOurPgColumns(const PgTables& tables);

inline constexpr char kRunMigrate[] = "run toolwire migrate";

// What the tables and their indexes lack, in the order in which it is made.
std::vector<MigrationStep> FindPgTableSteps(const PgTables& tables);
std::vector<MigrationStep> FindPgIndexSteps(PgSession& session, pqxx::transaction_base& transaction,
                                            const PgTables& tables);

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_STORE_PG_SCHEMA_H_
