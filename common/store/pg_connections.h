// Connections to PostgreSQL: a small pool, and what errors mean. Only the pg_* files include pqxx.
#ifndef TOOLWIRE_COMMON_STORE_PG_CONNECTIONS_H_
#define TOOLWIRE_COMMON_STORE_PG_CONNECTIONS_H_

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <pqxx/pqxx>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/store/pg_dial.h"
#include "common/store/pg_errors.h"
#include "common/store/pg_options.h"
#include "common/store/pg_url.h"

namespace toolwire {

// The kinds of work. Each has connections of its own, as far as there are enough, so that one that is slow holds up no
// other. An edge checks and writes status, a control changes and lists, both write the audit log; so three connections
// keep apart all that one process does, and five all there is. Further ones serve checks and changes.
enum class PgLane { kChecks, kStatus, kChanges, kListings, kAudit };
inline constexpr int kPgLanes = 5;

// The parameters $1, $2, ... of one statement, in PostgreSQL's binary form: nothing needs quoting. The statement casts
// each to the type it was added as.
class PgParams {
 public:
  PgParams& Text(std::string_view text);  // $n::text
  PgParams& Int(int64_t number);          // $n::bigint

  // An array, which a statement unnests into a column; NULL where there is no value.
  PgParams& Texts(const std::vector<std::optional<std::string_view>>& texts);  // $n::text[]
  PgParams& Ints(const std::vector<std::optional<int64_t>>& numbers);          // $n::bigint[]
  PgParams& Bools(const std::vector<bool>& flags);                             // $n::boolean[]

  const std::vector<pqxx::binarystring>& values() const { return values_; }

 private:
  std::vector<pqxx::binarystring> values_;
};

// Cuts connections whose server has fallen silent: libpq itself waits for an answer for ever. Any thread.
class PgWatchdog {
 public:
  PgWatchdog() : thread_([this] { Run(); }) {}
  ~PgWatchdog();

  // Cuts the connection of this socket at `deadline`, unless Release comes before or another Watch moves it.
  void Watch(int socket, MonoTime deadline);
  // Nothing is watched for longer than until `end`.
  void EndBy(MonoTime end);
  // True if it was cut.
  bool Release(int socket);

 private:
  struct Watched {
    MonoTime deadline;
    bool cut = false;
  };
  void Run();

  Mutex mu_;
  CondVar wake_;
  std::map<int, Watched> watched_ ABSL_GUARDED_BY(mu_);
  MonoTime wakes_at_ ABSL_GUARDED_BY(mu_) = MonoTime::max();  // When the thread checks next by itself.
  MonoTime end_ ABSL_GUARDED_BY(mu_) = MonoTime::max();
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_;
};

// What the server ends by itself.
struct PgTimeouts {
  Duration statement;
  Duration lock{};  // Zero: as long as the statement.
  bool operator==(const PgTimeouts& other) const { return statement == other.statement && lock == other.lock; }
};

// One connection, lent to one thread. Nothing that is set in the session outlives it: if a pooler such as PgBouncer
// stands before the server, the next transaction may be in another session, and this session another client's. So there
// timeouts are set in each transaction.
class PgSession {
 public:
  // Throws pqxx's exceptions, as do all statements.
  PgSession(std::shared_ptr<PgConnection> connection, PgWatchdog& watchdog, Duration statement_timeout,
            Duration slow_statement);
  ~PgSession();
  PgSession(const PgSession&) = delete;
  PgSession& operator=(const PgSession&) = delete;

  pqxx::connection_base& connection() { return *connection_; }
  // For who may use it longer than the session lives.
  std::shared_ptr<pqxx::connection_base> shared_connection() const { return connection_; }
  // Whether a pooler hands transactions to sessions of its own.
  bool pooled() const { return pooled_; }

  // Runs `work`, one statement as a rule, with the lane's timeouts. Each statement is a transaction of its own, unless
  // there is a pooler.
  void Transact(const std::function<void(pqxx::transaction_base&)>& work);
  // Runs `work` with them in one transaction, which is committed if it returns true.
  void TransactAtOnce(const std::function<bool(pqxx::transaction_base&)>& work);
  // Runs `work` in one transaction with these instead of the lane's.
  void TransactWithin(const PgTimeouts& timeouts, const std::function<void(pqxx::transaction_base&)>& work);

  // Runs one statement. `doing` is a static phrase for logs and errors, such as "checking credentials". A slow one is
  // logged, without its parameters.
  pqxx::result Exec(pqxx::transaction_base& transaction, const char* doing, const std::string& sql,
                    const PgParams& params = {});

  // Copies rows into a table, all or none: `fill` writes them. Timed and watched like a statement.
  void Copy(pqxx::transaction_base& transaction, const char* doing, const std::string& table,
            const std::vector<std::string>& columns, const std::function<int64_t(pqxx::stream_to&)>& fill);

  // From now on statements may take as long as they like, here and at the server. The connection is not used again.
  void LiftTimeout();
  // The session only keeps its transaction open for a while: until the next statement, nothing is expected of it.
  void Rest();

 private:
  friend class PgConnections;
  // Runs `work`, which returns how many rows it is about; the watchdog ends it if it takes too long.
  void Timed(const char* doing, const std::function<int64_t()>& work);
  // How long it may take until the server answers.
  void ExpectAnswerWithin(Duration limit) { answer_timeout_ = limit; }
  void Watch() { watchdog_.Watch(socket_, std::chrono::steady_clock::now() + answer_timeout_); }
  void UseTimeouts(const PgTimeouts& timeouts);
  static std::string TimeoutsSql(const char* set, const PgTimeouts& timeouts);

  PgWatchdog& watchdog_;
  Duration answer_timeout_;
  const Duration slow_statement_;
  const std::shared_ptr<PgConnection> connection_;
  const int socket_;
  size_t host_ = 0;  // Which of the URL's it leads to.
  const char* doing_ = "talking to the database";  // What the newest statement is for.
  std::string failure_;  // What the server said as it ended the connection; of the newest work.
  PgTimeouts timeouts_{Duration(-1)};  // None yet. Those of the session, or for its transactions.
  bool pooled_ = false;
  bool timeout_lifted_ = false;
  bool cut_ = false;      // By the watchdog, for silence.
  bool used_up_ = false;  // Must not be lent again.
  bool cancelled_ = false;  // A request to cancel may still be on its way, to this session alone.
};

// Connections are made on demand and kept. While the server is unavailable, calls fail at once for 200 ms, doubling
// to 1 s, after each failed attempt to connect, so that a dead server is not dialled for each call. Any thread.
class PgConnections {
 public:
  // Connects to nothing yet. INVALID_ARGUMENT if the URL is none; the message does not repeat it.
  static absl::StatusOr<std::unique_ptr<PgConnections>> Open(const PgOptions& options);

  // Runs `work` with a connection and turns what it throws into a status that holds no values of rows: UNAVAILABLE for
  // all that passes by itself or that an operator mends, such as a missing table; INVALID_ARGUMENT and ALREADY_EXISTS
  // for what is wrong with the data. If the connection turns out to be dead, `work` runs once more on a new one; so it
  // must do no harm when it is repeated, except in a pqxx::work, whose commit is never repeated. CANCELLED soon after
  // `is_gone`, which another thread asks, became true; null: nobody asks.
  absl::Status Run(PgLane lane, const std::function<absl::Status(PgSession&)>& work,
                   const std::function<bool()>& is_gone = nullptr);

  // No Run lasts beyond `end`, also of those under way. Nobody dials when less than 2 s are left.
  void EndBy(MonoTime end);

  Duration statement_timeout() const { return options_.statement_timeout; }
  // host:port/dbname, for people.
  const std::string& address() const { return address_; }
  const PgProtection& protection() const { return protection_; }

 private:
  struct Outcome {
    absl::Status status;
    bool try_again = false;
  };

  PgConnections(PgOptions options, PgSettings settings, std::string address, PgProtection protection);
  // The connections of one lane, or of several.
  struct Pool {
    int connections_max = 0;
    std::vector<std::unique_ptr<PgSession>> idle;
    int lent = 0;
    int dialling = 0;
  };

  PgTimeouts TimeoutsOf(PgLane lane) const;
  Duration AnswerTimeoutOf(PgLane lane) const;
  Pool& PoolOf(PgLane lane) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return pools_[pool_of_[static_cast<int>(lane)]]; }
  absl::StatusOr<std::unique_ptr<PgSession>> Borrow(PgLane lane, const std::function<bool()>& is_gone);
  absl::StatusOr<std::unique_ptr<PgSession>> Dial();
  void Return(PgLane lane, std::unique_ptr<PgSession> session);
  Outcome Attempt(PgSession& session, const std::function<absl::Status(PgSession&)>& work);
  // The same; the server is asked to end it once `is_gone`.
  Outcome AttemptUnlessGone(PgSession& session, const std::function<absl::Status(PgSession&)>& work,
                            const std::function<bool()>& is_gone);
  void NoteSilent(size_t host);
  void NoteUpLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void NoteDownLocked(const absl::Status& why) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const PgOptions options_;
  const PgSettings settings_;  // With the password.
  const std::string address_;
  const PgProtection protection_;
  const std::array<int, kPgLanes> pool_of_;  // Of each lane, in pools_.

  PgWatchdog watchdog_;  // Outlives the sessions.

  Mutex mu_;
  CondVar changed_;
  std::vector<Pool> pools_ ABSL_GUARDED_BY(mu_);
  absl::Status down_ ABSL_GUARDED_BY(mu_);  // Why the newest attempt to connect failed; OK if it did not.
  absl::flat_hash_set<std::string> logged_ ABSL_GUARDED_BY(mu_);  // Reasons since it was up.
  Duration down_wait_ ABSL_GUARDED_BY(mu_) = {};
  MonoTime dial_again_at_ ABSL_GUARDED_BY(mu_) = {};
  MonoTime end_ ABSL_GUARDED_BY(mu_) = MonoTime::max();
  // Which host is tried first, where the order is free: the one that answered last, or the next if it fell silent. libpq
  // by itself would wait for a dead one with each new connection.
  size_t first_host_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_STORE_PG_CONNECTIONS_H_
