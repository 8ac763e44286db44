// The only code that changes tables. Each table step is a transaction of its own, which waits 200 ms for its lock and
// then lets others go first for a while, since all who come after a waiting ALTER TABLE wait behind it; who holds the
// lock is asked and told. Indexes are built CONCURRENTLY by a thread with a connection of its own, while another one
// asks PostgreSQL how far it has come. Migrations at the same time are kept apart by an advisory lock, which a third
// connection holds in a transaction: nothing depends on a session, so a pooler may stand before the server.

#include "common/store/pg_migration.h"

#include <algorithm>
#include <atomic>
#include <future>
#include <memory>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/store/pg_connections.h"
#include "common/store/pg_schema.h"

namespace toolwire {
namespace {

using std::chrono::milliseconds;

constexpr char kDoing[] = "looking at the tables";
constexpr char kDoingTables[] = "preparing the tables";
constexpr char kDoingIndexes[] = "preparing the indexes";
constexpr char kSize[] =
    "SELECT greatest(c.reltuples, 0)::bigint, pg_size_pretty(pg_table_size(c.oid)) FROM pg_class c"
    " WHERE c.oid = to_regclass('tool_execution_logs')";
// Advisory locks of ours: a number that other programs are unlikely to use, and one for each step.
constexpr char kLockTables[] = "SELECT pg_advisory_xact_lock(1953460076, 1)";
constexpr char kTryLockIndexes[] = "SELECT pg_try_advisory_xact_lock(1953460076, 2)";
// All others wait behind a statement that waits for its lock on a table, so it gives up soon.
constexpr char kShortLock[] = "SET LOCAL lock_timeout = '200ms'";
constexpr char kKeepTransaction[] =
    "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0";

constexpr char kHolders[] = R"sql(
SELECT DISTINCT a.pid, coalesce(nullif(a.application_name, ''), 'unnamed'), coalesce(a.state, 'unknown'),
  coalesce(extract(epoch FROM clock_timestamp() - a.xact_start)::bigint, 0), left(regexp_replace(a.query, '\s+', ' ', 'g'), 80)
FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.granted AND l.pid <> pg_backend_pid()
  AND l.relation IN (to_regclass('agent_credentials'), to_regclass('tool_execution_logs'))
ORDER BY 4 DESC LIMIT 3)sql";
constexpr char kProgress[] = R"sql(
SELECT coalesce(p.index_relid::regclass::text, 'new index'), p.phase,
  coalesce((100 * p.blocks_done / nullif(p.blocks_total, 0))::text || ' % of the blocks', ''),
  coalesce(a.pid, 0), coalesce(nullif(a.application_name, ''), 'unnamed'),
  coalesce(left(regexp_replace(a.query, '\s+', ' ', 'g'), 80), '')
FROM pg_stat_progress_create_index p LEFT JOIN pg_stat_activity a ON a.pid = p.current_locker_pid
WHERE p.datname = current_database() AND p.relid = to_regclass('tool_execution_logs') LIMIT 1)sql";
constexpr char kIsBuilt[] =
    "SELECT count(*) FROM pg_stat_progress_create_index"
    " WHERE datname = current_database() AND relid = to_regclass('tool_execution_logs')";

constexpr Duration kFirstPause = milliseconds(500);
constexpr Duration kLongestPause = std::chrono::seconds(15);
constexpr Duration kProgressEvery = std::chrono::seconds(2);

absl::StatusOr<std::unique_ptr<PgConnections>> Connect(PgOptions options) {
  options.connections_max = kPgLanes;
  options.change_lock_timeout = Duration::zero();
  return PgConnections::Open(options);
}

// An operator's to mend, before anything can be added.
absl::Status CheckTables(const PgTables& tables) {
  if (const auto missing = MissingPgColumns(tables); !missing.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("the column ", missing.front(),
                     " is missing in a table that is there; only our own columns and indexes are added to such tables"));
  }
  for (const PgTable* table : {&tables.credentials, &tables.audit}) {
    if (table->exists || table->other_schema.empty()) continue;
    const std::string why =
        table == &tables.credentials ? tables.CredentialsProblem() : tables.AuditProblem();
    return absl::FailedPreconditionError(why);
  }
  if (tables.audit.kind == 'v' || tables.audit.kind == 'm') {
    return absl::FailedPreconditionError(tables.AuditProblem());
  }
  return absl::OkStatus();
}

absl::StatusOr<MigrationPlan> Plan(PgConnections& connections) {
  MigrationPlan plan;
  plan.store = absl::StrCat("PostgreSQL at ", connections.address());
  plan.risks = RisksOf(connections.protection());
  if (!plan.risks.empty()) absl::StrAppend(&plan.risks, ": ", kPgUrlAdvice);
  const absl::Status status = connections.Run(PgLane::kListings, [&](PgSession& session) {
    plan.steps.clear();
    pqxx::read_transaction transaction(session.connection());
    const PgTables tables = LookAtPgTables(session, transaction);
    if (absl::Status bad = CheckTables(tables); !bad.ok()) return bad;
    plan.steps = FindPgTableSteps(tables);
    for (MigrationStep& step : FindPgIndexSteps(session, transaction, tables)) plan.steps.push_back(std::move(step));
    for (const auto& row : session.Exec(transaction, kDoing, kSize)) {
      plan.size = absl::StrCat("tool_execution_logs has about ", row[0].as<int64_t>(), " rows, ", row[1].c_str());
    }
    return absl::OkStatus();
  });
  if (!status.ok()) return status;
  return plan;
}

// Whether waiting helps: the database is unavailable, or others hold a lock.
bool Passes(const absl::Status& status) {
  const std::string state = SqlState(status);
  return absl::IsUnavailable(status) &&
         (state.empty() || state == "55P03" || state == "40P01" || state == "53300" || state.substr(0, 2) == "57");
}

// Who holds a lock on the tables, oldest first, as the end of a sentence.
std::string Holders(PgConnections& connections) {
  std::string holders;
  connections
      .Run(PgLane::kListings,
           [&](PgSession& session) {
             holders.clear();
             pqxx::nontransaction transaction(session.connection());
             for (const auto& row : session.Exec(transaction, kDoing, kHolders)) {
               absl::StrAppend(&holders, holders.empty() ? "; held by " : ", ", row[1].c_str(), " (pid ",
                               row[0].c_str(), ", ", row[2].c_str(), " for ", row[3].c_str(), " s: ", row[4].c_str(),
                               ")");
             }
             return absl::OkStatus();
           })
      .IgnoreError();
  return holders;
}

// Tries until `work` succeeds, fails for good, or the time is over. FAILED_PRECONDITION for what an operator must mend.
absl::Status Patiently(PgConnections& connections, MonoTime deadline, const MigrationEvents& events,
                       const std::function<absl::Status()>& work) {
  for (Duration pause = kFirstPause;; pause = std::min(2 * pause, kLongestPause)) {
    absl::Status status = work();
    if (status.ok()) return status;
    if (!Passes(status)) {
      return absl::IsUnavailable(status) ? absl::FailedPreconditionError(status.message()) : status;
    }
    const std::string what =
        absl::StrCat(std::string(status.message()), IsLockTimeout(status) ? Holders(connections) : "");
    const Duration left = deadline - std::chrono::steady_clock::now();
    if (left <= Duration::zero()) return absl::UnavailableError(what);
    events.on_waiting(absl::StrCat(what, "; tried again"));
    std::this_thread::sleep_for(std::min(pause, left));
  }
}

// One sentence about the index that is being built, by whom ever.
std::string Progress(PgConnections& connections) {
  std::string sentence = "waiting for another process that builds indexes, or for older transactions";
  // A server before version 12 has no such view; then there is nothing to report.
  connections
      .Run(PgLane::kListings,
           [&](PgSession& session) {
             pqxx::nontransaction transaction(session.connection());
             for (const auto& row : session.Exec(transaction, kDoing, kProgress)) {
               sentence =
                   absl::StrCat(row[0].c_str(), ": ", row[1].c_str(), *row[2].c_str() == 0 ? "" : ", ", row[2].c_str());
               if (row[3].as<int>() == 0) continue;
               absl::StrAppend(&sentence, ", of ", row[4].c_str(), " (pid ", row[3].c_str(), ": ", row[5].c_str(), ")");
             }
             return absl::OkStatus();
           })
      .IgnoreError();
  return sentence;
}

// Takes the first table step that is left, if there is one.
absl::Status TakeTableStep(PgConnections& connections, bool* took) {
  *took = false;
  return connections.Run(PgLane::kChanges, [&](PgSession& session) {
    pqxx::work transaction(session.connection());
    session.Exec(transaction, kDoingTables, kShortLock);
    session.Exec(transaction, kDoingTables, kLockTables);
    const std::vector<MigrationStep> steps = FindPgTableSteps(LookAtPgTables(session, transaction));
    if (steps.empty()) return absl::OkStatus();
    for (const auto& statement : absl::StrSplit(steps.front().statement, ";\n")) {
      session.Exec(transaction, kDoingTables, std::string(statement));
    }
    transaction.commit();
    *took = true;
    return absl::OkStatus();
  });
}

// Runs `work` while no other migration builds. Polled, not waited for: CREATE INDEX CONCURRENTLY waits for all
// statements that began before it, and so would wait for one that waits for this lock. A server goes on building for a
// while when the process that told it to is gone, so that is waited for as well: what it builds is not dropped.
absl::Status AloneWithIndexes(PgConnections& connections, const std::function<absl::Status()>& work) {
  while (true) {
    bool is_alone = false;
    absl::Status status = connections.Run(PgLane::kStatus, [&](PgSession& session) -> absl::Status {
      pqxx::work transaction(session.connection());
      is_alone = session.Exec(transaction, kDoingIndexes, kTryLockIndexes)[0][0].as<bool>() &&
                 session.Exec(transaction, kDoingIndexes, kIsBuilt)[0][0].as<int>() == 0;
      if (!is_alone) return absl::OkStatus();
      // Last, and in the simple protocol: the portal of a statement with parameters keeps its snapshot until the next
      // statement, and CREATE INDEX CONCURRENTLY would wait for it, and so for us.
      transaction.exec(kKeepTransaction);
      session.Rest();
      return work();
    });
    if (is_alone || !status.ok()) return status;
    std::this_thread::sleep_for(milliseconds(100));
  }
}

absl::Status BuildIndexes(PgConnections& connections, const std::function<void(const std::string&)>& on_step) {
  return AloneWithIndexes(connections, [&] {
    bool has_begun = false;
    return connections.Run(PgLane::kAudit, [&](PgSession& session) -> absl::Status {
      // Else on another connection, while the server builds on for the one that broke, perhaps without the lock of
      // AloneWithIndexes.
      if (has_begun) return absl::UnavailableError(absl::StrCat(kDoingIndexes, ": the connection broke"));
      has_begun = true;
      session.LiftTimeout();
      pqxx::nontransaction transaction(session.connection());
      for (const MigrationStep& step :
           FindPgIndexSteps(session, transaction, LookAtPgTables(session, transaction))) {
        if (step.is_brief) {
          transaction.exec(absl::StrCat(kShortLock, "; ", step.statement));  // Sent together: one transaction.
        } else {
          for (const auto& statement : absl::StrSplit(step.statement, ";\n")) {
            session.Exec(transaction, kDoingIndexes, std::string(statement));
          }
        }
        on_step(step.what);
      }
      return absl::OkStatus();
    });
  });
}

}  // namespace

absl::StatusOr<MigrationPlan> PlanPgMigration(const PgOptions& options) {
  const auto connections = Connect(options);
  if (!connections.ok()) return connections.status();
  return Plan(**connections);
}

absl::StatusOr<MigrationPlan> MigratePg(const PgOptions& options, Duration patience, const MigrationEvents& events) {
  const MonoTime deadline = std::chrono::steady_clock::now() + patience;
  const auto opened = Connect(options);
  if (!opened.ok()) return opened.status();
  PgConnections& connections = **opened;
  absl::StatusOr<MigrationPlan> plan;
  absl::Status status = Patiently(connections, deadline, events, [&] {
    plan = Plan(connections);
    return plan.status();
  });
  if (!status.ok()) return status;
  if (plan->steps.empty()) return plan;
  for (bool took = true; took;) {
    status = Patiently(connections, deadline, events, [&] { return TakeTableStep(connections, &took); });
    if (!status.ok()) return status;
  }
  std::vector<MigrationStep> left = plan->steps;
  const auto report = [&](const std::function<bool(const MigrationStep&)>& is_done) {
    const auto first_left = std::stable_partition(left.begin(), left.end(), is_done);
    std::for_each(left.begin(), first_left, events.on_done);
    left.erase(left.begin(), first_left);
  };
  report([](const MigrationStep& step) { return step.what.rfind("index ", 0) != 0; });
  status = Patiently(connections, deadline, events, [&] {
    auto building = std::async(std::launch::async, [&] {
      return BuildIndexes(connections, [&](const std::string& what) {
        report([&](const MigrationStep& step) { return step.what == what; });
      });
    });
    while (building.wait_for(kProgressEvery) != std::future_status::ready) events.on_waiting(Progress(connections));
    return building.get();
  });
  if (!status.ok()) return status;
  report([](const MigrationStep&) { return true; });  // What another migration has done meanwhile.
  return plan;
}

}  // namespace toolwire
