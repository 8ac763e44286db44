// The thread runs once for all missing indexes and ends; the next one starts when rows again find an index missing, as
// after a failure. Rows wait only for the index on call_id, which is built first.

#include "common/store/pg_indexes.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/log.h"

namespace toolwire {

void PgIndexes::EndBy(MonoTime end) {
  MutexLock lock(mu_);
  end_ = end;
  if (IsEndingLocked() && session_ != nullptr) session_->Cut();
  changed_.NotifyAll();
}

PgIndexes::~PgIndexes() {
  EndBy(MonoTime::min());
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
  const MonoTime deadline = std::chrono::steady_clock::now() + connections_.statement_timeout();
  while (!has_call_index_ && is_building_ && !IsEndingLocked() && std::chrono::steady_clock::now() < deadline) {
    changed_.WaitUntil(mu_, std::min(deadline, end_.value_or(deadline)));
  }
  if (has_call_index_) return absl::OkStatus();
  return IsEndingLocked() ? absl::UnavailableError("the process is stopping") : status_;
}

void PgIndexes::BuildListIndexes() {
  if (!lacks_list_indexes_) return;
  MutexLock lock(mu_);
  StartLocked();
}

void PgIndexes::StartLocked() {
  if (is_building_ || IsEndingLocked()) return;
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
  if (!status.ok() && has_call_index_ && !IsEndingLocked()) {
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
  if (IsEnding()) return absl::CancelledError();
  const absl::StatusOr<PgAuditTable> table = PreparePgTables(session);
  if (!table.ok()) return table.status();
  // The first is that of call_id.
  const auto on_index = [this](const char*) {
    has_call_index_ = true;
    MutexLock lock(mu_);
    changed_.NotifyAll();
  };
  BuildPgIndexes(session, *table, on_index, [this] { return IsEnding(); });
  return absl::OkStatus();
}

bool PgIndexes::IsEnding() {
  MutexLock lock(mu_);
  return IsEndingLocked();
}

bool PgIndexes::IsEndingLocked() const {
  return end_ && (has_call_index_ || std::chrono::steady_clock::now() >= *end_);
}

}  // namespace toolwire
