// OpenSSL names an alert of the other side in words of the specification, which say what it refuses and not what to do.

#include "cli/control_target.h"

#include <string_view>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/base/flags.h"
#include "common/base/shown_text.h"
#include "control/jwt.h"
#include "control/tokens.h"

namespace toolwire {
namespace {

bool IsSocketPath(const std::string& address) {
  return absl::StartsWith(address, "unix:") || absl::StartsWith(address, "unix-abstract:");
}

std::string ExplainRefusal(const ControlTls& tls, const std::string& error) {
  const bool shown = !tls.certificate_file.empty();
  if (absl::StrContains(error, "no application protocol")) {
    return "it speaks TLS, but not with callers; name the callers' port of a control, not that of agents";
  }
  if (!shown && absl::StrContains(error, "certificate required")) {
    return "it asks for a client certificate; give --cert and --key";
  }
  if (!shown && absl::StrContains(error, "handshake failure")) {
    return "it refuses the handshake; if it asks for a client certificate, give --cert and --key";
  }
  if (shown && absl::StrContains(error, "unknown ca")) {
    return absl::StrCat("it does not know the CA of ", tls.certificate_file);
  }
  if (shown && absl::StrContains(error, "certificate")) {
    return absl::StrCat("it does not take the certificate in ", tls.certificate_file, ": ", error);
  }
  return error;
}

}  // namespace

bool ControlTls::on() const {
  const bool named = !ca_file.empty() || !certificate_file.empty() || !key_file.empty() || !server_name.empty();
  return wanted.value_or(named);
}

std::string AddressProblem(const std::string& address) {
  if (IsSocketPath(address)) return "";
  absl::string_view text = address;
  // A name server may be named, as in dns://8.8.8.8/control.example:50051.
  if (absl::ConsumePrefix(&text, "dns://")) {
    const size_t slash = text.find('/');
    if (slash == absl::string_view::npos) return "behind dns:// stands a name server, or none, then a slash and host:port";
    text.remove_prefix(slash + 1);
  } else if (!absl::ConsumePrefix(&text, "dns:") && (absl::ConsumePrefix(&text, "ipv4:") ||
                                                     absl::ConsumePrefix(&text, "ipv6:"))) {
    for (const absl::string_view one : absl::StrSplit(text, ',')) {
      const std::string problem = DialProblem({one.data(), one.size()});
      if (!problem.empty()) return problem;
    }
    return "";
  }
  const auto at = ParseHostPort({text.data(), text.size()});
  // A control on every address of this machine is there, too.
  if (at.ok() && at->port.value_or(0) > 0) return "";
  return DialProblem({text.data(), text.size()});
}

std::string TokenFileProblem(const std::string& path) {
  // It would be in the message that there is no such file.
  const bool is_token = IsTokenForm(path) || (absl::StartsWith(path, "eyJ") && IsJwtForm(path));
  return is_token ? "a token itself; give the path of its file, or TOOLWIRE_TOKEN" : "";
}

void AddControlTargetFlags(CLI::App* app, ControlTarget* target) {
  flags::Text(app, "--address", &target->address, "Control's host:port")
      .Env("TOOLWIRE_ADDRESS")
      .CheckShown(AddressProblem);
  AddControlAccessFlags(app, target);
}

void AddControlAccessFlags(CLI::App* app, ControlTarget* target) {
  flags::Text(app, "--token-file", &target->token_file,
              "File with the token that control asks for; default: the token in the environment's TOOLWIRE_TOKEN")
      .Env("TOOLWIRE_TOKEN_FILE")
      .Check(TokenFileProblem)
      .File();
  flags::Switch(app, "--plain-token", &target->plain_token,
                "The token may leave this machine without TLS, since a mesh or a tunnel encrypts the way")
      .Env("TOOLWIRE_PLAIN_TOKEN");
  ControlTls* const tls = &target->tls;
  flags::Switch(app, "--tls,!--no-tls", &tls->wanted,
                "TLS to control; the flags below imply it. --no-tls: none, whatever the environment says")
      .Env("TOOLWIRE_TLS");
  flags::Text(app, "--ca", &tls->ca_file, "With TLS: PEM file of the CAs to trust; default: the system's")
      .Env("TOOLWIRE_CA")
      .File();
  flags::Text(app, "--cert", &tls->certificate_file, "With TLS: PEM file of a certificate, if control asks for one")
      .Env("TOOLWIRE_CERT")
      .File();
  flags::Text(app, "--key", &tls->key_file, "PEM file of its key").Env("TOOLWIRE_KEY").File();
  flags::Text(app, "--tls-server-name", &tls->server_name,
              "With TLS: the name in control's certificate, if it is not the host of --address")
      .Env("TOOLWIRE_TLS_SERVER_NAME");
}

absl::StatusOr<HostPort> HostPortOf(const ControlTarget& target) {
  std::string_view address = target.address;
  for (const std::string_view scheme : {"dns:///", "dns:", "ipv4:", "ipv6:"}) {
    if (address.substr(0, scheme.size()) != scheme) continue;
    address.remove_prefix(scheme.size());
    break;
  }
  auto parsed = ParseHostPort(address);
  const bool has_path = parsed.ok() && absl::StrContains(parsed->host, "/");
  if (!parsed.ok() || IsSocketPath(target.address) || has_path) {
    return absl::InvalidArgumentError(absl::StrCat("--address=", ShownValue(target.address), ": no host:port",
                                                   parsed.ok() ? "" : absl::StrCat(": ", parsed.status().message())));
  }
  return parsed;
}

absl::StatusOr<std::string> ServerNameOf(const ControlTarget& target) {
  if (!target.tls.server_name.empty()) return target.tls.server_name;
  const auto at = HostPortOf(target);
  if (at.ok()) return at->host;
  return absl::InvalidArgumentError(
      absl::StrCat(at.status().message(), "; say with --tls-server-name what control's certificate must name"));
}

absl::Status CheckTokenMayLeave(const ControlTarget& target) {
  if (target.tls.on() || target.plain_token || IsSocketPath(target.address)) return absl::OkStatus();
  const auto at = HostPortOf(target);
  if (at.ok() && IsLoopback(at->host)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("the token is not sent to ", target.address,
                   " without TLS: give --tls or --ca, or --plain-token if a mesh or a tunnel encrypts the way there"));
}

std::string ExplainTlsFailure(const ControlTls& tls, TlsFailure failure, const std::string& error) {
  switch (failure) {
    case TlsFailure::kNotTls:
      return "what listens there does not speak TLS; leave out --tls and --ca, or give --no-tls";
    case TlsFailure::kEnded:
      return absl::StrCat("no TLS: ", error);
    case TlsFailure::kPeerRefuses:
      return ExplainRefusal(tls, error);
    case TlsFailure::kPeerCertificate:
      if (absl::StrContains(error, " does not name ")) {
        return absl::StrCat(error, "; if it is the right one, give a name that it has with --tls-server-name");
      }
      return error;
    case TlsFailure::kNone:
    case TlsFailure::kProtocol:
    case TlsFailure::kTooMuch:
      break;
  }
  return error;
}

}  // namespace toolwire
