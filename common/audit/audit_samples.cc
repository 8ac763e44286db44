#include "common/audit/audit_samples.h"

namespace toolwire {

AuditLog::Options AuditOptions(const StoreOptions& options, const std::string& lost_reason) {
  AuditLog::Options audit;
  audit.json_bytes_max = options.audit_json_bytes_max;
  audit.spool.directory = options.data_dir + "/spool";
  audit.spool.bytes_max = options.audit_spool_bytes_max;
  audit.spool.lost_reason = lost_reason;
  return audit;
}

void AddAuditSamples(const AuditLog& audit, std::vector<Sample>* out) {
  const AuditLog::Counters counters = audit.counters();
  AddCount(out, "toolwire_audit_rows_written_total", "Audit rows written.", counters.written);
  AddCount(out, "toolwire_audit_rows_dropped_total", "Audit rows lost because queue and spool were full.",
           counters.dropped);
  AddCount(out, "toolwire_audit_rows_refused_total", "Audit rows the store refused.", counters.refused);
  AddCount(out, "toolwire_audit_failed_batches_total", "Writes that failed and were tried again.",
           counters.failed_batches);
  AddCount(out, "toolwire_audit_rows_recovered_total", "Audit rows of dead processes written.", counters.recovered);
  AddCount(out, "toolwire_audit_spool_errors_total", "Audit records the spool could not take.", counters.spool_errors);
  AddGauge(out, "toolwire_audit_rows_waiting", "Audit rows not written yet.", static_cast<double>(counters.waiting));
  AddGauge(out, "toolwire_audit_rows_aside", "Audit rows refused while the store takes no others; they wait.",
           static_cast<double>(counters.aside));
  AddGauge(out, "toolwire_audit_spool_bytes", "Files of the audit spool.", static_cast<double>(counters.spool_bytes));
}

}  // namespace toolwire
