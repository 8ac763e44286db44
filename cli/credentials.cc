// `toolwire credentials`: who may connect an agent.
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/admin_client.h"
#include "cli/commands.h"
#include "cli/files.h"
#include "cli/interrupt.h"
#include "cli/json_line.h"
#include "cli/output.h"
#include "common/base/shown_text.h"
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

std::string SecretLine(const std::string& user, const std::string& secret) {
  return JsonLine({{"userId", user}, {"secret", secret}});
}

// As `toolwire agent --credentials` reads them where there are several or a file.
std::string LineOf(const CredentialFlags& flags, const std::string& user, const std::string& secret) {
  if (flags.json) return SecretLine(user, secret);
  return (flags.count > 1 || !flags.out.empty() ? user + " " : "") + secret + "\n";
}

bool IsRegularOrMissing(const std::string& path) {
  std::error_code ec;
  const auto status = std::filesystem::status(path, ec);
  return !std::filesystem::exists(status) || std::filesystem::is_regular_file(status);
}

// Makes credentials and hands each secret over as soon as it is there: a command that is killed leaves no credential
// but the last one without its secret. After a signal, or once `write` fails, no more are made. Counts in `*made`.
absl::Status MakeAll(const CredentialFlags& flags, const std::vector<std::string>& users, AdminClient* admin,
                     Interrupt* interrupt, const std::function<bool(const std::string& line)>& write, size_t* made) {
  const absl::Status status =
      admin->Create(users, flags.platform, [&](const std::string& user, const std::string& secret) {
        ++*made;
        return write(LineOf(flags, user, secret)) && !interrupt->seen();
      });
  if (!status.ok() || *made == users.size()) return status;
  return absl::CancelledError(absl::StrCat("stopped after ", *made, " of ", users.size()));
}

// What is there stays until all new secrets are: they may be the only copies.
int CreateIntoFile(const CredentialFlags& flags, const std::vector<std::string>& users, AdminClient* admin,
                   Interrupt* interrupt, size_t bytes) {
  auto file = NewFile::Make(flags.out, bytes);
  if (!file.ok()) return FailAdmin(kCredentialsCommand, absl::InvalidArgumentError(file.status().message()));
  absl::Status written;
  size_t made = 0;
  const auto write = [&](const std::string& line) {
    if (written.ok()) written = (*file)->Write(line);
    return written.ok();
  };
  absl::Status status = MakeAll(flags, users, admin, interrupt, write, &made);
  if (made == 0) return status.ok() ? 0 : FailAdmin(kCredentialsCommand, status);
  if (!written.ok()) status = absl::InternalError(written.message());
  if (status.ok()) {
    if (const absl::Status committed = (*file)->Commit(); committed.ok()) return 0;
    status = absl::InternalError("the new file could not take the old one's place");
  }
  const std::string where = absl::StrCat(written.ok() ? "" : "some of them ", "are in ", (*file)->Keep());
  return FailAdmin(kCredentialsCommand,
                   absl::Status(status.code(), absl::StrCat(status.message(), "; ", made, " secrets were made, and ",
                                                            where, "; ", flags.out, " is as it was")));
}

int Create(const CredentialFlags& flags) {
  Interrupt interrupt;  // Before gRPC starts threads.
  std::vector<std::string> users;
  if (flags.count == 0) {
    users.push_back(flags.user);
  } else {
    for (int i = 0; i < flags.count; ++i) users.push_back(flags.user + std::to_string(i));
  }
  const auto admin = OpenAdmin(flags.admin);
  if (!admin.ok()) return FailOpening(kCredentialsCommand, admin.status());
  size_t bytes = 0;
  for (const std::string& user : users) bytes += user.size() * 6 + 256;
  const auto said = [&](int status, size_t made) {
    if (status != 0) return status;
    std::cerr << "created " << made << (made == 1 ? " credential" : " credentials")
              << "; the store keeps only hashes, so this is the only time the secret is shown\n";
    return 0;
  };
  if (!flags.out.empty() && IsRegularOrMissing(flags.out)) {
    return said(CreateIntoFile(flags, users, admin->get(), &interrupt, bytes), users.size());
  }
  std::ofstream device;  // /dev/stdout and the like.
  if (!flags.out.empty()) {
    device.open(flags.out);
    if (!device) return FailAdmin(kCredentialsCommand, absl::InvalidArgumentError("cannot write " + flags.out));
  } else if (const absl::Status status = CheckOutput(bytes); !status.ok()) {
    return FailAdmin(kCredentialsCommand, status);
  }
  std::ostream& out = flags.out.empty() ? std::cout : device;
  size_t made = 0;
  const auto write = [&](const std::string& line) { return static_cast<bool>(out << line << std::flush); };
  const absl::Status status = MakeAll(flags, users, admin->get(), &interrupt, write, &made);
  if (!out) {
    return FailAdmin(kCredentialsCommand,
                     absl::InternalError("the secrets could not be written; rotate them for new ones"));
  }
  if (made > 0) said(0, made);
  return status.ok() ? 0 : FailAdmin(kCredentialsCommand, status);
}

std::string NotHeard(const AdminClient::Reach& reach) {
  return reach.edges_not_heard.empty() ? "some edges, as the registry is unavailable"
                                       : absl::StrJoin(reach.edges_not_heard, ", ");
}

// The user's session may still be open.
void WarnOfSessions(const AdminClient& admin, const AdminClient::Reach& reach) {
  constexpr char kUntil[] = "goes on until its edge checks its secret again (--secret-recheck-interval)";
  if (!admin.closes_sessions()) {
    std::cerr << "no live session was closed, since the store was opened directly: a session that is open " << kUntil
              << "; ask a control (--address) to close it\n";
  } else if (!reach.everywhere) {
    std::cerr << "not confirmed by " << ShownText(NotHeard(reach)) << ": a session there " << kUntil << "\n";
  }
}

// The new secret was printed. Whether it holds is not known if control, or the store, was lost between the two steps:
// it may have been lost after it had done the second.
absl::Status NotRotated(const absl::Status& status) {
  const bool may_be_done = absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status);
  const char* const holds = may_be_done ? "; either the secret that was printed holds now, or the old one"
                                        : "; the old secret holds, not the one that was printed";
  return absl::Status(may_be_done ? absl::StatusCode::kDeadlineExceeded : status.code(),
                      absl::StrCat(status.message(), holds));
}

int Rotate(const CredentialFlags& flags) {
  const auto admin = OpenAdmin(flags.admin);
  if (!admin.ok()) return FailOpening(kCredentialsCommand, admin.status());
  if (const absl::Status status = CheckOutput(flags.user.size() * 6 + 256); !status.ok()) {
    return FailAdmin(kCredentialsCommand, status);
  }
  const auto prepared = (*admin)->PrepareRotation(flags.user, flags.keep_session);
  if (!prepared.ok()) return FailAdmin(kCredentialsCommand, prepared.status());
  // The old secret holds until the new one is where it is to be, as that is shown once.
  std::cout << (flags.json ? SecretLine(flags.user, prepared->secret) : prepared->secret + "\n");
  if (!SyncOutput()) {
    const char* const old =
        prepared->holds ? "the old one is refused from now on: rotate once more" : "the old one holds";
    return FailAdmin(kCredentialsCommand,
                     absl::InternalError(absl::StrCat("the new secret could not be written; ", old)));
  }
  AdminClient::Reach reach = prepared->reach;
  if (!prepared->holds) {
    auto rotated = (*admin)->Rotate(flags.user, prepared->secret, flags.keep_session);
    if (!rotated.ok()) return FailAdmin(kCredentialsCommand, NotRotated(rotated.status()));
    reach = *std::move(rotated);
  }
  std::cerr << "the old secret is refused from now on; the store keeps only a hash of the new one, so this is the only "
               "time it is shown\n";
  // Also of a session that is to stay: no edge learns that from the store.
  if (!flags.keep_session || !(*admin)->closes_sessions()) WarnOfSessions(**admin, reach);
  return 0;
}

int Revoke(const CredentialFlags& flags) {
  const auto admin = OpenAdmin(flags.admin);
  if (!admin.ok()) return FailOpening(kCredentialsCommand, admin.status());
  const auto revoked = (*admin)->Revoke(flags.user);
  if (!revoked.ok()) return FailAdmin(kCredentialsCommand, revoked.status());
  const AdminClient::Reach& reach = revoked->reach;
  if (flags.json) {
    std::cout << JsonLine({{"userId", flags.user},
                           {"revoked", true},
                           {"sessionClosed", revoked->session_closed},
                           {"everywhere", reach.everywhere},
                           {"edgesNotHeard", reach.edges_not_heard}});
  } else {
    const std::string where = !(*admin)->closes_sessions() ? ""
                              : reach.everywhere           ? " everywhere"
                                                           : ", but not confirmed by " + NotHeard(reach);
    std::cout << "revoked " << ShownText(flags.user) << ShownText(where)
              << (revoked->session_closed ? "; the live session was closed" : "")
              << "\n";
  }
  WarnOfSessions(**admin, reach);
  return 0;
}

void PrintCredential(const Credential& one, bool json) {
  if (!json) {
    std::cout << ShownText(one.user_id) << "\t" << (one.revoked ? "revoked" : StatusWord(one.status)) << "\t"
              << ShownText(one.platform) << "\t"
              << (one.last_seen_ms ? TimeText(*one.last_seen_ms) : "never seen") << "\n";
    return;
  }
  nlohmann::ordered_json line = {
      {"userId", one.user_id},          {"platform", one.platform}, {"status", StatusWord(one.status)},
      {"createdAt", one.created_at_ms}, {"lastSeen", nullptr},      {"revoked", one.revoked}};
  if (one.last_seen_ms) line["lastSeen"] = *one.last_seen_ms;
  std::cout << JsonLine(line);
}

int List(const CredentialFlags& flags) {
  const auto admin = OpenAdmin(flags.admin);
  if (!admin.ok()) return FailOpening(kCredentialsCommand, admin.status());
  std::string after;
  while (true) {
    const auto page = (*admin)->ListCredentials(after, kPage);
    if (!page.ok()) return FailAdmin(kCredentialsCommand, page.status());
    for (const Credential& one : *page) PrintCredential(one, flags.json);
    if (page->size() < kPage || !std::cout) return 0;  // A lost output makes it 1.
    after = page->back().user_id;
  }
}

}  // namespace

void AddCredentialsCommand(CLI::App* app, Command* chosen) {
  CLI::App* credentials = Subcommand(app, "credentials", "Agents' credentials");
  RequireSubcommand(credentials);
  // Each has its own flags: a variable is read for commands that are not chosen, too.

  const auto create_flags = std::make_shared<CredentialFlags>();
  create_flags->admin.makes_store = true;
  CLI::App* create = Subcommand(credentials, "create", "Make a credential and print its secret once");
  Text(create, "user", &create_flags->user, "The user id; with --count its beginning").Required().Utf8();
  Text(create, "--platform", &create_flags->platform, "win32, linux or darwin").OneOf({"win32", "linux", "darwin"});
  Number(create, "--count", &create_flags->count, 1, 1000000, "Make so many, for users USER0, USER1, ...")
      .HideDefault();
  const flags::Flag out = Text(create, "--out", &create_flags->out,
                               "Write `user secret` lines to a file of mode 0600, for toolwire agent --credentials");
  OnChosen(create, [create_flags, chosen] { *chosen = [create_flags] { return Create(*create_flags); }; });

  const auto rotate_flags = std::make_shared<CredentialFlags>();
  CLI::App* rotate =
      Subcommand(credentials, "rotate", "Replace a user's secret, print the new one once, and close the live session");
  Text(rotate, "user", &rotate_flags->user, "The user id").Required().Utf8();
  Switch(rotate, "--keep-session", &rotate_flags->keep_session,
         "Leave the session that was opened with the old secret");
  OnChosen(rotate, [rotate_flags, chosen] { *chosen = [rotate_flags] { return Rotate(*rotate_flags); }; });

  const auto revoke_flags = std::make_shared<CredentialFlags>();
  CLI::App* revoke =
      Subcommand(credentials, "revoke", "Refuse a user's secret from now on, and close the live session");
  Text(revoke, "user", &revoke_flags->user, "The user id").Required().Env("TOOLWIRE_USER").Utf8();
  OnChosen(revoke, [revoke_flags, chosen] { *chosen = [revoke_flags] { return Revoke(*revoke_flags); }; });

  const auto list_flags = std::make_shared<CredentialFlags>();
  CLI::App* list = Subcommand(credentials, "list", "All credentials, without secrets");
  OnChosen(list, [list_flags, chosen] { *chosen = [list_flags] { return List(*list_flags); }; });

  struct Form {
    CLI::App* command;
    CredentialFlags* flags;
    const char* example;
    const char* json;
  };
  const Form forms[] = {
      {create, create_flags.get(), "create user_1", R"({"userId":"u1","secret":"<64 hex digits>"})"},
      {rotate, rotate_flags.get(), "rotate user_1", R"({"userId":"u1","secret":"<64 hex digits>"})"},
      {revoke, revoke_flags.get(), "revoke user_1",
       R"({"userId":"u1","revoked":true,"sessionClosed":true,"everywhere":true,"edgesNotHeard":[]})"},
      {list, list_flags.get(), "list",
       "{\"userId\":\"u1\",\"platform\":\"linux\",\"status\":\"connected\",\"createdAt\":1767225600000,"
       "\"lastSeen\":null,\n\"revoked\":false}, times in Unix milliseconds, status as the last session left it"}};
  for (const auto& [command, flags, example, form] : forms) {
    AddAdminFlags(command, &flags->admin);
    const flags::Flag json = Switch(command, "--json", &flags->json, "One JSON object a line, for programs");
    if (command == create) json.Excludes(out);
    Footer(command, std::string("With --json: ") + form + "\nExample: toolwire credentials " + example + "\n" +
                        kAdminExitStatus);
  }
}

}  // namespace toolwire
