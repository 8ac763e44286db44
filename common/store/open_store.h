// The store that the options ask for.
#ifndef TOOLWIRE_COMMON_STORE_OPEN_STORE_H_
#define TOOLWIRE_COMMON_STORE_OPEN_STORE_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/store/store.h"
#include "common/store/store_options.h"

namespace toolwire {

// PostgreSQL if there is a database URL, also while it is unavailable; else SQLite in the data directory, which is
// created (mode 0700) if it is missing.
absl::StatusOr<std::unique_ptr<Store>> OpenStore(const StoreOptions& options);
// The SQLite file that it opens if there is no database URL.
std::string SqlitePath(const StoreOptions& options);

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_STORE_OPEN_STORE_H_
