#include "common/store/open_store.h"

#include <sys/stat.h>

#include <filesystem>
#include <system_error>

#include "common/store/pg_store.h"
#include "common/store/sqlite_store.h"

namespace toolwire {

absl::StatusOr<std::unique_ptr<Store>> OpenStore(const StoreOptions& options) {
  if (const absl::Status status = Validate(options); !status.ok()) return status;
  if (!options.database.url.empty()) return OpenPgStore(options.database, options.audit_json_bytes_max);
  std::error_code ec;
  if (std::filesystem::create_directories(options.data_dir, ec)) chmod(options.data_dir.c_str(), 0700);
  if (ec) return absl::InvalidArgumentError("--data-dir=" + options.data_dir + ": " + ec.message());
  return OpenSqliteStore(SqlitePath(options), options.audit_json_bytes_max);
}

std::string SqlitePath(const StoreOptions& options) { return options.data_dir + "/toolwire.db"; }

}  // namespace toolwire
