// `toolwire agent`: flags and credentials of the agent.
#include <array>
#include <cerrno>
#include <fstream>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <unordered_map>
#include <utility>

#include "cli/agent/agent.h"
#include "cli/agent/agent_url.h"
#include "cli/commands.h"
#include "common/base/flags.h"
#include "common/base/process_options.h"
#include "common/base/tidy.h"

namespace toolwire {
using flags::Footer;
using flags::Number;
using flags::OnChosen;
using flags::Subcommand;
using flags::Text;
namespace {

constexpr size_t kCredentialLineMax = 64u << 10;

struct AgentFlags {
  LogOptions log;
  AgentOptions agent;
  std::string user = "";
  std::string credentials_file;
  int count = 0;
  std::string user_prefix = "user_";
  int heartbeat_ms = 30000;
};

// Reads lines of `user secret`, as `toolwire credentials create --out` writes them: a user's id may have white space
// and quotes in it, a secret has none. Lines of people may have quotes around either. Empty on failure, also if a line
// is so long that this is some other file, or a device that never ends.
std::unordered_map<std::string, std::string> ReadCredentials(std::istream* file) {
  std::unordered_map<std::string, std::string> secrets, tidied;
  std::array<char, kCredentialLineMax> line{};
  for (bool first = true; file->getline(line.data(), line.size()); first = false) {
    std::string_view rest(line.data());
    if (first) rest = WithoutByteOrderMark(rest);
    rest = rest.substr(0, rest.find_last_not_of(" \t\r") + 1);
    const size_t space = rest.find_last_of(" \t");
    if (space == std::string_view::npos) continue;
    const std::string_view user = rest.substr(0, space);
    std::string secret = Tidy(rest.substr(space + 1)).value;
    if (std::string bare = Tidy(user).value; !bare.empty()) tidied[std::move(bare)] = secret;
    secrets[std::string(user)] = std::move(secret);
  }
  if (!file->eof()) return {};  // A line that is too long, or a directory.
  secrets.merge(tidied);  // A user who is called just that comes first.
  return secrets;
}

int Usage(const std::string& message) {
  std::cerr << "toolwire agent: " << flags::ShownMessage(message) << "\n";
  return 2;
}

std::string UrlProblem(const std::string& url) { return std::string(ParseAgentUrl(url).status().message()); }

int RunAgentCommand(AgentFlags flags) {
  const std::optional<std::string> from_environment = flags::TakeVariable("TOOLWIRE_SECRET");
  InitLog(flags.log);
  for (const std::string& file : {flags.credentials_file, flags.agent.key_file}) {
    if (!file.empty()) flags.agent.secret_files.push_back(file);
  }
  flags.agent.heartbeat_every = std::chrono::milliseconds(flags.heartbeat_ms);
  std::unordered_map<std::string, std::string> secrets;
  if (!flags.credentials_file.empty()) {
    std::ifstream file(flags.credentials_file);
    if (!file) {
      const std::string why = std::generic_category().message(errno);
      return Usage("--credentials: cannot read " + flags.credentials_file + ": " + why);
    }
    secrets = ReadCredentials(&file);
    if (secrets.empty()) return Usage("--credentials: no `user secret` lines in " + flags.credentials_file);
  }
  std::vector<std::string> users;
  if (flags.count > 0) {
    for (int i = 0; i < flags.count; ++i) users.push_back(flags.user_prefix + std::to_string(i));
  } else if (!flags.user.empty()) {
    users.push_back(flags.user);
  } else {
    return Usage("say who you are: --user, or --count and --user-prefix");
  }
  for (std::string& user : users) {
    std::string secret;
    if (const auto found = secrets.find(user); found != secrets.end()) {
      secret = found->second;
    } else if (from_environment.has_value() && users.size() == 1) {
      secret = *from_environment;
    } else {
      return Usage("no secret for user " + user + ": set TOOLWIRE_SECRET or give --credentials FILE");
    }
    flags.agent.logins.push_back({std::move(user), std::move(secret)});
  }
  for (const auto& [user, secret] : secrets) flags.agent.other_secrets.push_back(secret);
  return RunAgents(flags.agent);
}

}  // namespace

void AddAgentCommand(CLI::App* app, Command* chosen) {
  auto flags = std::make_shared<AgentFlags>();
  CLI::App* agent = Subcommand(
      app, "agent", "A small real agent with the tools echo, read_file, list_directory and sleep; with --count, many");
  Footer(agent,
         "The secret comes from TOOLWIRE_SECRET or a --credentials file, never from the command line, which\n"
         "other users of the machine can read. Keep its file outside of --root: the tools refuse files that hold it,\n"
         "and what the kernel shows in /proc and /sys, but what is not there cannot be read.\n"
         "Example: TOOLWIRE_SECRET=$(toolwire credentials create user_1) toolwire agent --user user_1 --root files\n"
         "Exit status: 0 stopped by SIGINT or SIGTERM, 1 cannot start, 2 wrong flags.");
  Text(agent, "--url", &flags->agent.url, "The edge's address, ws:// or wss://")
      .Env("TOOLWIRE_URL")
      .Check(UrlProblem);
  Text(agent, "--user", &flags->user, "Whose agent this is").Env("TOOLWIRE_USER").Utf8();
  Text(agent, "--credentials", &flags->credentials_file, "File of `user secret` lines");
  Text(agent, "--ca", &flags->agent.ca_file, "With wss://: PEM file of the CAs to trust; default: the system's")
      .Env("TOOLWIRE_CA")
      .File();
  Text(agent, "--cert", &flags->agent.certificate_file, "With wss://: PEM file of a certificate, if the edge wants one")
      .Env("TOOLWIRE_CERT")
      .File();
  Text(agent, "--key", &flags->agent.key_file, "PEM file of its key").Env("TOOLWIRE_KEY").File();
  Text(agent, "--tls-server-name", &flags->agent.server_name,
       "With wss://: the name in the edge's certificate, if it is not the host of --url");
  Text(agent, "--root", &flags->agent.root, "The only directory that read_file and list_directory see");
  Number(agent, "--count", &flags->count, 1, 1000000, "Run so many agents in this process: the load generator")
      .HideDefault();
  Text(agent, "--user-prefix", &flags->user_prefix, "With --count, users are PREFIX0, PREFIX1, ...").Utf8();
  Number(agent, "--threads", &flags->agent.threads, 1, 64, "Event loops");
  Number(agent, "--heartbeat-interval", &flags->heartbeat_ms, 10, 3600000, "Time between heartbeats, in ms");
  Number(agent, "--answer-bytes", &flags->agent.answer_bytes_max, 1u << 20, size_t{16} << 30,
         "Answers that wait for the connection or are being made, in bytes; beyond it calls fail: agent busy");
  Number(agent, "--params-bytes", &flags->agent.params_bytes_max, 1024, 256u << 20,
         "Longest params of a call, in bytes; the edge refuses a call with longer ones");
  Number(agent, "--result-bytes", &flags->agent.result_bytes_max, 1024, 256u << 20,
         "Longest result of a call, in bytes; less where the edge takes less");
  Number(agent, "--json-depth", &flags->agent.json_depth_max, 1, 10000,
         "Deepest nesting of params; the edge refuses a call with deeper ones");
  Number(agent, "--connect-per-second", &flags->agent.connect_per_second, 1, 1000000, "How fast many agents dial in");
  AddLogFlags(agent, &flags->log);
  OnChosen(agent, [flags, chosen] { *chosen = [flags] { return RunAgentCommand(*flags); }; });
}

}  // namespace toolwire
