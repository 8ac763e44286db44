// Every method is one statement for all it is given, with arrays that the statement unnests into rows. Batches of audit
// rows go by COPY; if that fails, as for rows that are there already, by INSERT, which passes over those. PgStatements
// are not prepared: planning one costs little beside a batch, and connection poolers between us and the server may hand
// each transaction to another session.
//
// What a statement looks like depends on the tables that were found: they are looked at with the first connection, again
// after the database was unavailable, and now and then while they are not what they should be. Nothing here changes
// them. Logins need agent_credentials alone; the audit log waits until its table is ready.
//
// Times are Unix milliseconds here and timestamps there. A column without time zone is read and written in the time
// zone that the database gives its sessions, as the replaced server did.

#include "common/store/pg_store.h"

#include <algorithm>
#include <array>
#include <functional>
#include <limits>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/json_text.h"
#include "common/base/log.h"
#include "common/base/mutex.h"
#include "common/store/pg_append.h"
#include "common/store/pg_connections.h"
#include "common/store/pg_refusals.h"
#include "common/store/pg_rows.h"
#include "common/store/pg_schema.h"
#include "common/store/pg_statements.h"
#include "common/store/secret.h"

namespace toolwire {
namespace {

constexpr int kConnectionsMax = 20;
constexpr size_t kCallIdBytesMax = 256;

// How long what was found of the tables counts, while they lack something.
constexpr Duration kLookAgain = std::chrono::seconds(5);
// Old call ids are removed twice as fast as new ones come, or now and then.
constexpr size_t kForgetAfterRows = 2500;
constexpr Duration kForgetEvery = std::chrono::minutes(10);

// Whether PostgreSQL takes `text` at all.
bool IsText(std::string_view text) { return text.find('\0') == std::string_view::npos && json::IsUtf8(text); }

AgentStatus StatusAt(const pqxx::row& row, int column) {
  const std::string word = TextAt(row, column);
  for (AgentStatus status : {AgentStatus::kConnected, AgentStatus::kDisconnected}) {
    if (word == StatusWord(status)) return status;
  }
  return AgentStatus::kPending;
}

// Creates some credentials in the transaction; ALREADY_EXISTS if it is to be undone.
absl::Status CreateBatch(PgSession& session, pqxx::transaction_base& transaction, const PgStatements& statements,
                         const std::vector<Store::NewCredential>& credentials, size_t begin, size_t end) {
  std::vector<std::optional<std::string_view>> users, secrets, platforms;
  std::vector<std::optional<int64_t>> times;
  for (size_t i = begin; i < end; ++i) {
    users.push_back(credentials[i].user_id);
    secrets.push_back(credentials[i].stored_secret);
    platforms.push_back(credentials[i].platform);
    times.push_back(StorableMs(credentials[i].created_at_ms));
  }
  const PgParams params = PgParams().Texts(users).Texts(secrets).Texts(platforms).Ints(times);
  absl::flat_hash_set<std::string> created;
  for (const std::string* sql : {&statements.replace_revoked, &statements.create_credentials}) {
    for (const auto& row : session.Exec(transaction, "creating credentials", *sql, params)) {
      created.insert(TextAt(row, 0));
    }
  }
  if (created.size() == end - begin) return absl::OkStatus();
  // A user who is named twice was created once.
  for (size_t i = begin; i < end; ++i) {
    const std::string& user = credentials[i].user_id;
    if (created.erase(user) > 0) continue;
    return absl::AlreadyExistsError(
        absl::StrCat("user \"", user, "\" has credentials already, or the secret is in use already"));
  }
  return absl::OkStatus();
}

// Whether this is a valid index of the audit table.
bool HasIndex(PgSession& session, int64_t index) {
  constexpr char kSql[] =
      "SELECT 1 FROM pg_index WHERE indexrelid = $1::bigint::oid AND indisvalid"
      " AND indrelid = to_regclass('tool_execution_logs')";
  bool found = false;
  const PgParams params = PgParams().Int(index);
  session.Transact([&](pqxx::transaction_base& transaction) {
    found = !session.Exec(transaction, "looking at the audit log's index", kSql, params).empty();
  });
  return found;
}

// For operators, who wait for the answer.
absl::Status ExplainLock(absl::Status status) {
  if (!IsLockTimeout(status)) return status;
  return absl::UnavailableError(absl::StrCat("another transaction holds the credential locked; nothing was changed (",
                                             std::string(status.message()), ")"));
}

class PgStore final : public Store {
 public:
  PgStore(std::unique_ptr<PgConnections> connections, size_t audit_json_bytes_max)
      : connections_(std::move(connections)), audit_json_bytes_max_(audit_json_bytes_max) {}

  void EndBy(MonoTime end) override { connections_->EndBy(end); }
  std::string Address() const override { return absl::StrCat("postgresql ", connections_->address()); }
  absl::StatusOr<std::string> Identity() override;
  absl::StatusOr<std::vector<bool>> CheckCredentials(const std::vector<CredentialCheck>& checks) override;
  absl::StatusOr<std::vector<bool>> CheckDigests(const std::vector<SecretCheck>& checks) override;
  absl::StatusOr<std::vector<StatusUpdate>> UpdateStatus(const std::vector<StatusUpdate>& updates) override;
  std::string NotReady() override;
  absl::Status AppendAudit(const std::vector<AuditRow>& rows) override;
  absl::Status CreateCredentials(const std::vector<NewCredential>& credentials) override;
  absl::StatusOr<bool> HasCredential(const std::string& user_id) override;
  absl::Status ReplaceSecret(const std::string& user_id, const std::string& stored_secret) override;
  absl::Status Revoke(const std::string& user_id) override;
  absl::StatusOr<std::vector<Credential>> ListCredentials(const std::string& after, int limit,
                                                          const IsGone& is_gone) override;
  absl::StatusOr<std::vector<ListedAuditRow>> ListAudit(const AuditQuery& query, const IsGone& is_gone) override;
  absl::Status Probe() override;

 private:
  using Work = std::function<absl::Status(PgSession&, const PgStatements&)>;

  // Runs `work`, on tables that are ready for it.
  absl::Status Run(PgLane lane, const Work& work, const IsGone& is_gone = nullptr);
  absl::StatusOr<std::shared_ptr<const PgStatements>> Look(PgSession& session);
  void NoteForNotReady(PgLane lane, const absl::Status& status);
  // What the tables refuse, which may wait for others' locks: not while somebody logs in.
  void TellRefusals(PgSession& session);
  void LogFound(const PgTables& tables) ABSL_EXCLUSIVE_LOCKS_REQUIRED(tables_mu_);
  void LogWarnings(const std::vector<std::string>& warnings) ABSL_EXCLUSIVE_LOCKS_REQUIRED(tables_mu_);
  void ForgetTables();
  // Runs a statement with these two parameters, which returns a row if it changed one; else NOT_FOUND.
  absl::Status ChangeSecret(std::string PgStatements::*sql, const std::string& user_id, const std::string& stored_secret,
                            const char* doing);
  // Adds the stored secrets of those of these users who have one.
  using Secrets = absl::flat_hash_map<std::string, std::string>;
  using Users = std::vector<std::optional<std::string_view>>;
  absl::Status FindSecrets(PgLane lane, const Users& users, Secrets* secrets);
  // Whether `matches(check, stored secret)`, for each.
  template <typename Check, typename Matches>
  absl::StatusOr<std::vector<bool>> CheckAll(PgLane lane, const std::vector<Check>& checks, Matches matches);

  // One attempt; ALREADY_EXISTS if the tables are others by now.
  absl::Status AppendOnce(const std::vector<AuditRow>& rows);

  // Whether it is time to, after so many rows more.
  bool ForgetsAfter(size_t rows);
  void ForgetCalls(PgSession& session, const PgStatements& statements);

  const std::unique_ptr<PgConnections> connections_;
  const size_t audit_json_bytes_max_;
  // In stored form. Checked in place of an unknown user's.
  const std::string nobodys_secret_ = HashSecret(MakeSecret());

  Mutex tables_mu_;
  // Null until the tables have been looked at.
  std::shared_ptr<const PgStatements> statements_ ABSL_GUARDED_BY(tables_mu_);
  MonoTime looked_at_ ABSL_GUARDED_BY(tables_mu_) = {};
  // Those whose refusals have not been told; null: none.
  std::shared_ptr<const PgTables> untold_ ABSL_GUARDED_BY(tables_mu_);
  MonoTime tell_at_ ABSL_GUARDED_BY(tables_mu_) = {};
  std::string not_ready_ ABSL_GUARDED_BY(tables_mu_);                      // For the tables' sake.
  std::array<std::string, kPgLanes> failing_ ABSL_GUARDED_BY(tables_mu_);  // Why the lane's newest work failed.
  std::set<std::string> logged_ ABSL_GUARDED_BY(tables_mu_);  // Sentences about the tables.
  MonoTime forgot_calls_at_ ABSL_GUARDED_BY(tables_mu_) = {};
  size_t remembered_calls_ ABSL_GUARDED_BY(tables_mu_) = 0;  // Since then.
};

absl::StatusOr<std::shared_ptr<const PgStatements>> PgStore::Look(PgSession& session) {
  const MonoTime now = std::chrono::steady_clock::now();
  {
    MutexLock lock(tables_mu_);
    if (statements_ != nullptr && (statements_->complete || now < looked_at_ + kLookAgain)) return statements_;
  }
  // Without the lock: one lane that waits for the server holds up no other.
  PgTables tables;
  session.Transact([&](pqxx::transaction_base& transaction) { tables = LookAtPgTables(session, transaction); });
  auto statements = std::make_shared<const PgStatements>(PgStatementsFor(tables, audit_json_bytes_max_));
  MutexLock lock(tables_mu_);
  LogFound(tables);
  statements_ = statements;
  looked_at_ = now;
  untold_ = std::make_shared<const PgTables>(std::move(tables));
  return statements;
}

void PgStore::TellRefusals(PgSession& session) {
  const MonoTime now = std::chrono::steady_clock::now();
  std::shared_ptr<const PgTables> tables;
  {
    MutexLock lock(tables_mu_);
    if (untold_ == nullptr || now < tell_at_) return;
    tables = std::exchange(untold_, nullptr);
  }
  const PgRefusals refusals = FindPgRefusals(session, *tables);
  MutexLock lock(tables_mu_);
  LogWarnings(refusals.sentences);
  if (refusals.all) return;
  tell_at_ = now + kLookAgain;
  if (untold_ == nullptr) untold_ = std::move(tables);
}

void PgStore::LogFound(const PgTables& tables) {
  const std::string credentials = tables.CredentialsProblem(), audit = tables.AuditProblem();
  const std::string not_ready = credentials.empty() ? audit : credentials;
  if (!not_ready.empty() && not_ready != not_ready_) {
    log::Error("database is not ready", {{"database", connections_->address()},
                                         {"why", not_ready},
                                         {"until then", credentials.empty() ? "audit rows wait" : "logins get 1013"}});
  }
  if (not_ready.empty() && !not_ready_.empty()) log::Info("database is ready", {{"database", connections_->address()}});
  not_ready_ = not_ready;
  LogWarnings(tables.Warnings());
}

void PgStore::LogWarnings(const std::vector<std::string>& warnings) {
  for (const std::string& warning : warnings) {
    if (logged_.insert(warning).second) log::Warn("database table", {{"why", warning}});
  }
}

std::string PgStore::NotReady() {
  MutexLock lock(tables_mu_);
  if (!not_ready_.empty()) return not_ready_;
  for (const std::string& why : failing_) {
    if (!why.empty()) return why;
  }
  return "";
}

// Others' work is not tried again, so that a reason would stay.
void PgStore::NoteForNotReady(PgLane lane, const absl::Status& status) {
  if (lane == PgLane::kChanges || lane == PgLane::kListings) return;
  // Then the server is there, and others hold something or are slow.
  if (IsLockTimeout(status) || IsStatementTimeout(status)) return;
  const bool fails = !status.ok() && StoreFaultOf(status) != StoreFault::kRowRefused;
  MutexLock lock(tables_mu_);
  failing_[static_cast<int>(lane)] = fails ? std::string(status.message()) : "";
}

void PgStore::ForgetTables() {
  MutexLock lock(tables_mu_);
  statements_.reset();
}

absl::Status PgStore::Run(PgLane lane, const Work& work, const IsGone& is_gone) {
  bool waits_for_people = false;
  const auto with_tables = [&](PgSession& session) -> absl::Status {
    const auto found = Look(session);
    if (!found.ok()) return found.status();
    const bool of_audit = lane == PgLane::kAudit;
    if (of_audit) TellRefusals(session);
    const std::string& problem = of_audit ? (*found)->audit_problem : (*found)->credentials_problem;
    waits_for_people = !problem.empty();
    if (waits_for_people) return absl::UnavailableError(problem);
    return work(session, **found);
  };
  const absl::Status status = connections_->Run(lane, with_tables, is_gone);
  if (absl::IsCancelled(status)) return GoneError();
  // They may be others by the time the database is available again, and whoever finds them wanting looks again.
  const bool is_slow = IsLockTimeout(status) || IsStatementTimeout(status);
  NoteForNotReady(lane, waits_for_people ? absl::OkStatus() : status);
  if (!status.ok() && !waits_for_people && !is_slow && StoreFaultOf(status) != StoreFault::kRowRefused) ForgetTables();
  return status;
}

absl::StatusOr<std::string> PgStore::Identity() {
  // Of the cluster, which its standbys share, and of the database in it.
  constexpr char kIdentity[] =
      "SELECT c.system_identifier::text || '/' || d.oid::text FROM pg_control_system() AS c, pg_database AS d"
      " WHERE d.datname = current_database()";
  std::string identity;
  const absl::Status status = connections_->Run(PgLane::kAudit, [&](PgSession& session) {
    if (const auto found = Look(session); !found.ok()) return found.status();
    TellRefusals(session);
    session.Transact([&](pqxx::transaction_base& transaction) {
      for (const auto& row : session.Exec(transaction, "asking which database this is", kIdentity)) {
        identity = TextAt(row, 0);
      }
    });
    return absl::OkStatus();
  });
  // Without the right to know, or in databases that only speak like PostgreSQL, it stays unknown.
  const bool is_unknown = SqlState(status).substr(0, 2) == "42";
  NoteForNotReady(PgLane::kAudit, is_unknown ? absl::OkStatus() : status);
  if (!status.ok() && !is_unknown) return status;
  return identity;
}

absl::Status PgStore::ChangeSecret(std::string PgStatements::*sql, const std::string& user_id,
                                   const std::string& stored_secret, const char* doing) {
  if (!IsText(user_id)) return NoCredentialError(user_id);
  const PgParams params = PgParams().Text(user_id).Text(stored_secret);
  const absl::Status status = Run(PgLane::kChanges, [&](PgSession& session, const PgStatements& statements) {
    bool changed = false;
    session.Transact([&](pqxx::transaction_base& transaction) {
      changed = !session.Exec(transaction, doing, statements.*sql, params).empty();
    });
    return changed ? absl::OkStatus() : NoCredentialError(user_id);
  });
  return IsUnstorableValue(status) ? NoCredentialError(user_id) : ExplainLock(status);
}

absl::Status PgStore::FindSecrets(PgLane lane, const Users& users, Secrets* secrets) {
  if (users.empty()) return absl::OkStatus();
  const PgParams params = PgParams().Texts(users);
  const absl::Status status = Run(lane, [&](PgSession& session, const PgStatements& statements) {
    session.Transact([&](pqxx::transaction_base& transaction) {
      for (const auto& row : session.Exec(transaction, "checking credentials", statements.find_secrets, params)) {
        secrets->emplace(TextAt(row, 0), TextAt(row, 1));
      }
    });
    return absl::OkStatus();
  });
  if (status.ok() || !IsUnstorableValue(status)) return status;
  // One user, whom the database cannot hold and so does not know, must not fail the others.
  if (users.size() == 1) return absl::OkStatus();
  const auto middle = users.begin() + static_cast<ptrdiff_t>(users.size() / 2);
  if (absl::Status first = FindSecrets(lane, {users.begin(), middle}, secrets); !first.ok()) return first;
  return FindSecrets(lane, {middle, users.end()}, secrets);
}

template <typename Check, typename Matches>
absl::StatusOr<std::vector<bool>> PgStore::CheckAll(PgLane lane, const std::vector<Check>& checks, Matches matches) {
  if (checks.empty()) return std::vector<bool>();
  absl::flat_hash_set<std::string_view> users;  // Each once: the same agent may try again and again.
  for (const Check& check : checks) {
    if (IsText(check.user_id)) users.insert(check.user_id);
  }
  Secrets secrets;
  const absl::Status status = FindSecrets(lane, {users.begin(), users.end()}, &secrets);
  if (!status.ok()) return status;
  std::vector<bool> verdicts;
  verdicts.reserve(checks.size());
  for (const Check& check : checks) {
    const auto found = secrets.find(check.user_id);
    const bool known = found != secrets.end();
    // The comparison comes first: an unknown user costs as much as a wrong secret.
    verdicts.push_back(matches(check, known ? found->second : nobodys_secret_) && known);
  }
  return verdicts;
}

absl::StatusOr<std::vector<bool>> PgStore::CheckCredentials(const std::vector<CredentialCheck>& checks) {
  return CheckAll(PgLane::kChecks, checks, [](const CredentialCheck& check, const std::string& stored) {
    return SecretMatches(check.secret, stored);
  });
}

absl::StatusOr<std::vector<bool>> PgStore::CheckDigests(const std::vector<SecretCheck>& checks) {
  return CheckAll(PgLane::kChecks, checks, [](const SecretCheck& check, const std::string& stored) {
    return DigestMatches(check.digest, stored);
  });
}

absl::StatusOr<std::vector<StatusUpdate>> PgStore::UpdateStatus(const std::vector<StatusUpdate>& updates) {
  absl::flat_hash_map<std::string_view, size_t> newest;  // A statement updates a row once.
  for (size_t i = 0; i < updates.size(); ++i) {
    if (!IsText(updates[i].user_id)) continue;
    const auto [it, is_new] = newest.try_emplace(updates[i].user_id, i);
    if (!is_new && Supersedes(updates[i], updates[it->second])) it->second = i;
  }
  std::vector<StatusUpdate> held;
  if (newest.empty()) return held;
  std::vector<std::optional<std::string_view>> users, words;
  std::vector<std::optional<int64_t>> times, epochs;
  for (const auto& [user, i] : newest) {
    users.push_back(user);
    words.push_back(StatusWord(updates[i].status));
    times.push_back(StorableMs(updates[i].at_ms));
    epochs.push_back(static_cast<int64_t>(std::min<uint64_t>(updates[i].epoch, std::numeric_limits<int64_t>::max())));
  }
  const PgParams params = PgParams().Texts(users).Texts(words).Ints(times).Ints(epochs);
  const absl::Status status = Run(PgLane::kStatus, [&](PgSession& session, const PgStatements& statements) {
    session.Transact([&](pqxx::transaction_base& transaction) {
      held.clear();
      for (const auto& row :
           session.Exec(transaction, "updating agents' status", statements.update_status, params)) {
        const auto found = newest.find(TextAt(row, 0));
        if (found != newest.end()) held.push_back(updates[found->second]);
      }
    });
    return absl::OkStatus();
  });
  if (!status.ok()) return status;
  return held;
}

absl::Status PgStore::AppendOnce(const std::vector<AuditRow>& rows) {
  constexpr char kDoing[] = "appending audit rows";
  return Run(PgLane::kAudit, [&](PgSession& session, const PgStatements& statements) {
    const bool may_copy = statements.has_call_index && statements.takes_instants && rows.size() >= kCopiedRowsMin;
    // COPY names no index: it would also go into a table that has come in this one's place, and has none.
    if (may_copy && !HasIndex(session, statements.call_index)) return absl::AlreadyExistsError("another table");
    if (may_copy && PgCopyRows(session, kDoing, statements, rows)) {
      return absl::OkStatus();
    }
    const PgParams params = PgRowParams(rows);
    session.Transact([&](pqxx::transaction_base& transaction) {
      session.Exec(transaction, kDoing, statements.append, params);
    });
    if (!statements.forget_calls.empty() && ForgetsAfter(rows.size())) ForgetCalls(session, statements);
    return absl::OkStatus();
  });
}

bool PgStore::ForgetsAfter(size_t rows) {
  const MonoTime now = std::chrono::steady_clock::now();
  MutexLock lock(tables_mu_);
  remembered_calls_ += rows;
  if (remembered_calls_ < kForgetAfterRows && now < forgot_calls_at_ + kForgetEvery) return false;
  remembered_calls_ = 0;
  forgot_calls_at_ = now;
  return true;
}

// The rows have been written: what fails here is tried again later.
void PgStore::ForgetCalls(PgSession& session, const PgStatements& statements) {
  try {
    session.Transact([&](pqxx::transaction_base& transaction) {
      session.Exec(transaction, "forgetting old calls", statements.forget_calls);
    });
  } catch (const pqxx::sql_error& error) {
    if (!session.connection().is_open()) throw;
    log::Warn("old calls not forgotten", {{"error", PgError(error.what()).words}});
  }
}

absl::Status PgStore::AppendAudit(const std::vector<AuditRow>& rows) {
  if (rows.empty()) return absl::OkStatus();
  std::vector<AuditRow> safe;
  safe.reserve(rows.size());
  absl::flat_hash_set<std::string> calls;
  for (const AuditRow& row : rows) {
    std::string call_id = AuditSafeText(row.call_id, kCallIdBytesMax);
    if (!call_id.empty() && !calls.insert(call_id).second) continue;
    safe.push_back(AuditSafeRow(row, audit_json_bytes_max_));
    safe.back().call_id = std::move(call_id);
  }
  absl::Status status = AppendOnce(safe);
  if (absl::IsAlreadyExists(status)) {
    // The unique index is there by now, and another process has written one of the rows with it. Or it is not any more.
    ForgetTables();
    status = AppendOnce(safe);
  }
  // Fewer rows may not be.
  if (IsStatementTimeout(status)) return absl::DeadlineExceededError(status.message());
  return status;
}

absl::Status PgStore::Probe() {
  // What writes rows, with none: it needs the same tables and rights, and a server that may only be read refuses it.
  const absl::Status status = Run(PgLane::kAudit, [&](PgSession& session, const PgStatements& statements) {
    session.Transact([&](pqxx::transaction_base& transaction) {
      session.Exec(transaction, "asking whether rows would be taken", statements.append, PgRowParams({}));
    });
    return absl::OkStatus();
  });
  bool checks_failed = false;
  {
    MutexLock lock(tables_mu_);
    checks_failed = !failing_[static_cast<int>(PgLane::kChecks)].empty();
  }
  // There may be no login for long that would find out that they succeed again.
  if (status.ok() && checks_failed) return CheckDigests({{"nobody", {}}}).status();
  return status;
}

absl::Status PgStore::CreateCredentials(const std::vector<NewCredential>& credentials) {
  constexpr size_t kBatchMax = 10000;  // So that none takes long enough to be cut off.
  for (const NewCredential& one : credentials) {
    if (absl::Status status = CheckNewCredential(one); !status.ok()) return status;
  }
  if (credentials.empty()) return absl::OkStatus();
  return ExplainLock(Run(PgLane::kChanges, [&](PgSession& session, const PgStatements& statements) {
    absl::Status status;
    session.TransactAtOnce([&](pqxx::transaction_base& transaction) {
      for (size_t begin = 0; status.ok() && begin < credentials.size(); begin += kBatchMax) {
        const size_t end = std::min(begin + kBatchMax, credentials.size());
        status = CreateBatch(session, transaction, statements, credentials, begin, end);
      }
      return status.ok();
    });
    return status;
  }));
}

absl::StatusOr<bool> PgStore::HasCredential(const std::string& user_id) {
  const std::vector<SecretCheck> checks = {{user_id, {}}};
  const auto is_good = [](const SecretCheck&, const std::string& stored) {
    return stored.compare(0, kRevokedPrefix.size(), kRevokedPrefix) != 0;
  };
  const absl::StatusOr<std::vector<bool>> found = CheckAll(PgLane::kChanges, checks, is_good);
  if (!found.ok()) return found.status();
  return found->front();
}

absl::Status PgStore::ReplaceSecret(const std::string& user_id, const std::string& stored_secret) {
  if (absl::Status status = CheckNewSecret(user_id, stored_secret); !status.ok()) return status;
  return ChangeSecret(&PgStatements::replace_secret, user_id, stored_secret, "replacing a secret");
}

absl::Status PgStore::Revoke(const std::string& user_id) {
  return ChangeSecret(&PgStatements::revoke, user_id, MakeRevokedSecret(), "revoking a credential");
}

absl::StatusOr<std::vector<Credential>> PgStore::ListCredentials(const std::string& after, int limit,
                                                                 const IsGone& is_gone) {
  std::vector<Credential> listed;
  if (limit <= 0) return listed;
  if (!IsText(after)) return absl::InvalidArgumentError("the user id to list after is not UTF-8 text");
  PgParams params;
  params.Int(limit);
  if (!after.empty()) params.Text(after);
  const absl::Status status = Run(PgLane::kListings, [&](PgSession& session, const PgStatements& statements) {
    const std::string& sql = after.empty() ? statements.list_first_credentials : statements.list_credentials;
    pqxx::result rows;
    session.Transact([&](pqxx::transaction_base& transaction) {
      rows = session.Exec(transaction, "listing credentials", sql, params);
    });
    listed.clear();
    for (const auto& row : rows) {
      listed.push_back({TextAt(row, 0), TextAt(row, 1), StatusAt(row, 2), IntAt(row, 3).value_or(0), IntAt(row, 4),
                        TextAt(row, 5) == "t"});
    }
    return absl::OkStatus();
  }, is_gone);
  if (IsUnstorableValue(status)) return absl::InvalidArgumentError("the user id to list after is none of this store");
  if (!status.ok()) return status;
  return listed;
}

absl::StatusOr<std::vector<ListedAuditRow>> PgStore::ListAudit(const AuditQuery& query, const IsGone& is_gone) {
  std::vector<ListedAuditRow> listed;
  if (query.limit <= 0 || !IsText(query.user_id) || !IsText(query.user_prefix)) return listed;
  const auto list = [&](PgTexts texts) {
    return Run(PgLane::kListings, [&](PgSession& session, const PgStatements& statements) {
      if (!statements.audit_problem.empty()) return absl::UnavailableError(statements.audit_problem);
      PgParams params;
      const absl::StatusOr<std::string> sql = PgListStatement(statements, texts, query, &params);
      if (!sql.ok()) return sql.status();
      pqxx::result rows;
      session.Transact([&](pqxx::transaction_base& transaction) {
        rows = session.Exec(transaction, "listing audit rows", *sql, params);
      });
      listed.clear();
      for (const auto& row : rows) listed.push_back(ListedRowOf(row, audit_json_bytes_max_));
      return absl::OkStatus();
    }, is_gone);
  };
  absl::Status status = list(PgTexts::kAll);
  if (IsStatementTimeout(status)) status = list(PgTexts::kInRow);
  // Of a user whom the database cannot hold there are no rows; a cursor with such an id is another store's.
  if (IsUnstorableValue(status) && query.after.empty()) return listed;
  if (!status.ok()) return status;
  return listed;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Store>> OpenPgStore(const PgOptions& options, size_t audit_json_bytes_max) {
  if (options.connections_max < 1 || options.connections_max > kConnectionsMax) {
    return absl::InvalidArgumentError(absl::StrCat("connections to the database: 1 to ", kConnectionsMax));
  }
  auto connections = PgConnections::Open(options);
  if (!connections.ok()) return connections.status();
  if (const std::string risks = RisksOf((*connections)->protection()); !risks.empty()) {
    log::Warn("database is not protected as it should be",
              {{"database", (*connections)->address()}, {"why", risks}, {"do", kPgUrlAdvice}});
  }
  std::vector<std::string> passed_over;
  if (ReadPgUrl(options.url, &passed_over).ok() && !passed_over.empty()) {
    log::Warn("parameters of DATABASE_URL passed over", {{"parameters", absl::StrJoin(passed_over, ", ")},
                                                         {"why", "they are another library's"}});
  }
  return std::make_unique<PgStore>(*std::move(connections), audit_json_bytes_max);
}

}  // namespace toolwire
