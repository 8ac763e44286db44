#include "common/audit/audit_samples.h"

namespace toolwire {

AuditLog::Options AuditOptions(const StoreOptions& options, const std::string& lost_reason) {
  AuditLog::Options audit;
  audit.json_bytes_max = options.audit_json_bytes_max;
  audit.spool_dir = options.data_dir + "/spool";
  audit.spool_bytes_max = options.audit_spool_bytes_max;
  audit.lost_reason = lost_reason;
  return audit;
}

void AddAuditSamples(const AuditLog& audit, std::vector<Sample>* out) {
  const AuditLog::Counters counters = audit.counters();
  const auto count = [&](const char* name, const char* help, uint64_t value) {
    out->push_back({name, help, true, static_cast<double>(value), {}});
  };
  count("toolwire_audit_rows_written_total", "Audit rows written.", counters.written);
  count("toolwire_audit_rows_dropped_total", "Audit rows lost because queue and spool were full.", counters.dropped);
  count("toolwire_audit_rows_refused_total", "Audit rows the store refused.", counters.refused);
  count("toolwire_audit_failed_batches_total", "Writes that failed and were tried again.", counters.failed_batches);
  count("toolwire_audit_rows_recovered_total", "Audit rows of dead processes written.", counters.recovered);
  count("toolwire_audit_spool_errors_total", "Audit records the spool could not take.", counters.spool_errors);
  const auto gauge = [&](const char* name, const char* help, uint64_t value) {
    out->push_back({name, help, false, static_cast<double>(value), {}});
  };
  gauge("toolwire_audit_rows_waiting", "Audit rows not written yet.", counters.waiting);
  gauge("toolwire_audit_spool_bytes", "Files of the audit spool.", counters.spool_bytes);
}

}  // namespace toolwire
