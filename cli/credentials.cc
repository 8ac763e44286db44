// `toolwire credentials`: who may connect an agent.
#include <sys/stat.h>

#include <fstream>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/admin_client.h"
#include "cli/commands.h"
#include "common/base/flags.h"

namespace toolwire {
using flags::Footer;
using flags::Number;
using flags::OnChosen;
using flags::RequireSubcommand;
using flags::Subcommand;
using flags::Switch;
using flags::Text;
namespace {

constexpr char kCredentialsCommand[] = "credentials";
constexpr int kPage = 1000;

struct CredentialFlags {
  AdminFlags admin;
  std::string user, platform = "linux", out;
  int count = 0;
  bool keep_session = false;
  bool json = false;
};

std::string Line(const nlohmann::ordered_json& json) {
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

std::string SecretLine(const std::string& user, const std::string& secret) {
  return Line({{"userId", user}, {"secret", secret}});
}

int Create(const CredentialFlags& flags) {
  std::vector<std::string> users;
  if (flags.count == 0) {
    users.push_back(flags.user);
  } else {
    for (int i = 0; i < flags.count; ++i) users.push_back(flags.user + std::to_string(i));
  }
  const auto admin = OpenAdmin(flags.admin);
  if (!admin.ok()) return FailAdmin(kCredentialsCommand, admin.status());
  std::ofstream file;
  if (!flags.out.empty()) {
    umask(0077);  // Only for this user to read.
    file.open(flags.out);
    if (!file) return FailAdmin(kCredentialsCommand, absl::InvalidArgumentError("cannot write " + flags.out));
  }
  std::vector<std::string> secrets;
  const absl::Status status = (*admin)->Create(users, flags.platform, &secrets);
  std::ostream& out = flags.out.empty() ? std::cout : file;
  for (size_t i = 0; i < secrets.size(); ++i) {
    if (flags.json) {
      out << SecretLine(users[i], secrets[i]);
    } else {
      if (users.size() > 1 || !flags.out.empty()) out << users[i] << " ";
      out << secrets[i] << "\n";
    }
  }
  out.flush();
  if (!out) {
    return FailAdmin(kCredentialsCommand,
                     absl::InternalError("the secrets could not be written; rotate them for new ones"));
  }
  if (!secrets.empty()) {
    std::cerr << "created " << secrets.size() << (secrets.size() == 1 ? " credential" : " credentials")
              << "; the store keeps only hashes, so this is the only time the secret is shown\n";
  }
  return status.ok() ? 0 : FailAdmin(kCredentialsCommand, status);
}

// After a change of the store alone: the user's session may still be open.
void WarnOfSessions(const AdminClient& admin) {
  if (admin.closes_sessions()) return;
  std::cerr << "no live session was closed, since the store was opened directly: a session that is open goes on until "
               "it ends by itself; ask a control (--address) to close it\n";
}

int Rotate(const CredentialFlags& flags) {
  const auto admin = OpenAdmin(flags.admin);
  if (!admin.ok()) return FailAdmin(kCredentialsCommand, admin.status());
  const auto secret = (*admin)->Rotate(flags.user, flags.keep_session);
  if (!secret.ok()) return FailAdmin(kCredentialsCommand, secret.status());
  std::cout << (flags.json ? SecretLine(flags.user, *secret) : *secret + "\n");
  std::cerr << "the old secret is refused from now on; the store keeps only a hash of the new one, so this is the only "
               "time it is shown\n";
  if (!flags.keep_session) WarnOfSessions(**admin);
  return 0;
}

int Revoke(const CredentialFlags& flags) {
  const auto admin = OpenAdmin(flags.admin);
  if (!admin.ok()) return FailAdmin(kCredentialsCommand, admin.status());
  const auto closed = (*admin)->Revoke(flags.user);
  if (!closed.ok()) return FailAdmin(kCredentialsCommand, closed.status());
  if (flags.json) {
    std::cout << Line({{"userId", flags.user}, {"revoked", true}, {"sessionClosed", *closed}});
  } else {
    std::cout << "revoked " << flags.user << (*closed ? "; the live session was closed" : "") << "\n";
  }
  WarnOfSessions(**admin);
  return 0;
}

void PrintCredential(const Credential& one, bool json) {
  if (!json) {
    std::cout << one.user_id << "\t" << (one.revoked ? "revoked" : StatusWord(one.status)) << "\t" << one.platform
              << "\t" << (one.last_seen_ms ? TimeText(*one.last_seen_ms) : "never seen") << "\n";
    return;
  }
  nlohmann::ordered_json line = {
      {"userId", one.user_id},          {"platform", one.platform}, {"status", StatusWord(one.status)},
      {"createdAt", one.created_at_ms}, {"lastSeen", nullptr},      {"revoked", one.revoked}};
  if (one.last_seen_ms) line["lastSeen"] = *one.last_seen_ms;
  std::cout << Line(line);
}

int List(const CredentialFlags& flags) {
  const auto admin = OpenAdmin(flags.admin);
  if (!admin.ok()) return FailAdmin(kCredentialsCommand, admin.status());
  std::string after;
  while (true) {
    const auto page = (*admin)->ListCredentials(after, kPage);
    if (!page.ok()) return FailAdmin(kCredentialsCommand, page.status());
    for (const Credential& one : *page) PrintCredential(one, flags.json);
    if (page->size() < kPage) return 0;
    after = page->back().user_id;
  }
}

}  // namespace

void AddCredentialsCommand(CLI::App* app, Command* chosen) {
  auto flags = std::make_shared<CredentialFlags>();
  CLI::App* credentials = Subcommand(app, "credentials", "Agents' credentials");
  RequireSubcommand(credentials);

  CLI::App* create = Subcommand(credentials, "create", "Make a credential and print its secret once");
  Text(create, "user", &flags->user, "The user id; with --count its beginning").Required();
  Text(create, "--platform", &flags->platform, "win32, linux or darwin").OneOf({"win32", "linux", "darwin"});
  Number(create, "--count", &flags->count, 1, 1000000, "Make so many, for users USER0, USER1, ...").HideDefault();
  const flags::Flag out =
      Text(create, "--out", &flags->out, "Write `user secret` lines to this file, for toolwire agent --credentials");
  OnChosen(create, [flags, chosen] { *chosen = [flags] { return Create(*flags); }; });

  CLI::App* rotate =
      Subcommand(credentials, "rotate", "Replace a user's secret, print the new one once, and close the live session");
  Text(rotate, "user", &flags->user, "The user id").Required();
  Switch(rotate, "--keep-session", &flags->keep_session, "Leave the session that was opened with the old secret");
  OnChosen(rotate, [flags, chosen] { *chosen = [flags] { return Rotate(*flags); }; });

  CLI::App* revoke =
      Subcommand(credentials, "revoke", "Refuse a user's secret from now on, and close the live session");
  Text(revoke, "user", &flags->user, "The user id").Required().Env("TOOLWIRE_USER");
  OnChosen(revoke, [flags, chosen] { *chosen = [flags] { return Revoke(*flags); }; });

  CLI::App* list = Subcommand(credentials, "list", "All credentials, without secrets");
  OnChosen(list, [flags, chosen] { *chosen = [flags] { return List(*flags); }; });

  struct Form {
    CLI::App* command;
    const char* example;
    const char* json;
  };
  const Form forms[] = {
      {create, "create user_1", R"({"userId":"u1","secret":"<64 hex digits>"})"},
      {rotate, "rotate user_1", R"({"userId":"u1","secret":"<64 hex digits>"})"},
      {revoke, "revoke user_1", R"({"userId":"u1","revoked":true,"sessionClosed":true})"},
      {list, "list",
       "{\"userId\":\"u1\",\"platform\":\"linux\",\"status\":\"connected\",\"createdAt\":1767225600000,"
       "\"lastSeen\":null,\n\"revoked\":false}, times in Unix milliseconds, status as the last session left it"}};
  for (const auto& [command, example, form] : forms) {
    AddAdminFlags(command, &flags->admin);
    const flags::Flag json = Switch(command, "--json", &flags->json, "One JSON object a line, for programs");
    if (command == create) json.Excludes(out);
    Footer(command, std::string("With --json: ") + form + "\nExample: toolwire credentials " + example + "\n" +
                        kAdminExitStatus);
  }
}

}  // namespace toolwire
