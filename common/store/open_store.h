// The store that the options ask for.
#ifndef TOOLWIRE_COMMON_STORE_OPEN_STORE_H_
#define TOOLWIRE_COMMON_STORE_OPEN_STORE_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/audit/audit_log.h"
#include "common/base/options.h"
#include "common/process/metrics.h"
#include "common/store/store.h"

namespace toolwire {

// PostgreSQL if there is a database URL, also while it is away; else SQLite in the data directory, which is created
// (mode 0700) if it is missing.
absl::StatusOr<std::unique_ptr<Store>> OpenStore(const StoreOptions& options);

// The audit log's options that follow from the store's. `lost_reason` names the process: what its calls end with if it
// ends before their outcome is known.
AuditLog::Options AuditOptions(const StoreOptions& options, const std::string& lost_reason);
void AddAuditSamples(const AuditLog& audit, std::vector<Sample>* out);

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_STORE_OPEN_STORE_H_
