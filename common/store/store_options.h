// Which store a process opens, and what it keeps there.
#ifndef TOOLWIRE_COMMON_STORE_STORE_OPTIONS_H_
#define TOOLWIRE_COMMON_STORE_STORE_OPTIONS_H_

#include <cstddef>
#include <string>

#include "absl/status/status.h"
#include "common/store/audit_row.h"
#include "common/store/pg_options.h"

namespace CLI {
class App;
}

namespace toolwire {

struct StoreOptions {
  std::string data_dir = "toolwire-data";  // The SQLite file's and the audit spool's directory; created if missing.
  PgOptions database;                      // Without a URL: SQLite in data_dir.
  bool database_required = false;          // Without a URL: refused, since SQLite is each process's own.
  size_t audit_json_bytes_max = kAuditJsonBytesMax;  // Larger params and results are audited in a shortened form.
  size_t audit_spool_bytes_max = 1u << 30;  // Files under data_dir/spool of one process: a million rows of 1 kB.
};

void AddStoreFlags(CLI::App* app, StoreOptions* options);
// DATABASE_URL and how it is used, for all that may open the store of production.
void AddDatabaseFlags(CLI::App* app, StoreOptions* options);
// What is wrong with a database URL, without a part of it, to be read after its name; empty: nothing.
std::string DatabaseUrlProblem(const std::string& url);
// INVALID_ARGUMENT for what no single flag can check.
absl::Status Validate(const StoreOptions& options);

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_STORE_STORE_OPTIONS_H_
