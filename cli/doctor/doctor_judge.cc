// Each Judge function takes what was found and returns findings: ok, warn or fail, what is the case, and what to do.
// Below the limits at the top an operator should act before something fails.

#include "cli/doctor/doctor_judge.h"

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace toolwire {
namespace {

constexpr int64_t kSkewMaxMs = 1000;
constexpr uint64_t kOpenFilesFew = 4096;
constexpr uint64_t kOpenFilesKept = 256;  // Of an edge's, for everything but agents.
constexpr uint64_t kFreeBytesMin = 64u << 20;
constexpr int64_t kCertificateDaysMin = 14;
constexpr int kRedisMajorMin = 5;       // Scripts that read the clock and then write.
constexpr int kPostgresMin = 100000;    // 10: what the statements of the doctor and the store need.
constexpr int kConnectionsFreeMin = 5;  // At PostgreSQL: one process more.

std::string Mebibytes(uint64_t bytes) { return absl::StrCat(bytes >> 20, " MiB"); }

// "1.25 s" of 1250.
std::string Seconds(int64_t ms) { return absl::StrCat(static_cast<double>(ms) / 1000, " s"); }

Finding JudgeRedisServer(const RedisInspection& redis) {
  const std::string where = absl::StrCat("Redis at ", redis.address);
  if (!redis.server) return Ok("redis", absl::StrCat(where, " answers; INFO is not allowed for this login"));
  const RedisInspection::Server& server = *redis.server;
  if (server.cluster) {
    return Fail("redis", absl::StrCat(where, " is part of a Redis Cluster, which is not supported"),
                "use a single Redis server, if need be with replicas and Sentinel");
  }
  if (server.replica) {
    return Fail("redis", absl::StrCat(where, " is a replica, which takes no writes"), "let REDIS_URL name the primary");
  }
  int major = 0;
  const std::vector<std::string> version = absl::StrSplit(server.version, '.');
  if (absl::SimpleAtoi(version[0], &major) && major < kRedisMajorMin) {
    return Fail("redis", absl::StrCat(where, " is version ", server.version), "use Redis 5 or newer; 7 is tested");
  }
  return Ok("redis", absl::StrCat(where, " answers, version ", server.version));
}

Finding JudgeRedisMemory(const RedisInspection::Server& server) {
  const std::string used = Mebibytes(server.memory_bytes);
  if (server.memory_bytes_max == 0) {
    return Ok("redis memory", absl::StrCat(used, " used, no maxmemory: nothing is evicted"));
  }
  const std::string of = absl::StrCat(used, " of ", Mebibytes(server.memory_bytes_max), " used, maxmemory-policy ",
                                      server.eviction_policy);
  if (server.eviction_policy != "noeviction") {
    return Warn("redis memory", absl::StrCat(of, ": a full Redis drops leases, and agents cannot be found"),
                "CONFIG SET maxmemory-policy noeviction, here and in redis.conf");
  }
  if (server.memory_bytes > server.memory_bytes_max / 10 * 9) {
    return Warn("redis memory", absl::StrCat(of, ": a full Redis refuses agents that connect"), "raise maxmemory");
  }
  return Ok("redis memory", of);
}

Findings JudgeEdges(const RedisInspection& redis) {
  Findings findings;
  if (redis.edges.empty()) {
    findings.push_back(Fail("edges", absl::StrCat("no edge is announced in Redis at ", redis.address),
                            "start toolwire-edge with this REDIS_URL; if one runs, look whether it has the same one"));
  } else {
    std::vector<std::string> names;
    for (const EdgeAddress& edge : redis.edges) names.push_back(edge.edge_id);
    findings.push_back(Ok("edges", absl::StrCat("announced in Redis: ", absl::StrJoin(names, ", "))));
  }
  for (const std::string& edge : redis.silent_edges) {
    findings.push_back(Warn("edges", absl::StrCat(edge, " was announced in Redis and no longer says that it is alive"),
                            "if it should run, look at its log; if not, controls forget it by themselves"));
  }
  for (const std::string& edge : redis.strange_edges) {
    findings.push_back(Warn("edges", absl::StrCat("what edge:", edge, " holds in Redis was not written by an edge"),
                            "give Toolwire a Redis, or a database number of it, of its own"));
  }
  return findings;
}

Finding JudgePostgresServer(const PgInspection& database) {
  const std::string where = absl::StrCat("PostgreSQL at ", database.address);
  if (database.version_number < kPostgresMin) {
    return Fail("postgres", absl::StrCat(where, " is version ", database.version),
                "use PostgreSQL 10 or newer; 15 is tested");
  }
  if (database.read_only) {
    return Fail("postgres", absl::StrCat(where, " may only be read: a standby, or default_transaction_read_only"),
                "let DATABASE_URL name the primary, and a role that may write");
  }
  if (database.encoding != "UTF8") {
    return Warn("postgres", absl::StrCat(where, " keeps text in ", database.encoding, ": some of it cannot be stored"),
                "use a database with the encoding UTF8");
  }
  if (database.connections_max - database.connections < kConnectionsFreeMin) {
    return Warn("postgres",
                absl::StrCat(where, ": ", database.connections, " of ", database.connections_max, " connections taken"),
                "raise max_connections, or lower --database-connections-max of the processes");
  }
  return Ok("postgres", absl::StrCat(where, " answers ", database.role, ", version ", database.version));
}

Finding JudgePostgresTls(const PgInspection& database) {
  const PgProtection& protection = database.protection;
  // A server that is asked through a pooler tells of the pooler's connection; what the URL insists on holds anyhow.
  const bool is_encrypted = !database.tls.empty() || (protection.encrypts && !protection.on_this_machine);
  const std::string encrypted = !is_encrypted          ? "not encrypted"
                                : database.tls.empty() ? "encrypted"
                                                       : absl::StrCat("encrypted by ", database.tls);
  if (is_encrypted && protection.server == PgProtection::Server::kNamedInUrl) {
    return Ok("postgres tls",
              absl::StrCat(encrypted, "; the certificate is of the CA and names the host of DATABASE_URL"));
  }
  if (protection.on_this_machine) {
    return Ok("postgres tls",
              absl::StrCat(encrypted, ", and does not leave this machine (sslmode=", protection.sslmode, ")"));
  }
  return Warn("postgres tls", absl::StrCat("this connection is ", encrypted, "; ", RisksOf(protection)), kPgUrlAdvice);
}

Finding JudgeTables(const PgInspection& database) {
  constexpr char kCheck[] = "postgres tables";
  const bool exist = database.credentials_table && database.audit_table;
  if (!database.missing_columns.empty()) {
    return Fail(kCheck, absl::StrCat("missing: ", absl::StrJoin(database.missing_columns, ", ")),
                "add the columns, or let DATABASE_URL name another database; README says what tables are expected");
  }
  if (!database.missing_privileges.empty()) {
    return Fail(kCheck, absl::StrCat(database.role, " lacks ", absl::StrJoin(database.missing_privileges, ", ")),
                absl::StrCat("GRANT them TO ", database.role));
  }
  const bool may_complete = database.may_create_tables && database.owns_audit_table;
  const char* const run = may_complete ? "run toolwire migrate; servers change no table"
                                       : "run toolwire migrate with a role that may: the owner of the tables";
  // What only people can mend comes with what to do.
  if (exist && database.our_columns && !database.problems.empty()) {
    return Fail(kCheck, absl::StrJoin(database.problems, "; "), "do that, then toolwire migrate if it is asked for");
  }
  if (!exist || !database.our_columns) {
    return Fail(kCheck,
                database.problems.empty() ? "columns of ours are missing" : absl::StrJoin(database.problems, "; "), run);
  }
  if (!database.call_index) {
    return Warn(kCheck, "the unique index on tool_execution_logs.call_id is missing: rows are told apart by "
                        "toolwire_audit_calls, at a higher price",
                absl::StrCat(run, "; a partitioned table stays so"));
  }
  if (!database.warnings.empty()) {
    return Warn(kCheck, absl::StrJoin(database.warnings, "; "), "mend that if such rows are to be expected");
  }
  return Ok(kCheck, "agent_credentials and tool_execution_logs are there, with the rights that are needed");
}

}  // namespace

Finding JudgeClock(const std::string& check, const std::string& whose, const ClockReading& clock) {
  const int64_t off_ms = std::abs(clock.skew_ms);
  if (off_ms - clock.uncertainty_ms > kSkewMaxMs) {
    return Warn(check,
                absl::StrCat(whose, "'s clock is ", Seconds(off_ms), clock.skew_ms > 0 ? " ahead of" : " behind",
                             " this machine's"),
                "run NTP on both machines (timedatectl status)");
  }
  return Ok(check,
            absl::StrCat(whose, "'s clock agrees with this machine's to ",
                         off_ms + clock.uncertainty_ms > kSkewMaxMs ? Seconds(off_ms + clock.uncertainty_ms) : "1 s"));
}

Findings JudgeRedis(const RedisInspection& redis) {
  Findings findings = {JudgeRedisServer(redis)};
  if (!redis.risks.empty()) {
    findings.push_back(Warn("redis protection",
                            absl::StrCat("on the way to Redis at ", redis.address, ": ", redis.risks),
                            "use rediss://, a user with a password, and a certificate with the name that is dialled"));
  }
  for (const std::string& why : redis.unavailable_sentinels) {
    findings.push_back(Warn("redis sentinel", why, "start it, or correct REDIS_URL; a failover needs most of them"));
  }
  for (const std::string& what : redis.refusals) {
    findings.push_back(Fail("redis rights", absl::StrCat("Redis at ", redis.address, " refuses ", what),
                            "mend what it names; docs/tls.md has the rights that its user needs"));
  }
  if (redis.server) findings.push_back(JudgeRedisMemory(*redis.server));
  findings.push_back(JudgeClock("redis clock", "Redis", redis.clock));
  for (Finding& finding : JudgeEdges(redis)) findings.push_back(std::move(finding));
  return findings;
}

Findings JudgePostgres(const PgInspection& database) {
  return {JudgePostgresServer(database), JudgePostgresTls(database), JudgeTables(database),
          JudgeClock("postgres clock", "PostgreSQL", database.clock)};
}

Finding JudgePostgresError(const absl::Status& error) {
  const std::string message(error.message());
  if (absl::IsInvalidArgument(error)) return Fail("postgres", message, "correct DATABASE_URL");
  // The words of libpq, or of the server.
  static constexpr struct {
    const char *words, *advice;
  } kAdvice[] = {
      {"certificate verify failed",
       "let sslrootcert in DATABASE_URL name the CA of the server's certificate; look whether that has expired"},
      {"does not match host name",
       "let DATABASE_URL name the host as the server's certificate does, or give the server one that names this host"},
      {"root certificate file", "let sslrootcert in DATABASE_URL name the file of the CA, readable for this user"},
      {"does not support SSL", "turn TLS on at the server (ssl = on), or look whether a proxy is in between"},
      {"client certificate", "let sslcert and sslkey in DATABASE_URL name a certificate that the server asks for"},
      {"certificate required", "let sslcert and sslkey in DATABASE_URL name a certificate that the server asks for"},
      {"unknown ca", "let sslcert in DATABASE_URL name a certificate of the CA that the server trusts (ssl_ca_file)"},
      {"certificate expired", "renew the certificate that sslcert in DATABASE_URL names"},
      {"private key file", "let sslkey in DATABASE_URL name the key of sslcert, unencrypted, with mode 0600"},
      {"no encryption", kPgUrlAdvice},
  };
  for (const auto& [words, advice] : kAdvice) {
    if (absl::StrContains(message, words)) return Fail("postgres", message, advice);
  }
  return Fail("postgres", message, "start PostgreSQL, or correct host, database, user and password in DATABASE_URL");
}

Finding JudgeOpenFiles(uint64_t soft, uint64_t hard) {
  const std::string limits =
      absl::StrCat("at most ", hard, " for a process started from here (soft limit ", soft, ", which servers raise)");
  if (hard < kOpenFilesFew) {
    const uint64_t agents = hard > 2 * kOpenFilesKept ? hard - kOpenFilesKept : hard / 2;
    return Warn("open files", absl::StrCat(limits, ": ", agents, " agents on an edge"),
                "raise it: ulimit -Hn, or LimitNOFILE= in the service's unit");
  }
  return Ok("open files", limits);
}

Finding JudgeFreeSpace(const std::string& path, uint64_t free_bytes, uint64_t spool_bytes_max) {
  const std::string free = absl::StrCat(path, " has ", Mebibytes(free_bytes), " free");
  if (free_bytes < kFreeBytesMin) {
    return Fail("data dir", absl::StrCat(free, ": audit rows will not outlive their process"), "make room there");
  }
  if (free_bytes < spool_bytes_max) {
    return Warn("data dir", absl::StrCat(free, ", less than the audit spool of one process may take"),
                absl::StrCat("make room, or lower --audit-spool-bytes-max from ", spool_bytes_max));
  }
  return Ok("data dir", absl::StrCat(free, " and can be written"));
}

Finding JudgeCertificate(const std::string& host, int64_t days_left, const std::string& trouble) {
  const std::string whose = absl::StrCat("the certificate of ", host);
  if (days_left < 0) {
    return Fail("certificates", absl::StrCat(whose, " expired ", -days_left, " days ago"), "renew it");
  }
  if (!trouble.empty()) {
    return Fail("certificates", absl::StrCat(whose, " is not trusted here: ", trouble),
                "serve the whole chain for this host name, from an authority that agents know");
  }
  if (days_left < kCertificateDaysMin) {
    return Warn("certificates", absl::StrCat(whose, " expires in ", days_left, " days"),
                "renew it, and see why that did not happen by itself");
  }
  return Ok("certificates", absl::StrCat(whose, " is good for ", days_left, " days"));
}

Finding JudgeEdgeHealth(const std::string& address, int http_status, const std::string& body) {
  const nlohmann::json health = nlohmann::json::parse(body, nullptr, false);
  const auto text = [&](const char* name) {
    const auto found = health.is_object() ? health.find(name) : health.end();
    return found != health.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  const std::string status = text("status");
  if (status.empty()) {
    return Fail("edge", absl::StrCat("what answers at ", address, " is no edge (HTTP status ", http_status, ")"),
                "name an edge with --edge-url, as agents reach it");
  }
  const std::string who = absl::StrCat(text("serverId"), " at ", address);
  if (status == "draining") {
    return Warn("edge", absl::StrCat(who, " is stopping and takes no agents"), "wait for its successor");
  }
  if (status != "healthy") {
    std::vector<std::string> unavailable;
    if (text("registry") == "away") unavailable.emplace_back("Redis");
    if (text("store") == "away") unavailable.emplace_back("the store");
    return Warn("edge", absl::StrCat(who, " is ", status, "; unavailable to it: ", absl::StrJoin(unavailable, ", ")),
                "agents that are connected stay; for new ones mend what is unavailable, as that edge sees it");
  }
  const auto connections = health.find("connections");
  const int64_t agents = connections != health.end() && connections->is_number() ? connections->get<int64_t>() : 0;
  return Ok("edge", absl::StrCat(who, " is healthy, agents connected: ", agents));
}

}  // namespace toolwire
