// `toolwire tokens`: callers' tokens. Needs no control: the line goes into a file that controls read.
#include "control/tokens.h"

#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "cli/commands.h"
#include "cli/control_channel.h"
#include "cli/json_line.h"
#include "common/base/flags.h"
#include "common/wire/names.h"

namespace toolwire {
using flags::Footer;
using flags::OnChosen;
using flags::RequireSubcommand;
using flags::Subcommand;
using flags::Switch;
using flags::Text;
namespace {

struct TokenFlags {
  std::string name, scopes, user, user_prefix, expires;
  bool json = false;
};

std::string CheckName(const std::string& name) {
  const char* const wrong = CheckTokenName(name);
  return wrong == nullptr ? "" : "a token's name " + std::string(wrong);
}

std::string CheckScopes(const std::string& text) {
  unsigned scopes = 0;
  return ReadScopes(text, &scopes) ? "" : "scopes are call, read and admin, each once, with commas between";
}

std::string CheckUsers(const std::string& text) {
  const char* const wrong = CheckUserId(text);
  return wrong == nullptr ? "" : "it " + std::string(wrong);
}

std::string CheckExpires(const std::string& text) {
  int64_t unix_ms = 0;
  return ReadExpiry(text, &unix_ms) ? "" : "\"" + text + "\" is no time such as 2027-01-31T00:00:00Z";
}

int CreateToken(const TokenFlags& flags) {
  const std::string text = MakeToken();
  Token token;
  token.name = flags.name;
  token.digest = Sha256(text);
  ReadScopes(flags.scopes, &token.scopes);
  if (!flags.user.empty()) token.users = {UserBound::Kind::kOne, flags.user};
  if (!flags.user_prefix.empty()) token.users = {UserBound::Kind::kPrefix, flags.user_prefix};
  if (!flags.expires.empty()) ReadExpiry(flags.expires, &token.expires_ms);
  const std::string line = TokenLine(token);
  if (flags.json) {
    const nlohmann::ordered_json out = {{"name", token.name}, {"token", text}, {"line", line}};
    std::cout << JsonLine(out);
  } else {
    std::cout << text << "\n";
  }
  if (!std::cout.flush()) return FailCommand("tokens", "the token could not be written: nobody has it");
  if (!flags.json) {
    std::cerr << "This is the only time the token is shown. The line for the file of --tokens-file:\n\n"
              << line << "\n";
  }
  return 0;
}

}  // namespace

void AddTokensCommand(CLI::App* app, Command* chosen) {
  auto flags = std::make_shared<TokenFlags>();
  CLI::App* tokens = Subcommand(app, "tokens", "Tokens of those who may call");
  RequireSubcommand(tokens);
  CLI::App* create = Subcommand(tokens, "create", "Make a token, and the line for the file that controls read");
  Text(create, "name", &flags->name, "Who will use it, as logs, metrics and the audit log name the caller")
      .Required()
      .Check(CheckName);
  Text(create, "--scope", &flags->scopes, "What it may do: call, read, admin, or several with commas between")
      .Required()
      .Check(CheckScopes);
  const flags::Flag user = Text(create, "--user", &flags->user, "It may name this user alone").Check(CheckUsers);
  Text(create, "--user-prefix", &flags->user_prefix, "It may name the users alone whose ids begin so")
      .Check(CheckUsers)
      .Excludes(user);
  Text(create, "--expires", &flags->expires, "From when on it is refused: 2027-01-31T00:00:00Z").Check(CheckExpires);
  Switch(create, "--json", &flags->json, "One JSON object, for programs");
  Footer(create,
         "Prints the token on standard output and its line, which has no secret, on standard error; stores nothing.\n"
         "With --json: {\"name\":\"shop\",\"token\":\"tw_<43 characters>\",\"line\":\"shop sha256:<64 hex digits> "
         "call\"}\n"
         "Example: toolwire tokens create shop --scope call,read > shop.token\n"
         "Exit status: 0 made, 1 it could not be written, 2 wrong flags.");
  OnChosen(create, [flags, chosen] { *chosen = [flags] { return CreateToken(*flags); }; });
}

}  // namespace toolwire
