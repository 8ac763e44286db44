#include "common/store/open_store.h"

#include <system_error>

#include "common/base/private_directory.h"
#include "common/store/pg_store.h"
#include "common/store/sqlite_store.h"

namespace toolwire {

absl::StatusOr<std::unique_ptr<Store>> OpenStore(const StoreOptions& options) {
  if (const absl::Status status = Validate(options); !status.ok()) return status;
  if (!options.database.url.empty()) return OpenPgStore(options.database, options.audit_json_bytes_max);
  const std::error_code ec = MakePrivateDirectories(options.data_dir);
  if (ec) return absl::InvalidArgumentError("--data-dir=" + options.data_dir + ": " + ec.message());
  return OpenSqliteStore(SqlitePath(options), options.audit_json_bytes_max);
}

std::string SqlitePath(const StoreOptions& options) { return options.data_dir + "/toolwire.db"; }

}  // namespace toolwire
