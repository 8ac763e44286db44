#include "common/store/store_options.h"

#include "absl/strings/ascii.h"
#include "absl/strings/strip.h"
#include "common/base/flags.h"
#include "common/store/pg_url.h"

namespace toolwire {

using flags::Number;
using flags::Switch;
using flags::Text;

std::string DatabaseUrlProblem(const std::string& url) {
  constexpr absl::string_view kName = "DATABASE_URL";
  const absl::Status status = ReadPgUrl(url).status();
  absl::string_view problem = status.message();
  // Whoever shows it has the name of flag or variable before it.
  if (absl::ConsumePrefix(&problem, kName)) absl::ConsumePrefix(&problem, ":");
  return std::string(absl::StripLeadingAsciiWhitespace(problem));
}

void AddStoreFlags(CLI::App* app, StoreOptions* options) {
  Text(app, "--data-dir", &options->data_dir, "Directory of the SQLite store and of the audit spool")
      .Env("TOOLWIRE_DATA_DIR");
  Number(app, "--audit-json-bytes-max", &options->audit_json_bytes_max, 64, 16u << 20,
         "Larger params and results are audited in a shortened form");
  Number(app, "--audit-spool-bytes-max", &options->audit_spool_bytes_max, 1u << 20, size_t{1} << 40,
         "Audit rows on disk that wait for the store, in bytes");
}

void AddDatabaseFlags(CLI::App* app, StoreOptions* options) {
  Text(app, "--database-url", &options->database.url,
       "PostgreSQL, postgresql://user:password@host:port/database; empty: SQLite in --data-dir")
      .Env("DATABASE_URL")
      .Trimmed()
      .MayHavePassword("DATABASE_URL")
      .Check(DatabaseUrlProblem);
  Switch(app, "--database-required", &options->database_required,
         "Refuse to start without --database-url, where SQLite would be a store of this process alone")
      .Env("DATABASE_REQUIRED");
  Number(app, "--database-connections-max", &options->database.connections_max, 1, 20,
         "Connections of this process to PostgreSQL")
      .Env("DATABASE_CONNECTIONS_MAX");
}

absl::Status Validate(const StoreOptions& options) {
  if (options.data_dir.empty()) return absl::InvalidArgumentError("--data-dir must not be empty");
  if (options.database_required && options.database.url.empty()) {
    return absl::InvalidArgumentError("DATABASE_URL is empty, and --database-required (DATABASE_REQUIRED) is set");
  }
  return absl::OkStatus();
}

}  // namespace toolwire
