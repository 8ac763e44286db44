// The two ways to the store have one interface: RemoteAdmin asks AgentAdmin of a control, page by page, and DirectAdmin
// calls the store in this process. Flags decide which; without any, the environment; without that, the control at the
// default address.

#include "cli/admin_client.h"

#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cli/control_channel.h"
#include "common/base/clock.h"
#include "common/base/flags.h"
#include "common/store/open_store.h"
#include "common/store/secret.h"
#include "toolwire/v1/admin.grpc.pb.h"

namespace toolwire {
using flags::Text;
namespace {

constexpr int kPageMax = 1000;                       // Of AgentAdmin.
constexpr int kRowsAtOnce = 50;                      // Audit rows that a statement reads: 140 MB at the most.
constexpr std::chrono::seconds kAdminAnswerMax(30);  // Longer than control waits for its store.
constexpr int kNotReached = 3;
constexpr int kNoAnswer = 4;

int64_t ToMs(const google::protobuf::Timestamp& time) { return time.seconds() * 1000 + time.nanos() / 1000000; }

google::protobuf::Timestamp ToTimestamp(int64_t unix_ms) {
  google::protobuf::Timestamp time;
  time.set_seconds(unix_ms / 1000);
  time.set_nanos(static_cast<int32_t>(unix_ms % 1000 * 1000000));
  return time;
}

AgentStatus StatusOf(const std::string& word) {
  for (AgentStatus status : {AgentStatus::kConnected, AgentStatus::kDisconnected}) {
    if (word == StatusWord(status)) return status;
  }
  return AgentStatus::kPending;
}

class RemoteAdmin final : public AdminClient {
 public:
  explicit RemoteAdmin(const std::shared_ptr<grpc::Channel>& channel) : stub_(v1::AgentAdmin::NewStub(channel)) {}

  bool closes_sessions() const override { return true; }

  absl::Status Create(const std::vector<std::string>& users, const std::string& platform,
                      const OnSecret& on_secret) override {
    for (const std::string& user : users) {
      v1::CreateCredentialRequest request;
      request.set_user_id(user);
      request.set_platform(platform);
      v1::CredentialSecret made;
      const absl::Status status = Ask(&v1::AgentAdmin::Stub::CreateCredential, request, &made);
      if (!status.ok()) return status;
      if (!on_secret(user, made.secret())) break;
    }
    return absl::OkStatus();
  }

  absl::StatusOr<NewSecret> PrepareRotation(const std::string& user, bool keep_session) override {
    v1::RotateCredentialRequest request;
    request.set_user_id(user);
    request.set_keep_session(keep_session);
    request.set_prepare(true);
    v1::CredentialSecret made;
    const absl::Status status = Ask(&v1::AgentAdmin::Stub::RotateCredential, request, &made);
    if (!status.ok()) return status;
    return NewSecret{made.secret(), !made.prepared(), ReachOf(made)};
  }

  absl::StatusOr<Reach> Rotate(const std::string& user, const std::string& secret, bool keep_session) override {
    v1::RotateCredentialRequest request;
    request.set_user_id(user);
    request.set_keep_session(keep_session);
    request.set_secret(secret);
    v1::CredentialSecret done;
    const absl::Status status = Ask(&v1::AgentAdmin::Stub::RotateCredential, request, &done);
    if (!status.ok()) return status;
    return ReachOf(done);
  }

  absl::StatusOr<Revoked> Revoke(const std::string& user) override {
    v1::RevokeCredentialRequest request;
    request.set_user_id(user);
    v1::RevokeCredentialResponse done;
    const absl::Status status = Ask(&v1::AgentAdmin::Stub::RevokeCredential, request, &done);
    if (!status.ok()) return status;
    return Revoked{done.session_closed(), ReachOf(done)};
  }

  absl::StatusOr<std::vector<Credential>> ListCredentials(const std::string& after, int limit) override {
    v1::ListCredentialsRequest request;
    request.set_page_size(std::min(limit, kPageMax));
    request.set_page_token(after);
    v1::ListCredentialsResponse page;
    const absl::Status status = Ask(&v1::AgentAdmin::Stub::ListCredentials, request, &page);
    if (!status.ok()) return status;
    std::vector<Credential> listed;
    for (const v1::Credential& one : page.credentials()) {
      listed.push_back(
          {one.user_id(), one.platform(), StatusOf(one.status()), ToMs(one.created_at()), std::nullopt, one.revoked()});
      if (one.has_last_seen()) listed.back().last_seen_ms = ToMs(one.last_seen());
    }
    return listed;
  }

  absl::StatusOr<std::vector<AuditRow>> ListAudit(const AuditQuery& query) override {
    v1::ListExecutionsRequest request;
    request.set_user_id(query.user_id);
    if (query.from_ms) *request.mutable_from() = ToTimestamp(*query.from_ms);
    if (query.until_ms) *request.mutable_until() = ToTimestamp(*query.until_ms);
    std::vector<AuditRow> listed;
    while (true) {
      request.set_page_size(std::min(query.limit - static_cast<int>(listed.size()), kPageMax));
      v1::ListExecutionsResponse page;
      const absl::Status status = Ask(&v1::AgentAdmin::Stub::ListExecutions, request, &page);
      if (!status.ok()) return status;
      for (v1::Execution& one : *page.mutable_executions()) listed.push_back(ToRow(std::move(one)));
      if (page.next_page_token().empty() || static_cast<int>(listed.size()) >= query.limit) return listed;
      request.set_page_token(page.next_page_token());
    }
  }

 private:
  template <typename Request, typename Response>
  absl::Status Ask(grpc::Status (v1::AgentAdmin::Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                   const Request& request, Response* response) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kAdminAnswerMax);
    return ToStatus((*stub_.*method)(&context, request, response));
  }

  template <typename Response>
  static Reach ReachOf(const Response& response) {
    return {response.everywhere(), {response.edges_not_heard().begin(), response.edges_not_heard().end()}};
  }

  static AuditRow ToRow(v1::Execution&& one) {
    AuditRow row;
    row.user_id = std::move(*one.mutable_user_id());
    row.request_id = std::move(*one.mutable_request_id());
    row.tool = std::move(*one.mutable_tool());
    row.params_json = std::move(*one.mutable_params_json());
    row.result_json = std::move(*one.mutable_result_json());
    row.success = one.success();
    row.error = std::move(*one.mutable_error());
    if (one.has_execution_time_ms()) row.execution_time_ms = one.execution_time_ms();
    row.created_at_ms = ToMs(one.created_at());
    row.caller = std::move(*one.mutable_caller());
    return row;
  }

  const std::unique_ptr<v1::AgentAdmin::Stub> stub_;
};

class DirectAdmin final : public AdminClient {
 public:
  explicit DirectAdmin(std::unique_ptr<Store> store) : store_(std::move(store)) {}

  bool closes_sessions() const override { return false; }

  absl::Status Create(const std::vector<std::string>& users, const std::string& platform,
                      const OnSecret& on_secret) override {
    std::vector<Store::NewCredential> credentials;
    std::vector<std::string> made;
    const int64_t now_ms = SystemClock().WallMs();
    for (const std::string& user : users) {
      made.push_back(MakeSecret());
      credentials.push_back({user, platform, HashSecret(made.back()), now_ms});
    }
    absl::Status status = store_->CreateCredentials(credentials);
    // All are there now, or none.
    for (size_t i = 0; status.ok() && i < users.size(); ++i) on_secret(users[i], made[i]);
    return status;
  }

  absl::StatusOr<NewSecret> PrepareRotation(const std::string& user, bool) override {
    const absl::StatusOr<bool> has = store_->HasCredential(user);
    if (!has.ok()) return has.status();
    if (!*has) return NoCredentialError(user);
    return NewSecret{MakeSecret(), false, {}};
  }

  absl::StatusOr<Reach> Rotate(const std::string& user, const std::string& secret, bool) override {
    const absl::Status status = store_->ReplaceSecret(user, HashSecret(secret));
    if (!status.ok()) return status;
    return Reach();
  }

  absl::StatusOr<Revoked> Revoke(const std::string& user) override {
    const absl::Status status = store_->Revoke(user);
    if (!status.ok()) return status;
    return Revoked();
  }

  absl::StatusOr<std::vector<Credential>> ListCredentials(const std::string& after, int limit) override {
    return store_->ListCredentials(after, limit);
  }

  absl::StatusOr<std::vector<AuditRow>> ListAudit(const AuditQuery& query) override {
    // In pieces, so that no statement takes too long.
    std::vector<AuditRow> listed;
    AuditQuery next = query;
    while (true) {
      next.limit = std::min(query.limit - static_cast<int>(listed.size()), kRowsAtOnce);
      auto rows = store_->ListAudit(next);
      if (!rows.ok()) return rows.status();
      const bool is_last = static_cast<int>(rows->size()) < next.limit;
      if (!rows->empty()) next.after = rows->back().cursor;
      listed.insert(listed.end(), std::make_move_iterator(rows->begin()), std::make_move_iterator(rows->end()));
      if (is_last || static_cast<int>(listed.size()) >= query.limit) return listed;
    }
  }

 private:
  const std::unique_ptr<Store> store_;
};

absl::StatusOr<std::unique_ptr<AdminClient>> OpenRemote(const ControlTarget& target) {
  const auto channel = ConnectToControl(target);
  if (absl::IsUnavailable(channel.status())) {
    return absl::UnavailableError(
        absl::StrCat(channel.status().message(), ", or open the store directly with --database-url or --data-dir"));
  }
  if (!channel.ok()) return channel.status();
  return std::unique_ptr<AdminClient>(std::make_unique<RemoteAdmin>(*channel));
}

absl::StatusOr<std::unique_ptr<AdminClient>> OpenDirect(const std::string& database_url, const std::string& data_dir,
                                                        bool makes_store) {
  StoreOptions options;
  if (const std::string problem = database_url.empty() ? "" : DatabaseUrlProblem(database_url); !problem.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("--database-url: ", problem));
  }
  options.database.url = database_url;
  if (!data_dir.empty()) options.data_dir = data_dir;
  if (database_url.empty() && !makes_store && access(options.data_dir.c_str(), F_OK) != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("--data-dir: there is no directory ", options.data_dir, "; name that of the servers"));
  }
  auto store = OpenStore(options);
  if (!store.ok()) return store.status();
  return std::unique_ptr<AdminClient>(std::make_unique<DirectAdmin>(*std::move(store)));
}

}  // namespace

// Not by CLI11's envname: a flag that is given must win over any variable.
void AddAdminFlags(CLI::App* app, AdminFlags* flags) {
  Text(app, "--address", &flags->control.address,
       "Ask the control at host:port (Env:TOOLWIRE_ADDRESS); default: " + std::string(kDefaultControlAddress))
      .CheckShown(AddressProblem);
  AddControlAccessFlags(app, &flags->control);
  Text(app, "--database-url", &flags->database_url, "Open this PostgreSQL store directly (Env:DATABASE_URL)")
      .MayHavePassword("DATABASE_URL")
      .Check(DatabaseUrlProblem);
  Text(app, "--data-dir", &flags->data_dir, "Open the SQLite store in this directory directly (Env:TOOLWIRE_DATA_DIR)");
}

absl::StatusOr<std::unique_ptr<AdminClient>> OpenAdmin(const AdminFlags& flags) {
  const bool names_store = !flags.database_url.empty() || !flags.data_dir.empty();
  ControlTarget control = flags.control;
  if (!control.address.empty() && names_store) {
    return absl::FailedPreconditionError(
        "--address asks a control, --database-url and --data-dir open the store directly: give one or the other");
  }
  if (!control.address.empty()) return OpenRemote(control);
  if (names_store) return OpenDirect(flags.database_url, flags.data_dir, flags.makes_store);
  control.address = flags::Variable("TOOLWIRE_ADDRESS", "--address");
  if (!control.address.empty()) return OpenRemote(control);
  const std::string database_url = flags::Variable("DATABASE_URL", "--database-url"),
                    data_dir = flags::Variable("TOOLWIRE_DATA_DIR", "--data-dir");
  if (!database_url.empty() || !data_dir.empty()) return OpenDirect(database_url, data_dir, flags.makes_store);
  control.address = kDefaultControlAddress;
  return OpenRemote(control);
}

int FailOpening(const std::string& command, const absl::Status& status) {
  const int failed = FailAdmin(command, status);
  return absl::IsInvalidArgument(status) ? kWrongUsage : failed;
}

int FailAdmin(const std::string& command, const absl::Status& status) {
  const int failed = FailCommand(command, std::string(status.message()));
  return absl::IsUnavailable(status) ? kNotReached : absl::IsDeadlineExceeded(status) ? kNoAnswer : failed;
}

}  // namespace toolwire
