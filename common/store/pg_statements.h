// What the PostgreSQL store says to the server, in the words of the tables that were found there.
#ifndef TOOLWIRE_COMMON_STORE_PG_STATEMENTS_H_
#define TOOLWIRE_COMMON_STORE_PG_STATEMENTS_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "common/store/audit_row.h"
#include "common/store/pg_connections.h"
#include "common/store/pg_rows.h"
#include "common/store/pg_schema.h"

namespace toolwire {

// The statements, as these tables want them.
struct PgStatements {
  std::string credentials_problem, audit_problem;  // As of PgTables. Empty: the statements can be used.
  bool complete = false;                           // Nothing is to be waited for.

  std::string find_secrets, update_status, replace_revoked, create_credentials, replace_secret, revoke;
  std::string list_first_credentials, list_credentials;

  std::string append;
  std::string forget_calls;  // Removes some old rows of toolwire_audit_calls. Empty: `append` does not fill it.
  bool has_call_index = false;
  int64_t call_index = 0;  // Its object id.
  PgAuditList list;
  PgAuditList quick_list;  // For rows of which making text takes too long.
  std::string time;  // A row's time, in the column's type.
  std::string time_type, id_type, user_type;
  // For COPY: whether created_at takes an instant, and what stands for an absent value.
  bool takes_instants = false;
  const char* no_params = nullptr;
  const char* no_result = nullptr;
  const char* no_error = nullptr;
  const char* no_execution_time = nullptr;
};

PgStatements PgStatementsFor(const PgTables& tables, size_t audit_json_bytes_max);

// The statement for a query, and what it binds. INVALID_ARGUMENT if the query's cursor is none.
absl::StatusOr<std::string> PgListStatement(const PgStatements& statements, PgTexts texts, const AuditQuery& query,
                                            PgParams* params);

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_STORE_PG_STATEMENTS_H_
