// The thread runs once for all missing indexes and ends; the next one starts when rows again find an index missing, as
// after a failure. Rows wait only for the index on call_id, which is built first.

#include "common/store/pg_indexes.h"

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/log.h"

namespace toolwire {

void PgIndexes::Stop() {
  MutexLock lock(mu_);
  is_stopping_ = true;
  if (session_ != nullptr) session_->Cut();
  changed_.NotifyAll();
}

PgIndexes::~PgIndexes() {
  Stop();
  if (thread_.joinable()) thread_.join();
}

void PgIndexes::Note(const PgAuditTable& table) {
  // What was read before the index was built must not take it back.
  MutexLock lock(mu_);
  if (table.has_call_index || !is_building_) has_call_index_ = table.has_call_index;
  lacks_list_indexes_ = !table.has_list_indexes;
}

absl::Status PgIndexes::AwaitCallIndex() {
  MutexLock lock(mu_);
  StartLocked();
  changed_.WaitFor(mu_, connections_.statement_timeout(), [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return has_call_index_ || !is_building_ || is_stopping_;
  });
  if (has_call_index_) return absl::OkStatus();
  return is_stopping_ ? absl::UnavailableError("the process is stopping") : status_;
}

void PgIndexes::BuildListIndexes() {
  if (!lacks_list_indexes_) return;
  MutexLock lock(mu_);
  StartLocked();
}

void PgIndexes::StartLocked() {
  if (is_building_ || is_stopping_) return;
  if (thread_.joinable()) thread_.join();  // Which has nothing left to do.
  is_building_ = true;
  lacks_list_indexes_ = false;
  status_ = absl::UnavailableError("the index of the audit log is still being built");
  thread_ = std::thread([this] { Build(); });
}

void PgIndexes::Build() {
  const absl::Status status = connections_.Run([this](PgSession& session) { return BuildWith(session); });
  MutexLock lock(mu_);
  // If only the indexes for listing failed, no row waits that would report it.
  if (!status.ok() && has_call_index_ && !is_stopping_) {
    log::Warn("database index not built", {{"error", std::string(status.message())}});
  }
  // Rows wait for whatever is wrong with the table.
  status_ = absl::UnavailableError(absl::StrCat("the index of the audit log: ", std::string(status.message())));
  is_building_ = false;
  changed_.NotifyAll();
}

absl::Status PgIndexes::BuildWith(PgSession& session) {
  // The session is this function's only, also if it ends by an exception.
  const auto forget = [this](PgSession*) {
    MutexLock lock(mu_);
    session_ = nullptr;
  };
  const std::unique_ptr<PgSession, decltype(forget)> registered(&session, forget);
  {
    MutexLock lock(mu_);
    session_ = &session;
  }
  if (IsStopping()) return absl::CancelledError();
  const absl::StatusOr<PgAuditTable> table = PreparePgTables(session);
  if (!table.ok()) return table.status();
  // The first is that of call_id.
  const auto on_index = [this](const char*) {
    has_call_index_ = true;
    MutexLock lock(mu_);
    changed_.NotifyAll();
  };
  BuildPgIndexes(session, *table, on_index, [this] { return IsStopping(); });
  return absl::OkStatus();
}

bool PgIndexes::IsStopping() {
  MutexLock lock(mu_);
  return is_stopping_;
}

}  // namespace toolwire
