// `toolwire credentials` and `toolwire audit`: the store, opened directly, also while the servers run.
#include <sys/stat.h>

#include <CLI/CLI.hpp>
#include <ctime>
#include <fstream>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "common/clock.h"
#include "common/open_store.h"

namespace toolwire {
namespace {

struct StoreFlags {
  StoreOptions store;
  std::string user, platform = "linux", out;
  int count = 0;
  int limit = 50;
  bool json = false;
};

int Fail(const std::string& command, const absl::Status& status) {
  std::cerr << "toolwire " << command << ": " << status.message() << "\n";
  return 1;
}

std::string TimeText(int64_t unix_ms) {
  const std::time_t seconds = unix_ms / 1000;
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

int CreateCredentials(const StoreFlags& flags) {
  auto store = OpenStore(flags.store);
  if (!store.ok()) return Fail("credentials", store.status());
  std::vector<std::string> users;
  if (flags.count == 0) {
    users.push_back(flags.user);
  } else {
    for (int i = 0; i < flags.count; ++i) users.push_back(flags.user + std::to_string(i));
  }
  std::vector<Store::NewCredential> credentials;
  std::vector<std::string> secrets;
  const int64_t now_ms = SystemClock().WallMs();
  for (const std::string& user : users) {
    secrets.push_back(MakeSecret());
    credentials.push_back({user, flags.platform, HashSecret(secrets.back()), now_ms});
  }
  std::ofstream file;
  if (!flags.out.empty()) {
    umask(0077);  // Only for this user to read.
    file.open(flags.out);
    if (!file) return Fail("credentials", absl::InvalidArgumentError("cannot write " + flags.out));
  }
  if (const absl::Status status = (*store)->CreateCredentials(credentials); !status.ok()) {
    return Fail("credentials", status);
  }
  std::ostream& out = flags.out.empty() ? std::cout : file;
  for (size_t i = 0; i < users.size(); ++i) {
    if (users.size() > 1 || !flags.out.empty()) out << users[i] << " ";
    out << secrets[i] << "\n";
  }
  out.flush();
  if (!out) return Fail("credentials", absl::InternalError("the secrets could not be written; create new ones"));
  std::cerr << "created " << users.size() << (users.size() == 1 ? " credential" : " credentials")
            << "; the store keeps only hashes, so this is the only time the secret is shown\n";
  return 0;
}

int ListCredentials(const StoreFlags& flags) {
  auto store = OpenStore(flags.store);
  if (!store.ok()) return Fail("credentials", store.status());
  std::string after;
  while (true) {
    const auto page = (*store)->ListCredentials(after, 1000);
    if (!page.ok()) return Fail("credentials", page.status());
    for (const Credential& one : *page) {
      if (flags.json) {
        nlohmann::ordered_json line = {{"userId", one.user_id},
                                       {"platform", one.platform},
                                       {"status", StatusWord(one.status)},
                                       {"createdAt", one.created_at_ms},
                                       {"lastSeen", nullptr}};
        if (one.last_seen_ms) line["lastSeen"] = *one.last_seen_ms;
        std::cout << line.dump() << "\n";
      } else {
        std::cout << one.user_id << "\t" << StatusWord(one.status) << "\t" << one.platform << "\t"
                  << (one.last_seen_ms ? TimeText(*one.last_seen_ms) : "never seen") << "\n";
      }
    }
    if (page->size() < 1000) return 0;
    after = page->back().user_id;
  }
}

int ListAudit(const StoreFlags& flags) {
  auto store = OpenStore(flags.store);
  if (!store.ok()) return Fail("audit", store.status());
  const auto rows = (*store)->ListAudit(flags.user, flags.limit);
  if (!rows.ok()) return Fail("audit", rows.status());
  for (auto row = rows->rbegin(); row != rows->rend(); ++row) {  // Oldest first: the newest is next to the prompt.
    if (flags.json) {
      nlohmann::ordered_json line = {
          {"at", row->created_at_ms},   {"userId", row->user_id},     {"requestId", row->request_id},
          {"tool", row->tool},          {"success", row->success},    {"error", row->error},
          {"params", row->params_json}, {"result", row->result_json}, {"executionTimeMs", nullptr}};
      if (row->execution_time_ms) line["executionTimeMs"] = *row->execution_time_ms;
      std::cout << line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << "\n";
    } else {
      std::cout << TimeText(row->created_at_ms) << "  " << row->user_id << "  " << row->tool << "  "
                << (row->success ? "ok" : "failed: " + row->error);
      if (row->execution_time_ms) std::cout << "  " << *row->execution_time_ms << " ms";
      std::cout << "\n";
    }
  }
  return 0;
}

}  // namespace

void AddStoreCommands(CLI::App* app, Command* chosen) {
  auto flags = std::make_shared<StoreFlags>();
  CLI::App* credentials = app->add_subcommand("credentials", "Agents' credentials");
  credentials->require_subcommand(1);
  CLI::App* create = credentials->add_subcommand("create", "Make a credential and print its secret once");
  create->add_option("user", flags->user, "The user id; with --count its beginning")->required();
  create->add_option("--platform", flags->platform, "win32, linux or darwin")
      ->check(CLI::IsMember({"win32", "linux", "darwin"}))
      ->capture_default_str();
  create->add_option("--count", flags->count, "Make so many, for users USER0, USER1, ...")
      ->check(CLI::Range(1, 1000000));
  create->add_option("--out", flags->out, "Write `user secret` lines to this file, for toolwire agent --credentials");
  create->callback([flags, chosen] { *chosen = [flags] { return CreateCredentials(*flags); }; });
  CLI::App* list = credentials->add_subcommand("list", "All credentials, without secrets");
  list->callback([flags, chosen] { *chosen = [flags] { return ListCredentials(*flags); }; });

  CLI::App* audit = app->add_subcommand("audit", "The newest audit rows, oldest first");
  audit->add_option("user", flags->user, "Only this user's");
  audit->add_option("--limit", flags->limit, "How many at most")->check(CLI::Range(1, 1000000))->capture_default_str();
  audit->callback([flags, chosen] { *chosen = [flags] { return ListAudit(*flags); }; });
  for (CLI::App* command : {create, list, audit}) {
    AddStoreFlags(command, &flags->store);
    AddDatabaseFlags(command, &flags->store);
    command->add_flag("--json", flags->json, "One JSON object a line, for programs");
  }
}

}  // namespace toolwire
