#include "common/store/open_store.h"

#include <sys/stat.h>

#include <filesystem>
#include <system_error>
#include <utility>

#include "common/store/pg_store.h"
#include "common/store/sqlite_store.h"

namespace toolwire {

absl::StatusOr<std::unique_ptr<Store>> OpenStore(const StoreOptions& options) {
  if (const absl::Status status = Validate(options); !status.ok()) return status;
  if (!options.database.url.empty()) {
    auto store = PgStore::Open(options.database, options.audit_json_bytes_max);
    if (!store.ok()) return store.status();
    return std::unique_ptr<Store>(*std::move(store));
  }
  std::error_code ec;
  if (std::filesystem::create_directories(options.data_dir, ec)) chmod(options.data_dir.c_str(), 0700);
  if (ec) return absl::InvalidArgumentError("--data-dir=" + options.data_dir + ": " + ec.message());
  auto store = SqliteStore::Open(options.data_dir + "/toolwire.db", options.audit_json_bytes_max);
  if (!store.ok()) return store.status();
  return std::unique_ptr<Store>(*std::move(store));
}

}  // namespace toolwire
