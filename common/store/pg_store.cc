// Every method is one statement for all it is given, with arrays that the statement unnests into rows. Batches of audit
// rows go by COPY; if that fails, as for rows that are there already, by INSERT, which passes over those. Statements
// are not prepared: planning one costs little beside a batch, and connection poolers between us and the server may hand
// each transaction to another session.
//
// What a statement looks like depends on the table that was found: it is looked at with the first connection, and again
// after the database was unavailable. Appending rows needs the unique index on call_id, which PgIndexes builds.
//
// Times are Unix milliseconds here and timestamps there. A column without time zone is read and written in the time
// zone that the database gives its sessions, as the replaced server did.

#include "common/store/pg_store.h"

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <functional>
#include <limits>
#include <optional>
#include <string_view>
#include <tuple>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/json_text.h"
#include "common/base/log.h"
#include "common/base/mutex.h"
#include "common/store/pg_connections.h"
#include "common/store/pg_indexes.h"
#include "common/store/pg_rows.h"
#include "common/store/pg_schema.h"
#include "common/store/secret.h"

namespace toolwire {
namespace {

constexpr int kConnectionsMax = 20;
constexpr size_t kCallIdBytesMax = 256;

constexpr char kFindSecrets[] = "SELECT user_id, shared_secret FROM agent_credentials WHERE user_id = ANY ($1::text[])";
constexpr char kUpdateStatus[] =
    "UPDATE agent_credentials AS c SET status = u.status, last_seen = to_timestamp(u.at_ms / 1000.0)"
    " FROM unnest($1::text[], $2::text[], $3::bigint[]) AS u (user_id, status, at_ms) WHERE c.user_id = u.user_id"
    " AND (u.status <> 'disconnected' OR c.last_seen IS NULL"
    " OR c.last_seen::timestamptz <= to_timestamp(u.at_ms / 1000.0))";
// Two steps, as a single statement cannot pass over a secret that is in use and replace a credential that was revoked.
constexpr char kReplaceRevoked[] =
    "UPDATE agent_credentials AS c SET shared_secret = u.secret, platform = u.platform, status = 'pending',"
    " created_at = to_timestamp(u.at_ms / 1000.0), last_seen = NULL"
    " FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[]) AS u (user_id, secret, platform, at_ms)"
    " WHERE c.user_id = u.user_id AND left(c.shared_secret, 8) = 'revoked:' RETURNING c.user_id";
constexpr char kCreateCredentials[] =
    "INSERT INTO agent_credentials (user_id, shared_secret, platform, status, created_at)"
    " SELECT u.user_id, u.secret, u.platform, 'pending', to_timestamp(u.at_ms / 1000.0)"
    " FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[]) AS u (user_id, secret, platform, at_ms)"
    " ON CONFLICT DO NOTHING RETURNING user_id";
constexpr char kReplaceSecret[] =
    "UPDATE agent_credentials SET shared_secret = $2::text"
    " WHERE user_id = $1::text AND left(shared_secret, 8) <> 'revoked:' RETURNING user_id";
constexpr char kRevoke[] =
    "UPDATE agent_credentials SET status = 'disconnected',"
    " shared_secret = CASE WHEN left(shared_secret, 8) = 'revoked:' THEN shared_secret ELSE $2::text END"
    " WHERE user_id = $1::text RETURNING user_id";

const std::string& ListCredentialsSql() {
  static const auto* const sql = new std::string(absl::StrCat(
      "SELECT user_id, platform, status, ", ShownMs("created_at"), ", ", ShownMs("last_seen"),
      ", left(shared_secret, 8) = 'revoked:' FROM agent_credentials WHERE user_id COLLATE \"C\" > $1::text"
      " ORDER BY user_id COLLATE \"C\" LIMIT $2::bigint"));
  return *sql;
}

// The statements that depend on the table.
struct AuditStatements {
  std::string append;
  PgAuditList list;
  PgAuditList quick_list;  // For rows of which making text takes too long.
  std::string time;       // A row's time, in the column's type.
  std::string time_type;  // That type.
  std::string id_type;
  // For COPY: whether created_at takes an instant, and what stands for an absent value.
  bool takes_instants = false;
  const char* no_params = nullptr;
  const char* no_result = nullptr;
  const char* no_error = nullptr;
  const char* no_execution_time = nullptr;
};

AuditStatements StatementsFor(const PgAuditTable& table, size_t audit_json_bytes_max) {
  const auto value = [](const char* column, bool required, const char* substitute) {
    return required ? absl::StrCat("coalesce(", column, ", ", substitute, ")") : std::string(column);
  };
  AuditStatements statements;
  statements.append = absl::StrCat(
      "INSERT INTO tool_execution_logs (user_id, request_id, tool_name, params, result, success, error,"
      " execution_time_ms, created_at, call_id, caller) SELECT u.user_id, u.request_id, u.tool, ",
      value("u.params::jsonb", table.params_required, "'{}'"), ", ",
      value("u.result::jsonb", table.result_required, "'null'"), ", u.success, ",
      value("u.error", table.error_required, "''"), ", ",
      value("u.time_ms::integer", table.execution_time_required, "0"),
      ", to_timestamp(u.at_ms / 1000.0), u.call_id, u.caller"
      " FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::boolean[], $7::text[],"
      " $8::bigint[], $9::bigint[], $10::text[], $11::text[])"
      " AS u (user_id, request_id, tool, params, result, success, error, time_ms, at_ms, call_id, caller)"
      " ON CONFLICT (call_id) WHERE call_id IS NOT NULL DO NOTHING");
  statements.time = table.time();
  statements.time_type = table.time_type;
  statements.id_type = table.id_type;
  statements.takes_instants = table.time_type == PgAuditTable().time_type;
  if (table.params_required) statements.no_params = "{}";
  if (table.result_required) statements.no_result = "null";
  if (table.error_required) statements.no_error = "";
  if (table.execution_time_required) statements.no_execution_time = "0";
  statements.list = AuditListFor(table, audit_json_bytes_max, PgTexts::kAll);
  statements.quick_list = AuditListFor(table, audit_json_bytes_max, PgTexts::kInRow);
  return statements;
}

// Whether PostgreSQL takes `text` at all.
bool IsText(std::string_view text) { return text.find('\0') == std::string_view::npos && json::IsUtf8(text); }

std::optional<std::string_view> TextOrNull(const std::string& text) {
  if (text.empty()) return std::nullopt;
  return text;
}

AgentStatus StatusAt(const pqxx::row& row, int column) {
  const std::string word = TextAt(row, column);
  for (AgentStatus status : {AgentStatus::kConnected, AgentStatus::kDisconnected}) {
    if (word == StatusWord(status)) return status;
  }
  return AgentStatus::kPending;
}

int64_t StorableMs(int64_t unix_ms) { return std::clamp<int64_t>(unix_ms, 0, kLatestMs); }

// As PostgreSQL reads it in any of its settings.
std::string InstantText(int64_t unix_ms) {
  const std::time_t seconds = unix_ms / 1000;
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[64];
  const size_t end = std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &parts);
  std::snprintf(text + end, sizeof text - end, ".%03d+00", static_cast<int>(unix_ms % 1000));
  return text;
}

std::optional<int64_t> StorableExecutionTime(const AuditRow& row) {
  if (!row.execution_time_ms) return std::nullopt;
  using Column = std::numeric_limits<int32_t>;
  return std::clamp<int64_t>(*row.execution_time_ms, Column::min(), Column::max());
}

PgParams ParamsOf(const std::vector<AuditRow>& rows) {
  const auto texts = [&](const auto& get) {
    std::vector<std::optional<std::string_view>> column;
    column.reserve(rows.size());
    for (const AuditRow& row : rows) column.push_back(get(row));
    return column;
  };
  const auto ints = [&](const auto& get) {
    std::vector<std::optional<int64_t>> column;
    column.reserve(rows.size());
    for (const AuditRow& row : rows) column.push_back(get(row));
    return column;
  };
  std::vector<bool> successes;
  for (const AuditRow& row : rows) successes.push_back(row.success);
  PgParams params;
  params.Texts(texts([](const AuditRow& row) { return std::string_view(row.user_id); }))
      .Texts(texts([](const AuditRow& row) { return std::string_view(row.request_id); }))
      .Texts(texts([](const AuditRow& row) { return std::string_view(row.tool); }))
      .Texts(texts([](const AuditRow& row) { return TextOrNull(row.params_json); }))
      .Texts(texts([](const AuditRow& row) { return TextOrNull(row.result_json); }))
      .Bools(successes)
      .Texts(texts([](const AuditRow& row) { return TextOrNull(row.error); }))
      .Ints(ints(StorableExecutionTime))
      .Ints(ints([](const AuditRow& row) { return StorableMs(row.created_at_ms); }))
      .Texts(texts([](const AuditRow& row) { return TextOrNull(row.call_id); }))
      .Texts(texts([](const AuditRow& row) { return TextOrNull(row.caller); }));
  return params;
}

// Fewer rows are not worth a second way.
constexpr size_t kCopiedRowsMin = 8;

// COPY takes a quarter less of PostgreSQL's time than INSERT, and knows nothing of rows that are there already. False:
// none was written, since one of them is, or for a reason that does not hold for INSERT, or that it will find again.
bool CopyRows(PgSession& session, const char* doing, const AuditStatements& statements,
              const std::vector<AuditRow>& rows) {
  static const auto* const columns =
      new std::vector<std::string>{"user_id", "request_id",        "tool_name",  "params",  "result", "success",
                                   "error",   "execution_time_ms", "created_at", "call_id", "caller"};
  const auto text_or = [](const std::string& text, const char* absent) { return text.empty() ? absent : text.c_str(); };
  pqxx::nontransaction transaction(session.connection());
  try {
    session.Copy(transaction, doing, "tool_execution_logs", *columns, [&](pqxx::stream_to& stream) {
      for (const AuditRow& row : rows) {
        const auto execution_time = StorableExecutionTime(row);
        const std::string execution_time_text = execution_time ? std::to_string(*execution_time) : "";
        const std::string time = InstantText(StorableMs(row.created_at_ms));
        stream << std::make_tuple(
            row.user_id.c_str(), row.request_id.c_str(), row.tool.c_str(),
            text_or(row.params_json, statements.no_params), text_or(row.result_json, statements.no_result),
            static_cast<const char*>(row.success ? "t" : "f"), text_or(row.error, statements.no_error),
            text_or(execution_time_text, statements.no_execution_time), time.c_str(), text_or(row.call_id, nullptr),
            text_or(row.caller, nullptr));
      }
      return static_cast<int64_t>(rows.size());
    });
  } catch (const pqxx::sql_error& error) {
    // Only of a row that is there already, and of tables that COPY does not know, as views, INSERT learns anything else.
    const std::string sqlstate = PgError(error.what()).sqlstate;
    const std::string_view group = std::string_view(sqlstate).substr(0, 2);
    if (sqlstate != "23505" && group != "0A" && group != "42") throw;
    return false;
  }
  return true;
}

// The statement for a query, and what it binds. INVALID_ARGUMENT if the query's cursor is none.
absl::StatusOr<std::string> ListStatement(const AuditStatements& statements, const PgAuditList& list,
                                          const AuditQuery& query, PgParams* params) {
  int bound = 0;
  const auto int_param = [&](int64_t number) {
    params->Int(number);
    return absl::StrCat("$", ++bound, "::bigint");
  };
  const auto text_param = [&](const std::string& text, const std::string& type) {
    params->Text(text);
    return absl::StrCat("CAST($", ++bound, "::text AS ", type, ")");
  };
  const auto instant = [&](int64_t unix_ms) {
    return absl::StrCat("CAST(timestamptz 'epoch' + ", int_param(StorableMs(unix_ms)),
                        " * interval '1 millisecond' AS ", statements.time_type, ")");
  };
  std::vector<std::string> conditions;
  if (!query.user_id.empty()) conditions.push_back(absl::StrCat("user_id = ", text_param(query.user_id, "text")));
  if (!query.user_prefix.empty()) {
    const std::string prefix = text_param(query.user_prefix, "text");
    conditions.push_back(absl::StrCat("left(user_id, length(", prefix, ")) = ", prefix));
  }
  if (query.from_ms) conditions.push_back(absl::StrCat(statements.time, " >= ", instant(*query.from_ms)));
  if (query.until_ms) conditions.push_back(absl::StrCat(statements.time, " < ", instant(*query.until_ms)));
  if (!query.after.empty()) {
    const absl::StatusOr<AuditCursor> cursor = ReadAuditCursor(query.after);
    if (!cursor.ok()) return cursor.status();
    const std::optional<std::string> named = CursorTimeName(cursor->time);
    // A product with an interval is a `double`, which counts microseconds exactly for 285 years.
    constexpr int64_t kMicrosPerDay = int64_t{24} * 60 * 60 * 1000000;
    const std::string time =
        named ? absl::StrCat("CAST('", *named, "' AS ", statements.time_type, ")")
              : absl::StrCat("CAST('1970-01-01 00:00:00+00' AS ", statements.time_type, ") + ",
                             int_param(cursor->time / kMicrosPerDay), " * interval '24 hours' + ",
                             int_param(cursor->time % kMicrosPerDay), " * interval '1 microsecond'");
    conditions.push_back(absl::StrCat("(", statements.time, ", id) < (", time, ", ",
                                      text_param(cursor->id, statements.id_type), ")"));
  }
  return absl::StrCat(list.begin, conditions.empty() ? "" : " WHERE ", absl::StrJoin(conditions, " AND "),
                      " ORDER BY ", statements.time, " DESC, id DESC LIMIT ", int_param(query.limit), list.end);
}

class PgStore final : public Store {
 public:
  PgStore(std::unique_ptr<PgConnections> connections, size_t audit_json_bytes_max)
      : connections_(std::move(connections)), audit_json_bytes_max_(audit_json_bytes_max) {}

  void EndBy(MonoTime end) override {
    indexes_.EndBy(end);
    connections_->EndBy(end);
  }
  std::string Address() const override { return absl::StrCat("postgresql ", connections_->address()); }
  absl::StatusOr<std::string> Identity() override;
  absl::StatusOr<std::vector<bool>> CheckCredentials(const std::vector<CredentialCheck>& checks) override;
  absl::StatusOr<std::vector<bool>> CheckDigests(const std::vector<SecretCheck>& checks) override;
  absl::Status UpdateStatus(const std::vector<StatusUpdate>& updates) override;
  absl::Status AppendAudit(const std::vector<AuditRow>& rows) override;
  absl::Status CreateCredentials(const std::vector<NewCredential>& credentials) override;
  absl::StatusOr<bool> HasCredential(const std::string& user_id) override;
  absl::Status ReplaceSecret(const std::string& user_id, const std::string& stored_secret) override;
  absl::Status Revoke(const std::string& user_id) override;
  absl::StatusOr<std::vector<Credential>> ListCredentials(const std::string& after, int limit) override;
  absl::StatusOr<std::vector<ListedAuditRow>> ListAudit(const AuditQuery& query) override;

 private:
  using Work = std::function<absl::Status(PgSession&, const AuditStatements&)>;

  // Runs `work` on tables that are ready.
  absl::Status Run(const Work& work);
  absl::StatusOr<std::shared_ptr<const AuditStatements>> PrepareTables(PgSession& session);
  // Runs a statement with these two parameters, which returns a row if it changed one; else NOT_FOUND.
  absl::Status ChangeSecret(const char* sql, const std::string& user_id, const std::string& stored_secret,
                            const char* doing);
  // Adds the stored secrets of those of these users who have one.
  using Secrets = absl::flat_hash_map<std::string, std::string>;
  using Users = std::vector<std::optional<std::string_view>>;
  absl::Status FindSecrets(const Users& users, Secrets* secrets);
  // Whether `matches(check, stored secret)`, for each.
  template <typename Check, typename Matches>
  absl::StatusOr<std::vector<bool>> CheckAll(const std::vector<Check>& checks, Matches matches);

  const std::unique_ptr<PgConnections> connections_;
  PgIndexes indexes_{*connections_};
  const size_t audit_json_bytes_max_;
  // In stored form. Checked in place of an unknown user's.
  const std::string nobodys_secret_ = HashSecret(MakeSecret());

  Mutex tables_mu_;
  // Null until the tables have been looked at.
  std::shared_ptr<const AuditStatements> statements_ ABSL_GUARDED_BY(tables_mu_);
  bool has_warned_ ABSL_GUARDED_BY(tables_mu_) = false;
};

absl::StatusOr<std::shared_ptr<const AuditStatements>> PgStore::PrepareTables(PgSession& session) {
  MutexLock lock(tables_mu_);
  if (statements_ != nullptr) return statements_;
  const absl::StatusOr<PgAuditTable> table = PreparePgTables(session);
  if (!table.ok()) return table.status();
  if (table->has_user_key && !has_warned_) {
    log::Warn("tool_execution_logs.user_id is a foreign key: calls for users it does not know leave no audit row");
    has_warned_ = true;
  }
  indexes_.Note(*table);
  statements_ = std::make_shared<const AuditStatements>(StatementsFor(*table, audit_json_bytes_max_));
  return statements_;
}

absl::Status PgStore::Run(const Work& work) {
  absl::Status status = connections_->Run([&](PgSession& session) {
    const auto ready = PrepareTables(session);
    if (!ready.ok()) return ready.status();
    return work(session, **ready);
  });
  if (absl::IsUnavailable(status)) {
    // The tables may be others by the time the database is available again.
    MutexLock lock(tables_mu_);
    statements_.reset();
  }
  return status;
}

absl::StatusOr<std::string> PgStore::Identity() {
  // Of the cluster, which its standbys share, and of the database in it.
  constexpr char kIdentity[] =
      "SELECT c.system_identifier::text || '/' || d.oid::text FROM pg_control_system() AS c, pg_database AS d"
      " WHERE d.datname = current_database()";
  std::string identity;
  const absl::Status status = connections_->Run([&](PgSession& session) {
    pqxx::nontransaction transaction(session.connection());
    for (const auto& row : session.Exec(transaction, "asking which database this is", kIdentity)) {
      identity = TextAt(row, 0);
    }
    return absl::OkStatus();
  });
  // Without the right to know, or in databases that only speak like PostgreSQL, it stays unknown.
  if (!status.ok() && SqlState(status).substr(0, 2) != "42") return status;
  return identity;
}

absl::Status PgStore::ChangeSecret(const char* sql, const std::string& user_id, const std::string& stored_secret,
                                   const char* doing) {
  if (!IsText(user_id)) return NoCredentialError(user_id);
  const PgParams params = PgParams().Text(user_id).Text(stored_secret);
  const absl::Status status = Run([&](PgSession& session, const AuditStatements&) {
    pqxx::nontransaction transaction(session.connection());
    const bool changed = !session.Exec(transaction, doing, sql, params).empty();
    return changed ? absl::OkStatus() : NoCredentialError(user_id);
  });
  return IsUnstorableValue(status) ? NoCredentialError(user_id) : status;
}

absl::Status PgStore::FindSecrets(const Users& users, Secrets* secrets) {
  if (users.empty()) return absl::OkStatus();
  const PgParams params = PgParams().Texts(users);
  const absl::Status status = Run([&](PgSession& session, const AuditStatements&) {
    pqxx::nontransaction transaction(session.connection());
    for (const auto& row : session.Exec(transaction, "checking credentials", kFindSecrets, params)) {
      secrets->emplace(TextAt(row, 0), TextAt(row, 1));
    }
    return absl::OkStatus();
  });
  if (status.ok() || !IsUnstorableValue(status)) return status;
  // One user, whom the database cannot hold and so does not know, must not fail the others.
  if (users.size() == 1) return absl::OkStatus();
  const auto middle = users.begin() + static_cast<ptrdiff_t>(users.size() / 2);
  if (absl::Status first = FindSecrets({users.begin(), middle}, secrets); !first.ok()) return first;
  return FindSecrets({middle, users.end()}, secrets);
}

template <typename Check, typename Matches>
absl::StatusOr<std::vector<bool>> PgStore::CheckAll(const std::vector<Check>& checks, Matches matches) {
  if (checks.empty()) return std::vector<bool>();
  absl::flat_hash_set<std::string_view> users;  // Each once: the same agent may try again and again.
  for (const Check& check : checks) {
    if (IsText(check.user_id)) users.insert(check.user_id);
  }
  Secrets secrets;
  const absl::Status status = FindSecrets({users.begin(), users.end()}, &secrets);
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
  return CheckAll(checks, [](const CredentialCheck& check, const std::string& stored) {
    return SecretMatches(check.secret, stored);
  });
}

absl::StatusOr<std::vector<bool>> PgStore::CheckDigests(const std::vector<SecretCheck>& checks) {
  return CheckAll(
      checks, [](const SecretCheck& check, const std::string& stored) { return DigestMatches(check.digest, stored); });
}

absl::Status PgStore::UpdateStatus(const std::vector<StatusUpdate>& updates) {
  absl::flat_hash_map<std::string_view, size_t> newest;  // A statement updates a row once.
  for (size_t i = 0; i < updates.size(); ++i) {
    if (IsText(updates[i].user_id)) newest[updates[i].user_id] = i;
  }
  if (newest.empty()) return absl::OkStatus();
  std::vector<std::optional<std::string_view>> users, words;
  std::vector<std::optional<int64_t>> times;
  for (const auto& [user, i] : newest) {
    users.push_back(user);
    words.push_back(StatusWord(updates[i].status));
    times.push_back(StorableMs(updates[i].at_ms));
  }
  const PgParams params = PgParams().Texts(users).Texts(words).Ints(times);
  return Run([&](PgSession& session, const AuditStatements&) {
    pqxx::nontransaction transaction(session.connection());
    session.Exec(transaction, "updating agents' status", kUpdateStatus, params);
    return absl::OkStatus();
  });
}

absl::Status PgStore::AppendAudit(const std::vector<AuditRow>& rows) {
  if (rows.empty()) return absl::OkStatus();
  std::vector<AuditRow> safe;
  safe.reserve(rows.size());
  for (const AuditRow& row : rows) {
    safe.push_back(AuditSafeRow(row, audit_json_bytes_max_));
    safe.back().call_id = AuditSafeText(row.call_id, kCallIdBytesMax);
  }
  for (bool first = true;; first = false) {
    bool lacks_index = false;
    absl::Status status = Run([&](PgSession& session, const AuditStatements& statements) {
      lacks_index = !indexes_.HasCallIndex();
      if (lacks_index) return absl::OkStatus();
      constexpr char kDoing[] = "appending audit rows";
      if (statements.takes_instants && safe.size() >= kCopiedRowsMin && CopyRows(session, kDoing, statements, safe)) {
        return absl::OkStatus();
      }
      pqxx::nontransaction transaction(session.connection());
      session.Exec(transaction, kDoing, statements.append, ParamsOf(safe));
      return absl::OkStatus();
    });
    if (!lacks_index) {
      indexes_.BuildListIndexes();
      // Fewer rows may not be.
      if (IsStatementTimeout(status)) return absl::DeadlineExceededError(status.message());
      return status;
    }
    if (!first) return absl::UnavailableError("the index of the audit log was lost again");
    if (status = indexes_.AwaitCallIndex(); !status.ok()) return status;
  }
}

absl::Status PgStore::CreateCredentials(const std::vector<NewCredential>& credentials) {
  constexpr char kDoing[] = "creating credentials";
  constexpr size_t kBatchMax = 10000;  // So that none takes long enough to be cut off.
  for (const NewCredential& one : credentials) {
    if (absl::Status status = CheckNewCredential(one); !status.ok()) return status;
  }
  if (credentials.empty()) return absl::OkStatus();
  return Run([&](PgSession& session, const AuditStatements&) -> absl::Status {
    pqxx::work transaction(session.connection());
    for (size_t begin = 0; begin < credentials.size(); begin += kBatchMax) {
      const size_t end = std::min(begin + kBatchMax, credentials.size());
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
      for (const char* sql : {kReplaceRevoked, kCreateCredentials}) {
        for (const auto& row : session.Exec(transaction, kDoing, sql, params)) created.insert(TextAt(row, 0));
      }
      if (created.size() == end - begin) continue;
      // Undone as a whole. A user who is named twice was created once.
      for (size_t i = begin; i < end; ++i) {
        const std::string& user = credentials[i].user_id;
        if (created.erase(user) > 0) continue;
        return absl::AlreadyExistsError(
            absl::StrCat("user \"", user, "\" has credentials already, or the secret is in use already"));
      }
    }
    transaction.commit();
    return absl::OkStatus();
  });
}

absl::StatusOr<bool> PgStore::HasCredential(const std::string& user_id) {
  const std::vector<SecretCheck> checks = {{user_id, {}}};
  const auto is_good = [](const SecretCheck&, const std::string& stored) {
    return stored.compare(0, kRevokedPrefix.size(), kRevokedPrefix) != 0;
  };
  const absl::StatusOr<std::vector<bool>> found = CheckAll(checks, is_good);
  if (!found.ok()) return found.status();
  return found->front();
}

absl::Status PgStore::ReplaceSecret(const std::string& user_id, const std::string& stored_secret) {
  if (absl::Status status = CheckNewSecret(user_id, stored_secret); !status.ok()) return status;
  return ChangeSecret(kReplaceSecret, user_id, stored_secret, "replacing a secret");
}

absl::Status PgStore::Revoke(const std::string& user_id) {
  return ChangeSecret(kRevoke, user_id, MakeRevokedSecret(), "revoking a credential");
}

absl::StatusOr<std::vector<Credential>> PgStore::ListCredentials(const std::string& after, int limit) {
  std::vector<Credential> listed;
  if (limit <= 0) return listed;
  if (!IsText(after)) return absl::InvalidArgumentError("the user id to list after is not UTF-8 text");
  const PgParams params = PgParams().Text(after).Int(limit);
  const absl::Status status = Run([&](PgSession& session, const AuditStatements&) {
    pqxx::nontransaction transaction(session.connection());
    listed.clear();
    for (const auto& row : session.Exec(transaction, "listing credentials", ListCredentialsSql(), params)) {
      listed.push_back({TextAt(row, 0), TextAt(row, 1), StatusAt(row, 2), IntAt(row, 3).value_or(0), IntAt(row, 4),
                        TextAt(row, 5) == "t"});
    }
    return absl::OkStatus();
  });
  if (!status.ok()) return status;
  return listed;
}

absl::StatusOr<std::vector<ListedAuditRow>> PgStore::ListAudit(const AuditQuery& query) {
  std::vector<ListedAuditRow> listed;
  if (query.limit <= 0 || !IsText(query.user_id) || !IsText(query.user_prefix)) return listed;
  const auto list = [&](PgAuditList AuditStatements::*form) {
    return Run([&](PgSession& session, const AuditStatements& statements) {
      PgParams params;
      const absl::StatusOr<std::string> sql = ListStatement(statements, statements.*form, query, &params);
      if (!sql.ok()) return sql.status();
      pqxx::nontransaction transaction(session.connection());
      listed.clear();
      for (const auto& row : session.Exec(transaction, "listing audit rows", *sql, params)) {
        listed.push_back(ListedRowOf(row, audit_json_bytes_max_));
      }
      return absl::OkStatus();
    });
  };
  absl::Status status = list(&AuditStatements::list);
  if (IsStatementTimeout(status)) status = list(&AuditStatements::quick_list);
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
