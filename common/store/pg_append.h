// Audit rows on their way into PostgreSQL: as parameters of one statement, or by COPY.
#ifndef TOOLWIRE_COMMON_STORE_PG_APPEND_H_
#define TOOLWIRE_COMMON_STORE_PG_APPEND_H_

#include <cstddef>
#include <vector>

#include "common/store/audit_row.h"
#include "common/store/pg_connections.h"
#include "common/store/pg_statements.h"

namespace toolwire {

// What PgStatements::append binds.
PgParams PgRowParams(const std::vector<AuditRow>& rows);

// Fewer rows are not worth a second way.
inline constexpr size_t kCopiedRowsMin = 8;

// COPY takes a quarter less of PostgreSQL's time than INSERT, and knows nothing of rows that are there already. False:
// none was written, since one of them is, or for a reason that does not hold for INSERT, or that it will find again.
// Throws as PgSession does.
bool PgCopyRows(PgSession& session, const char* doing, const PgStatements& statements,
                const std::vector<AuditRow>& rows);

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_STORE_PG_APPEND_H_
