// A connection is lent to one thread for one piece of work and then idle, or discarded if it broke. Each lane has a pool
// of them, or shares one with lanes that the other kind of process uses. After a failed attempt to connect, nobody dials
// for a while, and work fails at once unless other connections of its pool are lent. A watchdog thread shuts down the
// socket of a connection whose server does not answer, as libpq itself would wait for ever. Parameters travel in
// PostgreSQL's binary form.

#include "common/store/pg_connections.h"

#include <libpq-fe.h>
#include <sys/socket.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/base/log.h"
#include "common/store/pg_canceller.h"

namespace toolwire {
namespace {

using std::chrono::milliseconds;

constexpr Duration kDownWaitMin = milliseconds(200);
constexpr Duration kDownWaitMax = milliseconds(1000);
constexpr Duration kDialMin = std::chrono::seconds(2);  // For less time nobody dials.
constexpr Duration kSilence = std::chrono::seconds(2);  // What a server may be late with its own timeout.
constexpr Duration kSilenceOfCheck = std::chrono::seconds(1);
// Reasons for one outage that are logged: the first ones say what is wrong.
constexpr size_t kReasonsLogged = 8;

int64_t CountMs(Duration time) { return std::chrono::duration_cast<milliseconds>(time).count(); }

// The URL's, if it gives one. libpq would take 0 for no limit.
Duration ConnectTimeout(const PgOptions& options, const PgSettings& settings) {
  const auto found = settings.find("connect_timeout");
  int seconds = 0;
  if (found == settings.end() || !absl::SimpleAtoi(found->second, &seconds) || seconds <= 0) {
    return options.connect_timeout;
  }
  return std::chrono::seconds(seconds);
}

// What the URL leaves open.
void AddDefaults(PgSettings* settings) {
  settings->emplace("tcp_user_timeout", "5000");
  settings->emplace("keepalives_idle", "10");
  settings->emplace("keepalives_interval", "5");
  settings->emplace("keepalives_count", "3");
  settings->emplace("application_name", "toolwire");
  (*settings)["client_encoding"] = "UTF8";
  // No `options` of ours: PgBouncer refuses them.
}

// By how many connections there may be: see PgLane. In the order of the lanes.
std::array<int, kPgLanes> PoolsFor(int connections_max) {
  if (connections_max >= kPgLanes) return {0, 1, 2, 3, 4};
  if (connections_max >= 3) return {0, 1, 0, 1, 2};
  if (connections_max == 2) return {0, 0, 0, 1, 1};
  return {0, 0, 0, 0, 0};
}

// Spare connections go to checks first, then to changes.
std::vector<int> PoolSizesFor(int connections_max) {
  const int pools = connections_max >= kPgLanes ? kPgLanes : std::min(connections_max, 3);
  std::vector<int> sizes(static_cast<size_t>(pools), 1);
  const int spare = connections_max - pools;
  const bool apart = pools == kPgLanes;
  sizes[0] += apart ? (spare + 1) / 2 : spare;
  if (apart) sizes[static_cast<size_t>(PgLane::kChanges)] += spare / 2;
  return sizes;
}

// Of a key, OpenSSL would ask on the terminal, and wait. libpq's hook knows the one of the URL, and no other.
void NeverAskForPassphrases() {
  static const bool is_set = (PQsetSSLKeyPassHook_OpenSSL(PQdefaultSSLKeyPassHook_OpenSSL), true);
  static_cast<void>(is_set);
}

// --- errors ----------------------------------------------------------------------------------------------------------

// What libpq says of a connection that did not come about, in one line: a sentence for each address, and for each
// attempt with and without TLS. Hints, which are lines between them, are left out.
std::string DialError(const std::string& text) {
  std::vector<absl::string_view> sentences;
  for (const absl::string_view line : absl::StrSplit(text, '\n', absl::SkipWhitespace())) {
    if (sentences.empty() || absl::StartsWith(line, "connection to server")) sentences.push_back(line);
  }
  return absl::StrJoin(sentences, "; ");
}

// Whether the connection is of no more use: it is going, or leads to a server that may only be read.
bool EndsConnection(std::string_view sqlstate) {
  return sqlstate.substr(0, 2) == "08" || sqlstate.substr(0, 4) == "57P0" || sqlstate == "25006";
}

// --- binary parameters -----------------------------------------------------------------------------------------------

// Object ids of types, the same in every PostgreSQL.
constexpr uint32_t kBool = 16, kBigint = 20, kText = 25;

template <typename T>
void AppendBigEndian(T number, std::string* out) {
  for (int shift = 8 * sizeof(T) - 8; shift >= 0; shift -= 8) out->push_back(static_cast<char>(number >> shift));
}

// One dimension of `size` elements, counted from 1; each is its length and its bytes, NULL a length of -1.
std::string ArrayHead(uint32_t type, size_t size) {
  std::string bytes;
  for (const uint32_t field : {uint32_t{1}, uint32_t{1}, type, static_cast<uint32_t>(size), uint32_t{1}}) {
    AppendBigEndian(field, &bytes);
  }
  return bytes;
}

}  // namespace

PgParams& PgParams::Text(std::string_view text) {
  values_.emplace_back(text.data(), text.size());
  return *this;
}

PgParams& PgParams::Int(int64_t number) {
  std::string bytes;
  AppendBigEndian(static_cast<uint64_t>(number), &bytes);
  values_.emplace_back(bytes);
  return *this;
}

PgParams& PgParams::Texts(const std::vector<std::optional<std::string_view>>& texts) {
  std::string bytes = ArrayHead(kText, texts.size());
  for (const auto& text : texts) {
    AppendBigEndian(text ? static_cast<uint32_t>(text->size()) : ~uint32_t{0}, &bytes);
    if (text) bytes.append(*text);
  }
  values_.emplace_back(bytes);
  return *this;
}

PgParams& PgParams::Ints(const std::vector<std::optional<int64_t>>& numbers) {
  std::string bytes = ArrayHead(kBigint, numbers.size());
  for (const auto& number : numbers) {
    AppendBigEndian(number ? uint32_t{8} : ~uint32_t{0}, &bytes);
    if (number) AppendBigEndian(static_cast<uint64_t>(*number), &bytes);
  }
  values_.emplace_back(bytes);
  return *this;
}

PgParams& PgParams::Bools(const std::vector<bool>& flags) {
  std::string bytes = ArrayHead(kBool, flags.size());
  for (const bool flag : flags) {
    AppendBigEndian(uint32_t{1}, &bytes);
    bytes.push_back(flag ? 1 : 0);
  }
  values_.emplace_back(bytes);
  return *this;
}

// --- watchdog --------------------------------------------------------------------------------------------------------

PgWatchdog::~PgWatchdog() {
  {
    MutexLock lock(mu_);
    stopping_ = true;
  }
  wake_.NotifyOne();
  thread_.join();
}

void PgWatchdog::Watch(int socket, MonoTime deadline) {
  MutexLock lock(mu_);
  watched_[socket] = {deadline, false};
  // Deadlines grow, so as a rule the thread will look in time and is left asleep.
  if (std::min(deadline, end_) < wakes_at_) wake_.NotifyOne();
}

void PgWatchdog::EndBy(MonoTime end) {
  MutexLock lock(mu_);
  end_ = end;
  wake_.NotifyOne();
}

bool PgWatchdog::Release(int socket) {
  MutexLock lock(mu_);
  const auto it = watched_.find(socket);
  if (it == watched_.end()) return false;
  const bool cut = it->second.cut;
  watched_.erase(it);
  return cut;
}

void PgWatchdog::Run() {
  MutexLock lock(mu_);
  while (!stopping_) {
    const MonoTime now = std::chrono::steady_clock::now();
    wakes_at_ = MonoTime::max();
    for (auto& [socket, watched] : watched_) {
      if (watched.cut) continue;
      const MonoTime deadline = std::min(watched.deadline, end_);
      if (deadline <= now) {
        shutdown(socket, SHUT_RDWR);  // Under the lock, so before its owner can close it.
        watched.cut = true;
      } else {
        wakes_at_ = std::min(wakes_at_, deadline);
      }
    }
    if (wakes_at_ == MonoTime::max()) {
      wake_.Wait(mu_);
    } else {
      wake_.WaitUntil(mu_, wakes_at_);
    }
  }
}

// --- session ---------------------------------------------------------------------------------------------------------

PgSession::PgSession(std::shared_ptr<PgConnection> connection, PgWatchdog& watchdog, Duration statement_timeout,
                     Duration slow_statement)
    : watchdog_(watchdog),
      answer_timeout_(statement_timeout + kSilence),
      slow_statement_(slow_statement),
      connection_(std::move(connection)),
      socket_(connection_->sock()) {
  connection_->set_verbosity(pqxx::connection_base::verbose);  // With the SQLSTATE.
  // A pooler gives its clients a number of its own, since they have no session of theirs.
  Watch();
  try {
    pqxx::nontransaction transaction(*connection_);
    pooled_ = transaction.exec("SELECT pg_backend_pid()")[0][0].as<int>() != connection_->backendpid();
  } catch (...) {
    watchdog_.Release(socket_);
    throw;
  }
  watchdog_.Release(socket_);
}

PgSession::~PgSession() { watchdog_.Release(socket_); }

void PgSession::Timed(const char* doing, const std::function<int64_t()>& work) {
  doing_ = doing;
  if (!timeout_lifted_) Watch();
  const MonoTime start = std::chrono::steady_clock::now();
  const auto log_slow = [&](int64_t rows) {
    const Duration took = std::chrono::steady_clock::now() - start;
    if (took < slow_statement_ || timeout_lifted_) return;
    log::Warn("slow statement", {{"statement", doing}, {"ms", CountMs(took)}, {"rows", rows}});
  };
  try {
    log_slow(work());
  } catch (const pqxx::broken_connection&) {
    failure_ = connection_->Failure();
    log_slow(0);
    throw;
  } catch (...) {
    log_slow(0);
    throw;
  }
}

pqxx::result PgSession::Exec(pqxx::transaction_base& transaction, const char* doing, const std::string& sql,
                             const PgParams& params) {
  pqxx::result result;
  Timed(doing, [&] {
    result = transaction.exec_params(sql, pqxx::prepare::make_dynamic_params(params.values()));
    return static_cast<int64_t>(result.empty() ? result.affected_rows() : result.size());
  });
  return result;
}

void PgSession::Copy(pqxx::transaction_base& transaction, const char* doing, const std::string& table,
                     const std::vector<std::string>& columns, const std::function<int64_t(pqxx::stream_to&)>& fill) {
  Timed(doing, [&] {
    pqxx::stream_to stream(transaction, table, columns);
    const int64_t rows = fill(stream);
    stream.complete();
    return rows;
  });
}

std::string PgSession::TimeoutsSql(const char* set, const PgTimeouts& timeouts) {
  return absl::StrCat(set, " statement_timeout = ", CountMs(timeouts.statement), "; ", set,
                      " lock_timeout = ", CountMs(timeouts.lock), "; ", set, " client_min_messages = warning");
}

void PgSession::UseTimeouts(const PgTimeouts& timeouts) {
  if (timeouts_ == timeouts) return;
  if (!pooled_) {
    doing_ = "setting time limits";
    pqxx::nontransaction transaction(*connection_);
    transaction.exec(TimeoutsSql("SET", timeouts));
  }
  timeouts_ = timeouts;
}

void PgSession::Transact(const std::function<void(pqxx::transaction_base&)>& work) {
  if (!pooled_) {
    pqxx::nontransaction transaction(*connection_);
    return work(transaction);
  }
  TransactAtOnce([&](pqxx::transaction_base& transaction) {
    work(transaction);
    return true;
  });
}

void PgSession::TransactAtOnce(const std::function<bool(pqxx::transaction_base&)>& work) {
  pqxx::work transaction(*connection_);
  if (pooled_) transaction.exec(TimeoutsSql("SET LOCAL", timeouts_));
  if (work(transaction)) transaction.commit();
}

void PgSession::TransactWithin(const PgTimeouts& timeouts, const std::function<void(pqxx::transaction_base&)>& work) {
  pqxx::work transaction(*connection_);
  transaction.exec(TimeoutsSql("SET LOCAL", timeouts));
  work(transaction);
  transaction.commit();
}

void PgSession::LiftTimeout() {
  pqxx::nontransaction transaction(*connection_);
  // Behind a pooler, the session is not ours to set, and the server has no limit unless its operator set one.
  if (!pooled_) transaction.exec("SET statement_timeout = 0; SET lock_timeout = 0");
  watchdog_.Release(socket_);
  timeout_lifted_ = true;
  used_up_ = true;
}

void PgSession::Rest() { watchdog_.Release(socket_); }

// --- pool ------------------------------------------------------------------------------------------------------------

absl::StatusOr<std::unique_ptr<PgConnections>> PgConnections::Open(const PgOptions& options) {
  absl::StatusOr<PgSettings> settings = ReadPgUrl(options.url);
  if (!settings.ok()) return settings.status();
  NeverAskForPassphrases();
  AddHostsOfEnvironment(&*settings);
  const std::string address = PgAddress(*settings);
  const PgProtection protection = ProtectionOf(*settings);
  AddDefaults(&*settings);
  return std::unique_ptr<PgConnections>(new PgConnections(options, *settings, address, protection));
}

PgConnections::PgConnections(PgOptions options, PgSettings settings, std::string address, PgProtection protection)
    : options_(std::move(options)),
      settings_(std::move(settings)),
      address_(std::move(address)),
      protection_(std::move(protection)),
      pool_of_(PoolsFor(options_.connections_max)) {
  for (const int size : PoolSizesFor(options_.connections_max)) {
    pools_.emplace_back();
    pools_.back().connections_max = size;
  }
}

PgTimeouts PgConnections::TimeoutsOf(PgLane lane) const {
  const auto lock = [&]() -> Duration {
    if (lane == PgLane::kStatus) return options_.status_lock_timeout;
    if (lane == PgLane::kChanges) return options_.change_lock_timeout;
    // Before the statement's own limit: rows that wait for others' lock are not slow ones.
    if (lane == PgLane::kAudit) return options_.statement_timeout / 2;
    return Duration::zero();
  };
  const Duration statement = options_.statement_timeout;
  return {lane == PgLane::kChecks ? std::min(options_.check_timeout, statement) : statement, lock()};
}

Duration PgConnections::AnswerTimeoutOf(PgLane lane) const {
  return TimeoutsOf(lane).statement + (lane == PgLane::kChecks ? kSilenceOfCheck : kSilence);
}

absl::Status PgConnections::Run(PgLane lane, const std::function<absl::Status(PgSession&)>& work,
                                const std::function<bool()>& is_gone) {
  for (bool first = true;; first = false) {
    absl::StatusOr<std::unique_ptr<PgSession>> session = Borrow(lane, is_gone);
    if (!session.ok()) return session.status();
    (*session)->ExpectAnswerWithin(AnswerTimeoutOf(lane));
    const auto with_timeouts = [&](PgSession& lent) {
      lent.UseTimeouts(TimeoutsOf(lane));
      return work(lent);
    };
    const Outcome outcome =
        is_gone ? AttemptUnlessGone(**session, with_timeouts, is_gone) : Attempt(**session, with_timeouts);
    Return(lane, *std::move(session));
    if (!outcome.try_again || !first) return outcome.status;
  }
}

PgConnections::Outcome PgConnections::Attempt(PgSession& session, const std::function<absl::Status(PgSession&)>& work) {
  const auto failed = [&](absl::StatusCode code, const std::string& what) {
    return absl::Status(code, absl::StrCat(session.doing_, ": ", what));
  };
  Outcome outcome;
  session.failure_.clear();
  session.Watch();
  try {
    outcome.status = work(session);
  } catch (const pqxx::in_doubt_error&) {
    session.used_up_ = true;
    outcome.status = failed(absl::StatusCode::kUnavailable, "the connection broke while it was committed");
  } catch (const pqxx::broken_connection&) {
    session.used_up_ = true;
    outcome.try_again = true;
    const PgError said(session.failure_);
    outcome.status =
        failed(absl::StatusCode::kUnavailable, said.sqlstate.empty() ? "the connection broke" : said.words);
  } catch (const pqxx::transaction_rollback& exception) {
    outcome.status = PgStatus(session.doing_, PgError(exception.what()));
    if (SqlState(outcome.status).empty()) outcome.status = failed(absl::StatusCode::kUnavailable, "rolled back");
  } catch (const pqxx::sql_error& exception) {
    const PgError error(exception.what());
    outcome.try_again = EndsConnection(error.sqlstate) || !session.connection().is_open();
    session.used_up_ |= outcome.try_again;
    outcome.status = PgStatus(session.doing_, error);
    if (outcome.try_again && !absl::IsUnavailable(outcome.status)) {
      outcome.status = failed(absl::StatusCode::kUnavailable, error.words);
    }
  } catch (const std::exception&) {
    // Of the library itself; its message may hold a value that it could not convert.
    session.used_up_ = true;
    outcome.status = failed(absl::StatusCode::kInternal, "an answer that makes no sense");
  }
  session.cut_ = watchdog_.Release(session.socket_);
  if (session.cut_) {
    NoteSilent(session.host_);
    // Not again: the caller has waited long enough.
    session.used_up_ = true;
    outcome.try_again = false;
    if (!outcome.status.ok()) outcome.status = failed(absl::StatusCode::kUnavailable, "the server does not answer");
  }
  return outcome;
}

PgConnections::Outcome PgConnections::AttemptUnlessGone(PgSession& session,
                                                        const std::function<absl::Status(PgSession&)>& work,
                                                        const std::function<bool()>& is_gone) {
  PgCanceller canceller(is_gone, [connection = session.shared_connection()] {
    try {
      connection->cancel_query();  // By a connection of its own; touches nothing that the statement uses.
    } catch (const std::exception&) {
      // Then it ends by its time limit.
    }
  });
  Outcome outcome = Attempt(session, work);
  if (!canceller.Stop()) return outcome;
  session.used_up_ = session.cancelled_ = true;
  outcome.try_again = false;
  if (!outcome.status.ok()) outcome.status = absl::CancelledError("nobody waits for the answer any more");
  return outcome;
}

void PgConnections::EndBy(MonoTime end) {
  watchdog_.EndBy(end);
  {
    MutexLock lock(mu_);
    end_ = end;
  }
  changed_.NotifyAll();
}

absl::StatusOr<std::unique_ptr<PgSession>> PgConnections::Borrow(PgLane lane, const std::function<bool()>& is_gone) {
  constexpr Duration kAskEvery = milliseconds(100);
  const MonoTime deadline = std::chrono::steady_clock::now() + options_.statement_timeout;
  MutexLock lock(mu_);
  Pool& pool = PoolOf(lane);
  while (true) {
    if (is_gone && is_gone()) return absl::CancelledError("nobody waits for the answer any more");
    if (!pool.idle.empty()) {
      std::unique_ptr<PgSession> session = std::move(pool.idle.back());
      pool.idle.pop_back();
      ++pool.lent;
      return session;
    }
    const MonoTime now = std::chrono::steady_clock::now();
    const bool may_dial = now >= dial_again_at_ && now + kDialMin <= end_;
    if (may_dial && pool.lent + pool.dialling < pool.connections_max) {
      ++pool.dialling;
      lock.Unlock();
      absl::StatusOr<std::unique_ptr<PgSession>> session = Dial();
      lock.Lock();
      --pool.dialling;
      changed_.NotifyAll();
      if (session.ok()) {
        NoteUpLocked();
        ++pool.lent;
        return session;
      }
      NoteDownLocked(session.status());
      continue;
    }
    // A server that has no room for another connection may still serve those it has.
    if (now >= end_ || (now + kDialMin > end_ && pool.lent == 0)) {
      return absl::UnavailableError("the process is stopping");
    }
    if (!may_dial && pool.lent == 0) {
      // What another lane does not use now; it dials again when it needs one.
      for (Pool& other : pools_) {
        if (other.idle.empty()) continue;
        pool.idle.push_back(std::move(other.idle.back()));
        other.idle.pop_back();
        break;
      }
      if (pool.idle.empty()) return down_;
      continue;
    }
    if (now >= deadline) {
      return absl::UnavailableError(absl::StrCat("all ", pool.lent + pool.dialling,
                                                 " connections to the database for this kind of work are busy"));
    }
    MonoTime until = std::min(deadline, end_);
    if (!may_dial && now < dial_again_at_) until = std::min(until, dial_again_at_);
    if (is_gone) until = std::min(until, now + kAskEvery);
    changed_.WaitUntil(mu_, until);
  }
}

absl::StatusOr<std::unique_ptr<PgSession>> PgConnections::Dial() {
  const auto end = [this] {
    MutexLock lock(mu_);
    return end_;
  };
  size_t host = 0;
  {
    MutexLock lock(mu_);
    host = first_host_;
  }
  try {
    auto session = std::make_unique<PgSession>(DialPg(settings_, ConnectTimeout(options_, settings_), end, &host),
                                               watchdog_, options_.statement_timeout, options_.slow_statement);
    session->host_ = host;
    MutexLock lock(mu_);
    first_host_ = host;
    return session;
  } catch (const std::exception& error) {
    return absl::UnavailableError(
        absl::StrCat("the database ", address_, " is unavailable: ", DialError(error.what())));
  }
}

void PgConnections::Return(PgLane lane, std::unique_ptr<PgSession> session) {
  // What is discarded is closed without the lock, and counts as lent until then: no other is dialled in its place
  // before.
  std::vector<std::unique_ptr<PgSession>> discarded;
  std::vector<int> closing;  // Of each pool.
  {
    MutexLock lock(mu_);
    Pool& own = PoolOf(lane);
    if (session->used_up_) {
      closing.resize(pools_.size());
      for (size_t i = 0; i < pools_.size(); ++i) {
        // The others have most likely died of the same, unless it was ended on purpose.
        if (session->timeout_lifted_ || session->cancelled_) break;
        closing[i] = static_cast<int>(pools_[i].idle.size());
        pools_[i].lent += closing[i];
        std::move(pools_[i].idle.begin(), pools_[i].idle.end(), std::back_inserter(discarded));
        pools_[i].idle.clear();
      }
      ++closing[static_cast<size_t>(&own - pools_.data())];
      discarded.push_back(std::move(session));
    } else {
      --own.lent;
      own.idle.push_back(std::move(session));
    }
  }
  if (!closing.empty()) {
    discarded.clear();
    MutexLock lock(mu_);
    for (size_t i = 0; i < pools_.size(); ++i) pools_[i].lent -= closing[i];
  }
  changed_.NotifyAll();
}

void PgConnections::NoteSilent(size_t host) {
  MutexLock lock(mu_);
  if (host == first_host_) first_host_ = host + 1;
}

void PgConnections::NoteUpLocked() {
  if (!down_.ok()) log::Info("database back", {{"database", address_}});
  down_ = absl::OkStatus();
  logged_.clear();
  down_wait_ = Duration::zero();
  dial_again_at_ = MonoTime{};
}

void PgConnections::NoteDownLocked(const absl::Status& why) {
  // Each reason once: who mends one must see the next.
  if (logged_.size() < kReasonsLogged && logged_.insert(std::string(why.message())).second) {
    log::Warn("database unavailable", {{"error", std::string(why.message())}});
  }
  down_ = why;
  down_wait_ = std::clamp(2 * down_wait_, kDownWaitMin, kDownWaitMax);
  dial_again_at_ = std::chrono::steady_clock::now() + down_wait_;
}

}  // namespace toolwire
