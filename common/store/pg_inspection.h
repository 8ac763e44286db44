// A look at a PostgreSQL database that changes nothing: whether Toolwire can use it.
#ifndef TOOLWIRE_COMMON_STORE_PG_INSPECTION_H_
#define TOOLWIRE_COMMON_STORE_PG_INSPECTION_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/clock_reading.h"
#include "common/store/pg_url.h"

namespace toolwire {

struct PgInspection {
  std::string address;  // host:port/dbname, for people.
  std::string role;
  std::string version;     // "15.14 (Debian 15.14-0+deb12u1)"
  int version_number = 0;  // 150014
  std::string encoding;    // Of the database: UTF8.
  bool read_only = false;  // A standby, or a database or role that may only read.
  std::string tls;         // The version of TLS of this connection: "TLSv1.3"; empty: it is not encrypted.
  PgProtection protection;
  int connections = 0;  // Open at the server, of anybody.
  int connections_max = 0;
  ClockReading clock;

  bool credentials_table = false, audit_table = false;
  bool our_columns = false;                  // Those that are added to tables taken over.
  bool call_index = false;                   // Without it rows are told apart by toolwire_audit_calls.
  std::vector<std::string> missing_columns;  // Other than that; `table.column`.
  std::vector<std::string> problems, warnings;  // As of PgTables; warnings also of FindPgRefusals.
  bool may_create_tables = false;
  bool owns_audit_table = false;  // So may add its column and index; also if it is not there.
  // "INSERT on tool_execution_logs", of tables that are there.
  std::vector<std::string> missing_privileges;
};

// Statements end after `timeout`, connecting after the same, but not before 2 s. Errors as of PgConnections. No message
// holds the password.
absl::StatusOr<PgInspection> InspectPg(const std::string& database_url, Duration timeout);

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_STORE_PG_INSPECTION_H_
