// A connection is lent to one thread for one piece of work and then idle, or discarded if it broke. After a failed
// attempt to connect, nobody dials for a while, and work fails at once unless other connections are lent. A watchdog
// thread shuts down the socket of a connection whose server does not answer, as libpq itself would wait for ever.
// Parameters travel in PostgreSQL's binary form.

#include "common/store/pg_connections.h"

#include <libpq-fe.h>
#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/base/log.h"

namespace toolwire {
namespace {

using std::chrono::milliseconds;

constexpr Duration kDownWaitMin = milliseconds(200);
constexpr Duration kDownWaitMax = milliseconds(1000);
constexpr Duration kConnectTimeoutMin = std::chrono::seconds(2);  // libpq's.
constexpr Duration kSilence = std::chrono::seconds(2);            // What a server may be late with its own timeout.
// Reasons for one outage that are logged: the first ones say what is wrong.
constexpr size_t kReasonsLogged = 8;

int64_t CountMs(Duration time) { return std::chrono::duration_cast<milliseconds>(time).count(); }

// What the URL leaves open.
void AddDefaults(const PgOptions& options, PgSettings* settings) {
  const auto seconds = std::chrono::ceil<std::chrono::seconds>(options.connect_timeout).count();
  settings->emplace("connect_timeout", absl::StrCat(std::max<int64_t>(seconds, 2)));
  settings->emplace("tcp_user_timeout", "5000");
  settings->emplace("keepalives_idle", "10");
  settings->emplace("keepalives_interval", "5");
  settings->emplace("keepalives_count", "3");
  settings->emplace("application_name", "toolwire");
  (*settings)["client_encoding"] = "UTF8";
  // The URL's own come last and count more.
  std::string& server = (*settings)["options"];
  server = absl::StrCat("-c statement_timeout=", CountMs(options.statement_timeout), " -c client_min_messages=warning ",
                        server);
}

std::string ConnInfo(const PgSettings& settings) {
  std::string conninfo;
  for (const auto& [key, value] : settings) {
    absl::StrAppend(&conninfo, key, "='");
    for (const char c : value) {
      if (c == '\'' || c == '\\') conninfo.push_back('\\');
      conninfo.push_back(c);
    }
    conninfo.append("' ");
  }
  return conninfo;
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

PgSession::PgSession(const std::string& conninfo, PgWatchdog& watchdog, Duration statement_timeout,
                     Duration slow_statement)
    : watchdog_(watchdog),
      answer_timeout_(statement_timeout + kSilence),
      slow_statement_(slow_statement),
      connection_(conninfo),
      socket_(connection_.sock()) {
  connection_.set_verbosity(pqxx::connection_base::verbose);  // With the SQLSTATE.
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

void PgSession::LiftTimeout() {
  pqxx::nontransaction transaction(connection_);
  Exec(transaction, "lifting the time limit", "SET statement_timeout = 0");
  watchdog_.Release(socket_);
  timeout_lifted_ = true;
  used_up_ = true;
}

void PgSession::Cut() { shutdown(socket_, SHUT_RDWR); }

// --- pool ------------------------------------------------------------------------------------------------------------

absl::StatusOr<std::unique_ptr<PgConnections>> PgConnections::Open(const PgOptions& options) {
  absl::StatusOr<PgSettings> settings = ReadPgUrl(options.url);
  if (!settings.ok()) return settings.status();
  NeverAskForPassphrases();
  const std::string address = PgAddress(*settings);
  const PgProtection protection = ProtectionOf(*settings);
  AddDefaults(options, &*settings);
  return std::unique_ptr<PgConnections>(new PgConnections(options, ConnInfo(*settings), address, protection));
}

PgConnections::PgConnections(PgOptions options, std::string conninfo, std::string address, PgProtection protection)
    : options_(std::move(options)),
      conninfo_(std::move(conninfo)),
      address_(std::move(address)),
      protection_(std::move(protection)) {}

absl::Status PgConnections::Run(const std::function<absl::Status(PgSession&)>& work) {
  for (bool first = true;; first = false) {
    absl::StatusOr<std::unique_ptr<PgSession>> session = Borrow();
    if (!session.ok()) return session.status();
    const Outcome outcome = Attempt(**session, work);
    Return(*std::move(session));
    if (!outcome.try_again || !first) return outcome.status;
  }
}

PgConnections::Outcome PgConnections::Attempt(PgSession& session, const std::function<absl::Status(PgSession&)>& work) {
  const auto failed = [&](absl::StatusCode code, const std::string& what) {
    return absl::Status(code, absl::StrCat(session.doing_, ": ", what));
  };
  Outcome outcome;
  session.Watch();
  try {
    outcome.status = work(session);
  } catch (const pqxx::in_doubt_error&) {
    session.used_up_ = true;
    outcome.status = failed(absl::StatusCode::kUnavailable, "the connection broke while it was committed");
  } catch (const pqxx::broken_connection&) {
    session.used_up_ = true;
    outcome.try_again = true;
    outcome.status = failed(absl::StatusCode::kUnavailable, "the connection broke");
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
    // Not again: the caller has waited long enough.
    session.used_up_ = true;
    outcome.try_again = false;
    if (!outcome.status.ok()) outcome.status = failed(absl::StatusCode::kUnavailable, "the server does not answer");
  }
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

absl::StatusOr<std::unique_ptr<PgSession>> PgConnections::Borrow() {
  const MonoTime deadline = std::chrono::steady_clock::now() + options_.statement_timeout;
  MutexLock lock(mu_);
  while (true) {
    if (!idle_.empty()) {
      std::unique_ptr<PgSession> session = std::move(idle_.back());
      idle_.pop_back();
      ++lent_;
      return session;
    }
    const MonoTime now = std::chrono::steady_clock::now();
    const bool may_dial = now >= dial_again_at_ && now + kConnectTimeoutMin <= end_;
    if (may_dial && lent_ + dialling_ < options_.connections_max) {
      ++dialling_;
      const Duration left = end_ - now;
      lock.Unlock();
      absl::StatusOr<std::unique_ptr<PgSession>> session = Dial(left);
      lock.Lock();
      --dialling_;
      changed_.NotifyAll();
      if (session.ok()) {
        NoteUpLocked();
        ++lent_;
        return session;
      }
      NoteDownLocked(session.status());
      continue;
    }
    // A server that has no room for another connection may still serve those it has.
    if (now >= end_ || (now + kConnectTimeoutMin > end_ && lent_ == 0)) {
      return absl::UnavailableError("the process is stopping");
    }
    if (!may_dial && lent_ == 0) return down_;
    if (now >= deadline) {
      return absl::UnavailableError(absl::StrCat("all ", lent_ + dialling_, " connections to the database are busy"));
    }
    MonoTime until = std::min(deadline, end_);
    if (!may_dial && now < dial_again_at_) until = std::min(until, dial_again_at_);
    changed_.WaitUntil(mu_, until);
  }
}

absl::StatusOr<std::unique_ptr<PgSession>> PgConnections::Dial(Duration left) {
  const auto failed = [&](const std::string& what) {
    return absl::UnavailableError(absl::StrCat("the database ", address_, " is unavailable: ", what));
  };
  try {
    // Of a setting that is there twice, the last counts. libpq knows whole seconds only.
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(left).count();
    const bool hurries = left < options_.connect_timeout;
    return std::make_unique<PgSession>(hurries ? absl::StrCat(conninfo_, "connect_timeout=", seconds) : conninfo_,
                                       watchdog_, options_.statement_timeout, options_.slow_statement);
  } catch (const std::exception& error) {
    return failed(DialError(error.what()));
  }
}

void PgConnections::Return(std::unique_ptr<PgSession> session) {
  // What is discarded is closed without the lock, and counts as lent until then: no other is dialled in its place
  // before.
  std::vector<std::unique_ptr<PgSession>> discarded;
  int closing = 0;
  {
    MutexLock lock(mu_);
    if (session->used_up_) {
      // The others have most likely died of the same.
      if (!session->timeout_lifted_) discarded.swap(idle_);
      lent_ += static_cast<int>(discarded.size());
      discarded.push_back(std::move(session));
      closing = static_cast<int>(discarded.size());
    } else {
      --lent_;
      idle_.push_back(std::move(session));
    }
  }
  if (closing > 0) {
    discarded.clear();
    MutexLock lock(mu_);
    lent_ -= closing;
  }
  changed_.NotifyAll();
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
