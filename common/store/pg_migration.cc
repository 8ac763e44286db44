// What servers do when they start, done before that and with reports. The tables are made or extended by short
// transactions, tried until they get their locks. The indexes are built by a thread with a connection of its own, while
// this one asks PostgreSQL how far it has come. Servers and other migrations at the same time are kept apart by the
// advisory locks of pg_schema.

#include "common/store/pg_migration.h"

#include <algorithm>
#include <future>
#include <memory>
#include <thread>

#include "absl/strings/str_cat.h"
#include "common/store/pg_connections.h"
#include "common/store/pg_schema.h"

namespace toolwire {
namespace {

using std::chrono::milliseconds;

constexpr char kDoing[] = "looking at the tables";
constexpr char kSize[] =
    "SELECT greatest(c.reltuples, 0)::bigint, pg_size_pretty(pg_table_size(c.oid)) FROM pg_class c"
    " WHERE c.oid = to_regclass('tool_execution_logs')";
constexpr char kProgress[] =
    "SELECT coalesce(index_relid::regclass::text, 'new index'), phase,"
    " coalesce((100 * blocks_done / nullif(blocks_total, 0))::text || ' % of the blocks', '')"
    " FROM pg_stat_progress_create_index"
    " WHERE datname = current_database() AND relid = to_regclass('tool_execution_logs') LIMIT 1";

constexpr Duration kFirstPause = milliseconds(250);
constexpr Duration kLongestPause = std::chrono::seconds(5);
constexpr Duration kProgressEvery = std::chrono::seconds(2);

absl::StatusOr<std::unique_ptr<PgConnections>> Connect(PgOptions options) {
  options.connections_max = 2;
  return PgConnections::Open(options);
}

absl::StatusOr<MigrationPlan> Plan(PgConnections& connections) {
  MigrationPlan plan;
  plan.store = absl::StrCat("PostgreSQL at ", connections.address());
  const absl::Status status = connections.Run([&](PgSession& session) {
    pqxx::read_transaction transaction(session.connection());
    const PgTablesFound found = FindPgTables(session, transaction);
    if (!found.missing_columns.empty()) {
      return absl::FailedPreconditionError(absl::StrCat(
          "the column ", found.missing_columns.front(),
          " is missing in a table that is there; only call_id, caller and indexes are added to such tables"));
    }
    plan.steps = FindPgSteps(session, transaction);
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
  return absl::IsUnavailable(status) && (state.empty() || state == "55P03" || state.substr(0, 2) == "57");
}

// Tries until `work` succeeds, fails for good, or the time is over. FAILED_PRECONDITION for what an operator must mend.
absl::Status Patiently(MonoTime deadline, const MigrationEvents& events, const std::function<absl::Status()>& work) {
  for (Duration pause = kFirstPause;; pause = std::min(2 * pause, kLongestPause)) {
    absl::Status status = work();
    if (status.ok()) return status;
    if (!Passes(status)) {
      return absl::IsUnavailable(status) ? absl::FailedPreconditionError(status.message()) : status;
    }
    const Duration left = deadline - std::chrono::steady_clock::now();
    if (left <= Duration::zero()) return status;
    events.on_waiting(absl::StrCat(std::string(status.message()), "; tried again"));
    std::this_thread::sleep_for(std::min(pause, left));
  }
}

// One sentence about the index that is being built, by whom ever.
std::string Progress(PgConnections& connections) {
  std::string sentence = "waiting for another process that builds indexes, or for older transactions";
  // A server before version 12 has no such view; then there is nothing to report.
  connections
      .Run([&](PgSession& session) {
        pqxx::nontransaction transaction(session.connection());
        for (const auto& row : session.Exec(transaction, kDoing, kProgress)) {
          sentence =
              absl::StrCat(row[0].c_str(), ": ", row[1].c_str(), *row[2].c_str() == 0 ? "" : ", ", row[2].c_str());
        }
        return absl::OkStatus();
      })
      .IgnoreError();
  return sentence;
}

absl::Status BuildIndexes(PgConnections& connections, const std::function<void(const std::string&)>& on_index) {
  return connections.Run([&](PgSession& session) {
    const absl::StatusOr<PgAuditTable> table = PreparePgTables(session);
    if (!table.ok()) return table.status();
    BuildPgIndexes(session, *table, on_index, [] { return false; });
    return absl::OkStatus();
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
  absl::Status status = Patiently(deadline, events, [&] {
    plan = Plan(connections);
    return plan.status();
  });
  if (!status.ok()) return status;
  if (plan->steps.empty()) return plan;
  status = Patiently(deadline, events, [&] {
    return connections.Run([](PgSession& session) { return PreparePgTables(session).status(); });
  });
  if (!status.ok()) return status;
  std::vector<MigrationStep> left = plan->steps;
  const auto report = [&](const std::function<bool(const MigrationStep&)>& is_done) {
    const auto first_left = std::stable_partition(left.begin(), left.end(), is_done);
    std::for_each(left.begin(), first_left, events.on_done);
    left.erase(left.begin(), first_left);
  };
  report([](const MigrationStep& step) { return step.what.rfind("index ", 0) != 0; });
  status = Patiently(deadline, events, [&] {
    auto building = std::async(std::launch::async, [&] {
      return BuildIndexes(connections, [&](const std::string& name) {
        report([&](const MigrationStep& step) { return step.what == "index " + name; });
      });
    });
    while (building.wait_for(kProgressEvery) != std::future_status::ready) events.on_waiting(Progress(connections));
    return building.get();
  });
  if (!status.ok()) return status;
  return plan;
}

}  // namespace toolwire
