// Requests are checked on gRPC's threads and end at once if they are wrong; the rest runs on one of two small thread
// pools, for changes and for listings, since the store blocks. What revokes a secret first asks the registry for the
// session's epoch, changes the store, and then has the dispatcher end sessions at every edge; such a request ends when
// all edges have confirmed it, or after 2 s, and holds no thread meanwhile. A page of the audit log is read in several
// parts, so that neither a part nor the page grows with the size of its rows.
#include "control/admin_service.h"

#include <algorithm>
#include <asio/post.hpp>
#include <asio/thread_pool.hpp>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/log.h"
#include "common/store/secret.h"
#include "common/wire/names.h"
#include "control/caller_check.h"

namespace toolwire {
namespace {

using google::protobuf::Timestamp;
using grpc::Status;
using grpc::StatusCode;

constexpr int kCredentialsDefault = 100;
constexpr int kExecutionsDefault = 50;
constexpr int kPageMax = 1000;
constexpr size_t kPageBytesMax = 3u << 20;  // gRPC clients take messages of 4 MiB by default.
// Rows asked of the store at once, and of the first ones, which tell how large rows are: with the usual limit on JSON
// in a row, 20 MB and 3 MB at the most.
constexpr int kRowsAtOnce = 50;
constexpr int kFirstRows = 8;

Status Invalid(const std::string& sentence) { return Status(StatusCode::INVALID_ARGUMENT, sentence); }
Status NoCredential() {
  return Status(StatusCode::NOT_FOUND, "the user has no credential, or it was revoked: create one");
}

// As MakeSecret makes them.
bool IsSecret(const std::string& text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

Status ToStatus(const absl::Status& status) {
  const std::string message(status.message());
  if (absl::IsUnavailable(status)) {
    return Status(StatusCode::UNAVAILABLE, "the store is unavailable, try again: " + message);
  }
  return Status(static_cast<StatusCode>(status.code()), message);
}

// Of whoever asks; empty: control asks for no tokens.
std::string CallerName(const std::shared_ptr<Caller>& from) { return from == nullptr ? "" : from->name; }

// The user of a new credential.
Status CheckNewUser(const std::string& user_id) {
  const char* const problem = CheckUserId(user_id);
  return problem == nullptr ? Status::OK : Invalid(absl::StrCat("user_id ", problem));
}

// The user of a credential or a row that may be older than the rule of CheckUserId: it must be possible to revoke it.
Status CheckUser(const std::string& user_id) {
  if (user_id.empty()) return Invalid("user_id must not be empty");
  if (user_id.size() > kNameBytesMax) return Invalid("user_id must not be longer than 256 bytes");
  if (user_id.find('\0') != std::string::npos) return Invalid("user_id must not contain the character NUL");
  return Status::OK;
}

// What is asked for, within the bounds that the proto gives.
Status CheckPageSize(int asked, int default_size, int* size) {
  if (asked < 0) return Invalid("page_size must not be negative");
  *size = asked == 0 ? default_size : std::min(asked, kPageMax);
  return Status::OK;
}

// The first millisecond that is not before this time, so that both bounds of a range mean what they say of rows that
// have milliseconds.
Status CheckTime(const char* field, const Timestamp& time, int64_t* unix_ms) {
  constexpr int64_t kFirst = -62135596800, kLast = 253402300799;  // The years 1 to 9999, as Timestamp has it.
  if (time.seconds() < kFirst || time.seconds() > kLast || time.nanos() < 0 || time.nanos() > 999999999) {
    return Invalid(absl::StrCat(field, " is not a time from the year 1 to 9999"));
  }
  *unix_ms = time.seconds() * 1000 + (time.nanos() + 999999) / 1000000;
  return Status::OK;
}

void SetTime(int64_t unix_ms, Timestamp* time) {
  const int64_t seconds = unix_ms / 1000 - (unix_ms % 1000 < 0 ? 1 : 0);
  time->set_seconds(seconds);
  time->set_nanos(static_cast<int32_t>((unix_ms - seconds * 1000) * 1000000));
}

void SetCredential(const Credential& from, v1::Credential* to) {
  to->set_user_id(from.user_id);
  to->set_platform(from.platform);
  to->set_status(StatusWord(from.status));
  SetTime(from.created_at_ms, to->mutable_created_at());
  if (from.last_seen_ms) SetTime(*from.last_seen_ms, to->mutable_last_seen());
  to->set_revoked(from.revoked);
}

v1::Execution ToExecution(ListedAuditRow&& row) {
  v1::Execution execution;
  execution.set_user_id(std::move(row.user_id));
  execution.set_request_id(std::move(row.request_id));
  execution.set_tool(std::move(row.tool));
  execution.set_params_json(std::move(row.params_json));
  execution.set_result_json(std::move(row.result_json));
  execution.set_success(row.success);
  execution.set_error(std::move(row.error));
  if (row.execution_time_ms) execution.set_execution_time_ms(*row.execution_time_ms);
  SetTime(row.created_at_ms, execution.mutable_created_at());
  execution.set_caller(std::move(row.caller));
  return execution;
}

Status CheckQuery(const v1::ListExecutionsRequest& request, AuditQuery* query) {
  if (!request.user_id().empty()) {
    if (Status status = CheckUser(request.user_id()); !status.ok()) return status;
  }
  query->user_id = request.user_id();
  if (request.has_from()) {
    if (Status status = CheckTime("from", request.from(), &query->from_ms.emplace()); !status.ok()) return status;
  }
  if (request.has_until()) {
    if (Status status = CheckTime("until", request.until(), &query->until_ms.emplace()); !status.ok()) return status;
  }
  if (query->from_ms && query->until_ms && *query->from_ms > *query->until_ms) {
    return Invalid("from must not be later than until");
  }
  query->after = request.page_token();
  if (!query->after.empty() && !ReadAuditCursor(query->after).ok()) {
    return Invalid("page_token is not one that ListExecutions gave");
  }
  return CheckPageSize(request.page_size(), kExecutionsDefault, &query->limit);
}

template <typename Response>
void SetReach(RevocationAcks::Reach reach, Response* response) {
  response->set_everywhere(reach.everywhere);
  for (std::string& edge_id : reach.not_heard) response->add_edges_not_heard(std::move(edge_id));
}

// One page: as many rows as were asked for, or as fill its bytes, and at least one. The bytes of the first few rows
// tell how many more are read: what does not fit would be read again for the next page.
// Ends soon once the caller is gone.
Status ReadPage(Store& store, const AuditQuery& query, const IsGone& is_gone,
                v1::ListExecutionsResponse* page) {
  AuditQuery next = query;
  size_t bytes = 0;
  int at_once = kFirstRows;
  std::string last;
  while (true) {
    if (is_gone()) return Status(StatusCode::CANCELLED, "the caller has cancelled");
    next.limit = std::min(query.limit - page->executions_size() + 1, at_once);  // One more: is there a next page?
    auto rows = store.ListAudit(next, is_gone);
    if (absl::IsInvalidArgument(rows.status())) return Invalid("page_token is not one that ListExecutions gave");
    if (!rows.ok()) return ToStatus(rows.status());
    for (ListedAuditRow& row : *rows) {
      std::string cursor = std::move(row.cursor);
      v1::Execution execution = ToExecution(std::move(row));
      bytes += execution.ByteSizeLong();
      if (page->executions_size() == query.limit || (bytes > kPageBytesMax && page->executions_size() > 0)) {
        page->set_next_page_token(last);
        return Status::OK;
      }
      *page->add_executions() = std::move(execution);
      last = std::move(cursor);
    }
    if (static_cast<int>(rows->size()) < next.limit) return Status::OK;
    next.after = last;
    const size_t row_bytes = std::max<size_t>(bytes / page->executions_size(), 1);
    const size_t room = kPageBytesMax - std::min(bytes, kPageBytesMax);
    at_once = static_cast<int>(std::min<size_t>(1 + room / row_bytes, kRowsAtOnce));
  }
}

}  // namespace

AdminService::AdminService(const Clock& clock, CallerAuth& auth, CallerBudgets& budgets, Store& store,
                           Registry& registry, AgentDirectory& directory, Dispatcher& dispatcher)
    : clock_(clock),
      auth_(auth),
      budgets_(budgets),
      store_(store),
      registry_(registry),
      directory_(directory),
      dispatcher_(dispatcher) {}

AdminService::~AdminService() { Stop(); }

void AdminService::Stop() {
  std::vector<asio::thread_pool*> pools;
  {
    MutexLock lock(mu_);
    stopping_ = true;
    pools = {change_threads_.get(), listing_threads_.get()};
  }
  for (asio::thread_pool* pool : pools) {
    if (pool != nullptr) pool->join();
  }
  dispatcher_.EndWaiting();
}

void AdminService::Handle(Kind kind, Asked asked, const Status& bad, std::function<Outcome()> work) {
  if (!bad.ok()) return asked.answer->Finish(bad);
  Run(kind, asked, std::move(work));
}

void AdminService::Run(Kind kind, Asked asked, std::function<Outcome()> work) {
  const Status is_stopping(StatusCode::UNAVAILABLE, "control is stopping, ask another one; nothing was changed");
  MutexLock lock(mu_);
  if (stopping_) {
    lock.Unlock();
    return asked.answer->Finish(is_stopping);
  }
  std::unique_ptr<asio::thread_pool>& threads = kind == Kind::kChange ? change_threads_ : listing_threads_;
  if (threads == nullptr) threads = std::make_unique<asio::thread_pool>(kThreads);
  asio::post(*threads, [this, asked, is_stopping, work = std::move(work)] {
    // It may have waited for the store for long.
    const auto refused = auth_.CheckGood(asked.from.get());
    Outcome outcome = stopping_                      ? is_stopping
                      : asked.context->IsCancelled() ? Status(StatusCode::CANCELLED, "the caller has cancelled")
                      : refused                      ? ToStatus(*refused)
                                                     : work();
    if (!outcome) return;
    // A list that ends early does not know why.
    const bool ended_by_stop = outcome->error_code() == StatusCode::CANCELLED && !asked.context->IsCancelled();
    asked.answer->Finish(ended_by_stop ? is_stopping : *outcome);
  });
}

IsGone AdminService::IsGoneOf(Asked asked) const {
  return [this, asked] { return stopping_ || asked.context->IsCancelled(); };
}

Status AdminService::CheckMay(const Asked& asked, const std::string& user_id) {
  const auto refused = auth_.CheckUser(asked.from.get(), user_id);
  return refused ? ToStatus(*refused) : Status::OK;
}

void AdminService::HandleKnowingEpoch(Asked asked, const std::string& user_id,
                                      std::function<Outcome(uint64_t epoch)> work) {
  Status bad = CheckUser(user_id);
  if (bad.ok()) bad = CheckMay(asked, user_id);
  if (!bad.ok()) return asked.answer->Finish(bad);
  registry_.Lookup(user_id, [this, asked, work = std::move(work)](auto lease) {
    // Without the registry the epoch stays unknown, which is no reason to leave a secret good.
    const uint64_t epoch = lease.ok() && *lease ? (*lease)->epoch : 0;
    Run(Kind::kChange, asked, [work, epoch] { return work(epoch); });
  });
}

// --- the methods -----------------------------------------------------------------------------------------------------

template <typename Request, typename Response>
grpc::ServerUnaryReactor* AdminService::Ask(Scope scope, grpc::CallbackServerContext* context,
                                            const grpc::ByteBuffer* request, grpc::ByteBuffer* response,
                                            void (AdminService::*method)(Asked, const Request*, Response*)) {
  const std::string peer = context->peer();
  const CallerAuth::Admission admitted = AdmitCaller(auth_, *context, peer, scope);
  if (admitted.refused) return new RefusedRpc<grpc::ServerUnaryReactor>(*admitted.refused);
  CallerBudgets::Place place;
  const auto full = budgets_.Take(CallerBudgets::kOperators, BudgetOf(peer, admitted.caller.get()), &place);
  if (full) return new RefusedRpc<grpc::ServerUnaryReactor>(*full);
  return RawUnary<Request, Response>::Start(*request, response, std::move(place),
                                            [&](UnaryAnswer* answer, Request* in, Response* out) {
                                              (this->*method)({context, answer, admitted.caller}, in, out);
                                            });
}

grpc::ServerUnaryReactor* AdminService::CreateCredential(grpc::CallbackServerContext* context,
                                                         const grpc::ByteBuffer* request, grpc::ByteBuffer* response) {
  return Ask(Scope::kAdmin, context, request, response, &AdminService::Create);
}

grpc::ServerUnaryReactor* AdminService::RotateCredential(grpc::CallbackServerContext* context,
                                                         const grpc::ByteBuffer* request, grpc::ByteBuffer* response) {
  return Ask(Scope::kAdmin, context, request, response, &AdminService::Rotate);
}

grpc::ServerUnaryReactor* AdminService::RevokeCredential(grpc::CallbackServerContext* context,
                                                         const grpc::ByteBuffer* request, grpc::ByteBuffer* response) {
  return Ask(Scope::kAdmin, context, request, response, &AdminService::Revoke);
}

grpc::ServerUnaryReactor* AdminService::ListCredentials(grpc::CallbackServerContext* context,
                                                        const grpc::ByteBuffer* request, grpc::ByteBuffer* response) {
  return Ask(Scope::kAdmin, context, request, response, &AdminService::List);
}

grpc::ServerUnaryReactor* AdminService::DisconnectAgent(grpc::CallbackServerContext* context,
                                                        const grpc::ByteBuffer* request, grpc::ByteBuffer* response) {
  return Ask(Scope::kAdmin, context, request, response, &AdminService::Disconnect);
}

grpc::ServerUnaryReactor* AdminService::ListExecutions(grpc::CallbackServerContext* context,
                                                       const grpc::ByteBuffer* request, grpc::ByteBuffer* response) {
  return Ask(Scope::kRead, context, request, response, &AdminService::ListRows);
}

void AdminService::Create(Asked asked, const v1::CreateCredentialRequest* request, v1::CredentialSecret* response) {
  const std::string platform = request->platform().empty() ? "linux" : request->platform();
  Status bad = CheckNewUser(request->user_id());
  if (bad.ok()) bad = CheckMay(asked, request->user_id());
  if (bad.ok() && platform != "win32" && platform != "linux" && platform != "darwin") {
    bad = Invalid("platform must be win32, linux or darwin");
  }
  Handle(Kind::kChange, asked, bad, [this, asked, user_id = request->user_id(), platform, response] {
    const std::string secret = MakeSecret();
    const absl::Status status = store_.CreateCredentials({{user_id, platform, HashSecret(secret), clock_.WallMs()}});
    if (absl::IsAlreadyExists(status)) {
      return Status(StatusCode::ALREADY_EXISTS,
                    "the user has a credential already: rotate it for a new secret, or revoke it first");
    }
    if (!status.ok()) return ToStatus(status);
    log::Info("credential created", {{"user", user_id}, {"caller", CallerName(asked.from)}});
    response->set_user_id(user_id);
    response->set_secret(secret);
    return Status::OK;
  });
}

void AdminService::PrepareRotation(Asked asked, const v1::RotateCredentialRequest* request,
                                   v1::CredentialSecret* response) {
  Status bad = CheckUser(request->user_id());
  if (bad.ok()) bad = CheckMay(asked, request->user_id());
  if (bad.ok() && !request->secret().empty()) bad = Invalid("prepare and secret exclude each other");
  Handle(Kind::kChange, asked, bad, [this, request, response]() -> Outcome {
    const absl::StatusOr<bool> has = store_.HasCredential(request->user_id());
    if (!has.ok()) return ToStatus(has.status());
    if (!*has) return NoCredential();
    response->set_user_id(request->user_id());
    response->set_secret(MakeSecret());
    response->set_prepared(true);
    return Status::OK;
  });
}

void AdminService::Rotate(Asked asked, const v1::RotateCredentialRequest* request, v1::CredentialSecret* response) {
  if (request->prepare()) return PrepareRotation(asked, request, response);
  if (!request->secret().empty() && !IsSecret(request->secret())) {
    return asked.answer->Finish(Invalid("secret must be one that was prepared: 64 hex digits in lower case"));
  }
  HandleKnowingEpoch(asked, request->user_id(), [this, asked, request, response](uint64_t epoch) -> Outcome {
    const std::string& user_id = request->user_id();
    const std::string secret = request->secret().empty() ? MakeSecret() : request->secret();
    const absl::Status status = store_.ReplaceSecret(user_id, HashSecret(secret));
    if (absl::IsNotFound(status)) return NoCredential();
    if (!status.ok()) return ToStatus(status);
    response->set_user_id(user_id);
    response->set_secret(secret);
    if (request->keep_session()) {
      dispatcher_.KeepSession(user_id, DigestOfSecret(secret));
      log::Info("credential rotated", {{"user", user_id}, {"keepSession", true}, {"caller", CallerName(asked.from)}});
      return Status::OK;
    }
    // Before anybody has the new secret, so that what ends was opened with the old one.
    dispatcher_.EndRevoked(user_id, epoch, [this, asked, response](RevocationAcks::Reach reach) {
      SetReach(std::move(reach), response);
      log::Info(
          "credential rotated",
          {{"user", response->user_id()}, {"everywhere", response->everywhere()}, {"caller", CallerName(asked.from)}});
      asked.answer->Finish(Status::OK);
    });
    return std::nullopt;
  });
}

void AdminService::Revoke(Asked asked, const v1::RevokeCredentialRequest* request,
                          v1::RevokeCredentialResponse* response) {
  HandleKnowingEpoch(asked, request->user_id(), [this, asked, request, response](uint64_t epoch) -> Outcome {
    const std::string& user_id = request->user_id();
    const absl::Status status = store_.Revoke(user_id);
    if (absl::IsNotFound(status)) return Status(StatusCode::NOT_FOUND, "the user has no credential");
    if (!status.ok()) return ToStatus(status);
    dispatcher_.EndRevoked(user_id, epoch, [this, asked, request, response](RevocationAcks::Reach reach) {
      response->set_session_closed(reach.session_closed);
      SetReach(std::move(reach), response);
      log::Info("credential revoked", {{"user", request->user_id()},
                                       {"sessionClosed", response->session_closed()},
                                       {"everywhere", response->everywhere()},
                                       {"caller", CallerName(asked.from)}});
      asked.answer->Finish(Status::OK);
    });
    return std::nullopt;
  });
}

void AdminService::List(Asked asked, const v1::ListCredentialsRequest* request, v1::ListCredentialsResponse* response) {
  int size = 0;
  Status bad = CheckPageSize(request->page_size(), kCredentialsDefault, &size);
  // The token is the last user id of the page before, so that credentials may come between pages.
  if (bad.ok() && request->page_token().find('\0') != std::string::npos) {
    bad = Invalid("page_token is not one that ListCredentials gave");
  }
  if (bad.ok() && asked.from != nullptr && asked.from->users.kind != UserBound::Kind::kAll) {
    bad = Status(StatusCode::PERMISSION_DENIED, "the token is bound to users, and this lists the credentials of all");
  }
  Handle(Kind::kListing, asked, bad, [this, asked, request, response, size] {
    const auto listed = store_.ListCredentials(request->page_token(), size + 1, IsGoneOf(asked));
    if (!listed.ok()) return ToStatus(listed.status());
    for (const Credential& one : *listed) {
      if (response->credentials_size() == size) {
        response->set_next_page_token(response->credentials(size - 1).user_id());
        break;
      }
      SetCredential(one, response->add_credentials());
    }
    return Status::OK;
  });
}

void AdminService::Disconnect(Asked asked, const v1::DisconnectAgentRequest* request,
                              v1::DisconnectAgentResponse* response) {
  Status bad = CheckUser(request->user_id());
  if (bad.ok()) bad = CheckMay(asked, request->user_id());
  if (!bad.ok()) return asked.answer->Finish(bad);
  const auto end = [this, request, response, caller = CallerName(asked.from)](const Lease& session) {
    if (!dispatcher_.EndSession(request->user_id(), session)) return false;
    log::Info("agent disconnected by an operator",
              {{"user", request->user_id()}, {"edge", session.edge_id}, {"caller", caller}});
    response->set_server_id(session.edge_id);
    return true;
  };
  const std::optional<Presence> known = directory_.Find(request->user_id());
  if (known && end({known->edge_id, known->epoch})) return asked.answer->Finish(Status::OK);
  // A control that has just started, or is not linked to that edge, knows less than the registry.
  registry_.Lookup(request->user_id(), [this, asked, end](auto lease) {
    if (const auto refused = auth_.CheckGood(asked.from.get())) return asked.answer->Finish(ToStatus(*refused));
    if (!lease.ok()) {
      return asked.answer->Finish(
          Status(StatusCode::UNAVAILABLE,
                 absl::StrCat("the registry is unavailable, try again: ", std::string(lease.status().message()))));
    }
    // The registry of a control without Redis knows no epochs: what such a control has not heard of is not connected.
    if (!*lease || (*lease)->epoch == 0) {
      return asked.answer->Finish(Status(StatusCode::NOT_FOUND, "no agent of this user is connected"));
    }
    if (end(**lease)) return asked.answer->Finish(Status::OK);
    asked.answer->Finish(
        Status(StatusCode::UNAVAILABLE, absl::StrCat("the agent is at ", (*lease)->edge_id,
                                                     ", which this control has no link to: try again, or "
                                                     "ask another control")));
  });
}

void AdminService::ListRows(Asked asked, const v1::ListExecutionsRequest* request,
                            v1::ListExecutionsResponse* response) {
  AuditQuery query;
  Status bad = CheckQuery(*request, &query);
  if (bad.ok() && !query.user_id.empty()) bad = CheckMay(asked, query.user_id);
  if (asked.from != nullptr && query.user_id.empty()) {
    const UserBound& bound = asked.from->users;
    (bound.kind == UserBound::Kind::kOne ? query.user_id : query.user_prefix) = bound.text;
  }
  Handle(Kind::kListing, asked, bad, [this, asked, query, response] {
    return ReadPage(store_, query, IsGoneOf(asked), response);
  });
}

}  // namespace toolwire
