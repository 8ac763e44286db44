// The store of the embedded default: one SQLite file.
#ifndef TOOLWIRE_COMMON_STORE_SQLITE_STORE_H_
#define TOOLWIRE_COMMON_STORE_SQLITE_STORE_H_

#include <cstddef>
#include <memory>
#include <string>

#include "common/store/store.h"

namespace toolwire {

// Opens the file, or creates it with mode 0600, since it holds secrets' hashes; the directory of `path` must exist.
// Larger params and results than `audit_json_bytes_max` are stored in a marked, shortened form.
//
// Several processes may open the same file at once (write-ahead log; a writer waits up to 5 s for another). Within a
// process, reads and writes use separate connections, so a credential check never waits for an audit batch.
absl::StatusOr<std::unique_ptr<Store>> OpenSqliteStore(const std::string& path,
                                                       size_t audit_json_bytes_max = kAuditJsonBytesMax);

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_STORE_SQLITE_STORE_H_
