// A flag is added to CLI11 with its default, range and variable, so that --help shows them, and described again from
// what CLI11 holds: completion and suggestions need no list of their own. A wrong command line is explained by CLI11
// or, for words that it does not know, by the caller. Before CLI11 parses, the variables of the chosen command are
// tidied in the environment itself, where CLI11 reads them; those of other commands are none of this run's business.

#include "common/base/flags.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <sstream>
#include <system_error>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace toolwire::flags {
namespace {

constexpr int kBadUsage = 2;

// Of the last command line; a program has one, which it reads before it starts threads.
struct LastLine {
  std::vector<std::string> remarks;
  std::vector<std::pair<std::string, std::string>> from_variables;  // Flags with their variables.
};
LastLine& Last() {
  static LastLine last;
  return last;
}

// The app and, of its commands, those that the words name one after the other.
std::vector<CLI::App*> Chosen(CLI::App* app, const std::vector<std::string>& words) {
  std::vector<CLI::App*> chosen = {app};
  for (const std::string& word : words) {
    const auto commands = chosen.back()->get_subcommands([&](CLI::App* one) { return one->get_name() == word; });
    if (!commands.empty()) chosen.push_back(commands.front());
  }
  return chosen;
}

// What the words give a flag: nothing if it is not among them.
std::optional<std::string> GivenTo(const CLI::Option& option, const std::vector<std::string>& words) {
  for (size_t i = 0; i < words.size() && words[i] != "--"; ++i) {
    for (const std::string& name : option.get_lnames()) {
      const std::string flag = "--" + name;
      if (words[i] == flag) return i + 1 < words.size() ? words[i + 1] : "";
      if (absl::StartsWith(words[i], flag + "=")) return words[i].substr(flag.size() + 1);
    }
  }
  return std::nullopt;
}

std::string ErrnoText(int error) { return std::generic_category().message(error); }

std::string WithoutQuotes(const std::string& text) {
  const bool is_quoted =
      text.size() >= 2 && text.front() == text.back() && (text.front() == '"' || text.front() == '\'');
  return is_quoted ? text.substr(1, text.size() - 2) : text;
}

// Kubernetes describes each service of a namespace to its pods: a service named `metrics` becomes
// METRICS_PORT=tcp://10.0.0.1:9090.
bool DescribesService(const std::string& name, const std::string& value) {
  if (!absl::EndsWith(name, "_PORT")) return false;
  return absl::StartsWith(value, "tcp://") || absl::StartsWith(value, "udp://") || absl::StartsWith(value, "sctp://");
}

// Its value, as CLI11 will read it; empty: as if it was not set.
std::string TidyVariable(const std::string& name) {
  const char* const raw = std::getenv(name.c_str());
  if (raw == nullptr) return "";
  const std::string text(raw);
  std::string value(absl::StripAsciiWhitespace(text));
  if (const std::string bare = WithoutQuotes(value); bare != value) {
    Last().remarks.push_back(name + ": its value is in quotes, which are left out; write it without them");
    value = std::string(absl::StripAsciiWhitespace(bare));
  }
  if (DescribesService(name, value)) {
    Last().remarks.push_back(absl::StrCat(
        name, "=", value, " is passed over: Kubernetes sets it for a service of that name; set enableServiceLinks: ",
        "false in the pod, or rename the service"));
    value.clear();
  }
  if (value.empty()) {
    unsetenv(name.c_str());
  } else if (value != text) {
    setenv(name.c_str(), value.c_str(), 1);
  }
  return value;
}

// postgresql://user:password@host, redis://:password@host, or password=... in a list.
bool HasPassword(const std::string& value) {
  const size_t login = value.find("://"), at = value.rfind('@');
  if (login == std::string::npos) return absl::StrContains(value, "password=");
  if (absl::StrContains(value, "password=")) return true;
  return at != std::string::npos && at > login && value.find(':', login + 3) < at;
}

// CLI11 keeps nothing else that is ours with an option: the name of a check that is always content, behind which the
// variable is.
constexpr char kMayHavePassword[] = "may have a password: ";

// Empty: it may not have one.
std::string VariableForPassword(CLI::Option* option) {
  try {
    for (int i = 0;; ++i) {
      const std::string name = option->get_validator(i)->get_name();
      if (absl::StartsWith(name, kMayHavePassword)) return name.substr(sizeof kMayHavePassword - 1);
    }
  } catch (const CLI::OptionNotFound&) {
    return "";
  }
}

void ReadEnvironment(CLI::App* app, const std::vector<CLI::App*>& chosen, const std::vector<std::string>& words) {
  const bool is_chosen = std::find(chosen.begin(), chosen.end(), app) != chosen.end();
  for (CLI::Option* option : app->get_options({})) {
    if (!is_chosen) {
      option->envname("");
      continue;
    }
    const auto given = GivenTo(*option, words);
    const std::string variable = given ? VariableForPassword(option) : option->get_envname();
    if (variable.empty()) continue;
    if (given) {
      if (!HasPassword(*given)) continue;
      Last().remarks.push_back(absl::StrCat(option->get_name(), ": everybody on this machine can read the password in ",
                                            "it, with ps; give it as the variable ", variable));
    } else if (!TidyVariable(variable).empty() && !option->get_lnames().empty()) {
      Last().from_variables.emplace_back(option->get_name(), variable);
    }
  }
  for (CLI::App* command : app->get_subcommands(std::function<bool(CLI::App*)>())) {
    ReadEnvironment(command, chosen, words);
  }
}

template <typename T>
Flag Bounded(CLI::App* app, const std::string& name, T* value, T low, T high, const std::string& help) {
  return Flag(app->add_option(name, *value, help)->check(CLI::Range(low, high))->capture_default_str());
}

// Of a type's description with the set {a,b} in it.
std::vector<std::string> ChoicesOf(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  const size_t open = type.find('{'), close = type.find('}');
  if (open == std::string::npos || close == std::string::npos) return {};
  return absl::StrSplit(type.substr(open + 1, close - open - 1), ',');
}

}  // namespace

Flag Flag::Env(const std::string& name) const { return Flag(option_->envname(name)); }
Flag Flag::Required() const { return Flag(option_->required()); }
Flag Flag::OneOf(const std::vector<std::string>& choices) const {
  return Flag(option_->transform(CLI::IsMember(choices, CLI::ignore_case)));
}
Flag Flag::As(std::function<std::string(const std::string&)> reading) const {
  return Flag(option_->transform(std::move(reading)));
}
Flag Flag::Check(std::function<std::string(const std::string&)> check) const {
  return Flag(option_->check(std::move(check)));
}
Flag Flag::Excludes(const Flag& other) const { return Flag(option_->excludes(other.option_)); }
Flag Flag::Trimmed() const {
  return As([](const std::string& value) { return std::string(absl::StripAsciiWhitespace(value)); });
}
Flag Flag::MayHavePassword(const std::string& variable) const {
  const auto content = [](std::string&) { return std::string(); };
  return Flag(option_->check(CLI::Validator(content, "", kMayHavePassword + variable)));
}
Flag Flag::HideDefault() const { return Flag(option_->default_str("")); }

Flag Text(CLI::App* app, const std::string& name, std::string* value, const std::string& help) {
  return Flag(app->add_option(name, *value, help)->capture_default_str());
}

Flag Texts(CLI::App* app, const std::string& name, std::vector<std::string>* values, const std::string& help) {
  return Flag(app->add_option(name, *values, help));
}

Flag Number(CLI::App* app, const std::string& name, int* value, int low, int high, const std::string& help) {
  return Bounded(app, name, value, low, high, help);
}

Flag Number(CLI::App* app, const std::string& name, size_t* value, size_t low, size_t high, const std::string& help) {
  return Bounded(app, name, value, low, high, help);
}

Flag Milliseconds(CLI::App* app, const std::string& name, Duration* value, int low, int high, const std::string& help) {
  const auto write = [value](const int& ms) { *value = std::chrono::milliseconds(ms); };
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(*value).count();
  return Flag(
      app->add_option_function<int>(name, write, help)->check(CLI::Range(low, high))->default_str(std::to_string(ms)));
}

Flag Port(CLI::App* app, const std::string& name, int* value, const std::string& help) {
  return Number(app, name, value, 0, 65535, help + "; 0 takes a free one");
}

Flag Switch(CLI::App* app, const std::string& name, bool* value, const std::string& help) {
  return Flag(app->add_flag(name, *value, help));
}

Flag Switch(CLI::App* app, const std::string& name, std::optional<bool>* value, const std::string& help) {
  // Of a variable the text is any; CLI11 throws at what is neither.
  const auto check = [](const std::string& text) {
    bool ignored = false;
    return std::string(CLI::detail::lexical_cast(text, ignored) ? "" : text + " is neither true nor false");
  };
  const auto write = [value](int64_t sum) { *value = sum > 0; };
  return Flag(app->add_flag_function(name, write, help)->check(check));
}

void VersionFlag(CLI::App* app, const std::string& version) { app->set_version_flag("--version", version); }

CLI::App* Subcommand(CLI::App* app, const std::string& name, const std::string& help) {
  return app->add_subcommand(name, help);
}

void RequireSubcommand(CLI::App* app) { app->require_subcommand(1); }
void Footer(CLI::App* app, const std::string& text) { app->footer(text); }
void OnChosen(CLI::App* app, std::function<void()> call) { app->callback(std::move(call)); }

int Ending::Print() const {
  errno = 0;
  std::cout << out << std::flush;
  const int error = errno;
  std::cerr << err << std::flush;
  if (std::cout) return status;
  // Whoever has closed the pipe has read enough.
  if (error != EPIPE) std::cerr << "the output could not be written: " << ErrnoText(error) << "\n";
  return status == 0 ? 1 : status;
}

CommandLine::CommandLine(const std::string& description, const std::string& name)
    : app_(std::make_unique<CLI::App>(description, name)) {}
CommandLine::~CommandLine() = default;

std::string Variable(const std::string& name) { return TidyVariable(name); }

std::vector<std::string> TakeRemarks() { return std::exchange(Last().remarks, {}); }

std::string NamingVariables(std::string message) {
  for (const auto& [flag, variable] : Last().from_variables) {
    for (size_t at = message.find(flag); at != std::string::npos; at = message.find(flag, at + 1)) {
      const size_t end = at + flag.size();
      const bool goes_on = end < message.size() && (absl::ascii_isalnum(static_cast<unsigned char>(message[end])) ||
                                                    message[end] == '-');
      if (!goes_on) message.replace(at, flag.size(), variable);
    }
  }
  return message;
}

std::optional<Ending> CommandLine::Parse(int argc, const char* const* argv) {
  Last() = {};
  const std::vector<std::string> words(argv + std::min(argc, 1), argv + argc);
  ReadEnvironment(app_.get(), Chosen(app_.get(), words), words);
  try {
    app_->parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    std::ostringstream out, err;
    const int status = app_->exit(error, out, err);
    return Ending{status == 0 ? 0 : kBadUsage, out.str(), NamingVariables(err.str())};
  }
  return std::nullopt;
}

Described Describe(CLI::App* app) {
  Described described{app->get_name(), app->get_description(), {}, {}};
  for (const CLI::Option* option : app->get_options({})) {
    for (const std::string& name : option->get_lnames()) {
      described.flags.push_back(
          {"--" + name, option->get_description(), option->get_type_size() > 0, ChoicesOf(*option)});
    }
  }
  for (CLI::App* command : app->get_subcommands(std::function<bool(CLI::App*)>())) {
    described.commands.push_back(Describe(command));
  }
  return described;
}

}  // namespace toolwire::flags
