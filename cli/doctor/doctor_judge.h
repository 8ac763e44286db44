// What is good and what is not: `toolwire doctor` without its input and output.
#ifndef TOOLWIRE_CLI_DOCTOR_DOCTOR_JUDGE_H_
#define TOOLWIRE_CLI_DOCTOR_DOCTOR_JUDGE_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "cli/doctor/doctor_finding.h"
#include "common/registry/redis_inspection.h"
#include "common/store/pg_inspection.h"

namespace toolwire {

// A clock that differs by more than 1 s, for certain, is a warning: times in the audit log and in listings then
// depend on which process wrote them. `whose`: "Redis".
Finding JudgeClock(const std::string& check, const std::string& whose, const ClockReading& clock);

// The server itself, its memory, its clock, and what is announced there.
Findings JudgeRedis(const RedisInspection& redis);
// The server itself, how the connection is protected, the tables and rights, its clock.
Findings JudgePostgres(const PgInspection& database);
// Why there is no PgInspection.
Finding JudgePostgresError(const absl::Status& error);

// `hard` is the limit up to which servers raise theirs; what one agent takes is one file.
Finding JudgeOpenFiles(uint64_t soft, uint64_t hard);
// Free space for the store and the audit spool at `path`, where one process's spool may grow to `spool_bytes_max`.
Finding JudgeFreeSpace(const std::string& path, uint64_t free_bytes, uint64_t spool_bytes_max);
// A certificate that ends in so many days, negative if it has ended; `trouble` is why it cannot be trusted, or empty.
Finding JudgeCertificate(const std::string& host, int64_t days_left, const std::string& trouble);
// What an edge's /health answered.
Finding JudgeEdgeHealth(const std::string& address, int http_status, const std::string& body);

}  // namespace toolwire

#endif  // TOOLWIRE_CLI_DOCTOR_DOCTOR_JUDGE_H_
