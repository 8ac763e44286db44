// The store of production: the PostgreSQL database that the replaced server used, shared by all processes.
#ifndef TOOLWIRE_COMMON_STORE_PG_STORE_H_
#define TOOLWIRE_COMMON_STORE_PG_STORE_H_

#include <cstddef>
#include <memory>
#include <string>

#include "common/store/pg_options.h"
#include "common/store/store.h"

namespace toolwire {

// Opens a store that uses the tables agent_credentials and tool_execution_logs as they are; the replaced server may go
// on using them meanwhile. It changes no table: what they lack, `toolwire migrate` adds. They are looked at with the
// first connection, so a store opens also while the database is unavailable, and again until they are complete. Logins
// and changes need agent_credentials alone. The audit log needs its columns call_id and caller, and to tell calls apart
// the unique index on call_id or, until that is there, the table toolwire_audit_calls.
//
// While the database cannot be reached, methods are UNAVAILABLE, at once or after the connect timeout; they work again
// by themselves. They are UNAVAILABLE too for what an operator will mend: rights, a read-only standby, a missing table,
// a credential that another transaction holds locked.
//
// Rows: JSON is kept as jsonb, so as a value and not byte for byte. Columns that an existing table wants to have a
// value get {}, null, an empty text or 0. If its user_id has a foreign key, rows for users who are unknown there are
// INVALID_ARGUMENT, and a batch with such a row is refused; AuditLog then finds it by halving. A batch that takes
// longer than a statement may is DEADLINE_EXCEEDED: fewer rows may not be. A row without a call_id may be written
// twice, if the connection breaks in that moment.
//
// INVALID_ARGUMENT if the options cannot be; at most 20 connections, as in the replaced server. Larger params and
// results than `audit_json_bytes_max` are stored in a marked, shortened form.
absl::StatusOr<std::unique_ptr<Store>> OpenPgStore(const PgOptions& options,
                                                   size_t audit_json_bytes_max = kAuditJsonBytesMax);

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_STORE_PG_STORE_H_
