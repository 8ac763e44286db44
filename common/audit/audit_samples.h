// How a process sets up its audit log, and what it reports of it.
#ifndef TOOLWIRE_COMMON_AUDIT_AUDIT_SAMPLES_H_
#define TOOLWIRE_COMMON_AUDIT_AUDIT_SAMPLES_H_

#include <string>
#include <vector>

#include "common/audit/audit_log.h"
#include "common/base/counter.h"
#include "common/store/store_options.h"

namespace toolwire {

// The audit log's options that follow from the store's. `lost_reason` names the process: what its calls end with if it
// ends before their outcome is known.
AuditLog::Options AuditOptions(const StoreOptions& options, const std::string& lost_reason);
void AddAuditSamples(const AuditLog& audit, std::vector<Sample>* out);

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_AUDIT_AUDIT_SAMPLES_H_
