#include "cli/kubernetes.h"

#include <chrono>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/base/watched_file.h"

namespace toolwire {
namespace {

using nlohmann::json;

constexpr Duration kAnswerTime = std::chrono::seconds(30);

std::string Word(KubernetesApi::Kind kind) { return kind == KubernetesApi::Kind::kSecret ? "Secret" : "ConfigMap"; }

// A Secret's values are base64, a ConfigMap's are text.
json DataAsJson(KubernetesApi::Kind kind, const KubernetesApi::Data& data) {
  json out = json::object();
  for (const auto& [key, value] : data) {
    out[key] = kind == KubernetesApi::Kind::kSecret ? absl::Base64Escape(value) : value;
  }
  return out;
}

// What a refusal says for people: never the object, which it may quote.
std::string Reason(const HttpReply& reply) {
  const json said = json::parse(reply.body, nullptr, false);
  const std::string reason = said.is_object() && said.contains("reason") && said["reason"].is_string()
                                 ? said["reason"].get<std::string>()
                                 : std::string();
  return absl::StrCat("the API answers ", reply.status, reason.empty() ? "" : " ", reason);
}

absl::Status StatusOf(const HttpReply& reply, const std::string& what, const std::string& method) {
  const std::string message = absl::StrCat(what, ": ", Reason(reply));
  switch (reply.status) {
    case 404:
      return absl::NotFoundError(message);
    case 409:
      return absl::AlreadyExistsError(message);
    case 401:
    case 403:
      return absl::PermissionDeniedError(absl::StrCat(message, "; the pod's service account may not ",
                                                      method == "GET"    ? "get"
                                                      : method == "POST" ? "create"
                                                                         : "patch",
                                                      " it"));
    default:
      return absl::UnavailableError(message);
  }
}

}  // namespace

absl::StatusOr<KubernetesApi> KubernetesApi::OfThisPod(const std::string& service_account_dir) {
  const char* const host = std::getenv("KUBERNETES_SERVICE_HOST");
  const char* const port = std::getenv("KUBERNETES_SERVICE_PORT");
  if (host == nullptr || port == nullptr) {
    return absl::FailedPreconditionError(
        "this is no pod: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are missing");
  }
  const auto token = WatchedFile(service_account_dir + "/token").Read();
  if (!token.ok()) return absl::FailedPreconditionError(token.status().message());
  const auto name_space = WatchedFile(service_account_dir + "/namespace").Read();
  if (!name_space.ok()) return absl::FailedPreconditionError(name_space.status().message());
  KubernetesApi api;
  api.url_.tls = true;
  api.url_.host = host;
  api.url_.port = port;
  api.ca_file_ = service_account_dir + "/ca.crt";
  api.token_ = std::string(absl::StripAsciiWhitespace(*token));
  api.namespace_ = std::string(absl::StripAsciiWhitespace(*name_space));
  return api;
}

absl::StatusOr<std::string> KubernetesApi::Ask(Kind kind, const std::string& name, HttpRequest request) const {
  const bool is_new = request.method == "POST";
  request.path = absl::StrCat("/api/v1/namespaces/", namespace_, kind == Kind::kSecret ? "/secrets" : "/configmaps",
                              is_new ? "" : "/", is_new ? "" : name);
  absl::StrAppend(&request.headers, "Accept: application/json\r\nAuthorization: Bearer ", token_, "\r\n");
  request.trusted_only = true;
  const std::string what = absl::StrCat(Word(kind), " ", name);
  const auto reply = HttpAsk(url_, request, ca_file_, kAnswerTime);
  if (!reply.ok()) {
    return absl::UnavailableError(
        absl::StrCat(what, ": the Kubernetes API at ", url_.Address(), ": ", reply.status().message()));
  }
  if (reply->status / 100 != 2) return StatusOf(*reply, what, request.method);
  return reply->body;
}

absl::StatusOr<KubernetesApi::Data> KubernetesApi::Read(Kind kind, const std::string& name) const {
  const auto body = Ask(kind, name, {});
  if (!body.ok()) return body.status();
  const json object = json::parse(*body, nullptr, false);
  if (!object.is_object()) {
    return absl::UnavailableError(absl::StrCat(Word(kind), " ", name, ": the answer is no object"));
  }
  Data data;
  const auto found = object.find("data");
  if (found == object.end() || !found->is_object()) return data;
  for (const auto& [key, value] : found->items()) {
    std::string text = value.is_string() ? value.get<std::string>() : std::string();
    if (kind == Kind::kSecret && !absl::Base64Unescape(std::string(text), &text)) text.clear();
    data[key] = std::move(text);
  }
  return data;
}

absl::Status KubernetesApi::Create(Kind kind, const std::string& name, const Data& data) const {
  json object = {{"apiVersion", "v1"}, {"kind", Word(kind)}, {"metadata", {{"name", name}}}};
  object["data"] = DataAsJson(kind, data);
  if (kind == Kind::kSecret) object["type"] = "Opaque";
  HttpRequest request;
  request.method = "POST";
  request.headers = "Content-Type: application/json\r\n";
  request.body = object.dump();
  return Ask(kind, name, std::move(request)).status();
}

absl::Status KubernetesApi::Update(Kind kind, const std::string& name, const Data& data) const {
  HttpRequest request;
  request.method = "PATCH";
  request.headers = "Content-Type: application/merge-patch+json\r\n";
  request.body = json{{"data", DataAsJson(kind, data)}}.dump();
  return Ask(kind, name, std::move(request)).status();
}

}  // namespace toolwire
