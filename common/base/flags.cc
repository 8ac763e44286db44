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
#include <cstring>
#include <iostream>
#include <sstream>
#include <system_error>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/base/json_text.h"
#include "common/base/shown_text.h"
#include "common/base/tidy.h"
#include "common/base/watched_file.h"

namespace toolwire::flags {
namespace {

constexpr int kBadUsage = 2;

// Of the last command line; a program has one, which it reads before it starts threads.
struct LastLine {
  std::vector<std::string> remarks, problems;
  std::vector<std::pair<std::string, std::string>> from_variables;  // Flags with their variables.
  std::vector<std::pair<std::string, std::string>> files;           // Flags with their paths.
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

// Kubernetes describes each service of a namespace to its pods: a service named `metrics` becomes
// METRICS_PORT=tcp://10.0.0.1:9090.
bool DescribesService(const std::string& name, const std::string& value) {
  if (!absl::EndsWith(name, "_PORT")) return false;
  return absl::StartsWith(value, "tcp://") || absl::StartsWith(value, "udp://") || absl::StartsWith(value, "sctp://");
}

// Without what is no part of a value; what people should know of that is remarked.
std::string TidyValue(const std::string& name, const std::string& text) {
  Tidied tidied = Tidy(text);
  if (tidied.had_quotes) {
    Last().remarks.push_back(name + ": its value is in quotes, which are left out; write it without them");
  } else if (tidied.open_quote) {
    Last().remarks.push_back(name + ": its value has a quote at one end alone, which is taken as a part of it");
  }
  return std::move(tidied.value);
}

// Its value, as CLI11 will read it; empty: as if it was not set.
std::string TidyVariable(const std::string& name) {
  const char* const raw = std::getenv(name.c_str());
  if (raw == nullptr) return "";
  const std::string text(raw);
  std::string value = TidyValue(name, text);
  if (DescribesService(name, value)) {
    Last().remarks.push_back(absl::StrCat(
        name, "=", ShownValue(value), " is passed over: Kubernetes sets it for a service of that name; set ",
        "enableServiceLinks: false in the pod, or rename the service"));
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

// CLI11 keeps nothing else that is ours with an option: the names of its checks, of which those are always content that
// only say something of the option.
constexpr char kMayHavePassword[] = "may have a password: ";  // Behind it is the variable.
constexpr char kIsFile[] = "is a file";
constexpr char kOurCheck[] = "our check";
// What CLI11 puts between a flag's name and our message becomes NAME=VALUE by it.
constexpr char kShowsValue[] = ": \x01=";

std::vector<CLI::Validator*> ValidatorsOf(CLI::Option* option) {
  std::vector<CLI::Validator*> all;
  try {
    for (int i = 0;; ++i) all.push_back(option->get_validator(i));
  } catch (const CLI::OptionNotFound&) {
    return all;
  }
}

// Empty: it may not have one.
std::string VariableForPassword(CLI::Option* option) {
  for (const CLI::Validator* one : ValidatorsOf(option)) {
    const std::string name = one->get_name();
    if (absl::StartsWith(name, kMayHavePassword)) return name.substr(sizeof kMayHavePassword - 1);
  }
  return "";
}

bool Has(CLI::Option* option, const char* validator) {
  const auto all = ValidatorsOf(option);
  return std::any_of(all.begin(), all.end(), [&](const CLI::Validator* one) { return one->get_name() == validator; });
}

// Where `name` stands in the message as a word, from `from` on.
size_t FindName(const std::string& message, const std::string& name, size_t from = 0) {
  for (size_t at = message.find(name, from); at != std::string::npos; at = message.find(name, at + 1)) {
    const size_t end = at + name.size();
    const auto is_of_name = [](char c) {
      return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_';
    };
    if ((at == 0 || !is_of_name(message[at - 1])) && (end == message.size() || !is_of_name(message[end]))) return at;
  }
  return std::string::npos;
}

// The path of a file that is named wrongly may be what should be in the file.
std::string FileProblem(const std::string& path) {
  if (absl::StrContains(path, "-----BEGIN") || absl::StrContains(path, "\n")) {
    return "it is what should be in the file; give the file's path";
  }
  return std::string(WatchedFile(path).CanBeRead().message());
}

// CLI11 would read 010 as octal and 0x10 as hexadecimal.
std::string TakeDecimal(std::string& text) {
  const bool has_sign = !text.empty() && (text[0] == '-' || text[0] == '+');
  const std::string digits = text.substr(has_sign ? 1 : 0);
  const bool is_number = !digits.empty() && std::all_of(digits.begin(), digits.end(), absl::ascii_isdigit);
  if (!is_number) {
    const bool begins_as_one = absl::ascii_isdigit(static_cast<unsigned char>(digits[0]));
    return begins_as_one ? ShownValue(text) + " is no decimal number" : "";
  }
  const size_t first = std::min(digits.find_first_not_of('0'), digits.size() - 1);
  text = (text[0] == '-' ? "-" : "") + digits.substr(first);
  return "";
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
  return Flag(app->add_option(name, *value, help)
                  ->check(CLI::Range(low, high))
                  ->transform(CLI::Validator(TakeDecimal, ""))
                  ->capture_default_str());
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
  const auto ours = [check = std::move(check)](std::string& value) { return check(value); };
  return Flag(option_->check(CLI::Validator(ours, "", kOurCheck)));
}
Flag Flag::CheckShown(std::function<std::string(const std::string&)> check) const {
  return Check([check = std::move(check)](const std::string& value) {
    const std::string problem = check(value);
    return problem.empty() ? problem : absl::StrCat(kShowsValue + 2, ShownValue(value), ": ", problem);
  });
}
Flag Flag::Utf8() const {
  return CheckShown([](const std::string& value) { return std::string(json::IsUtf8(value) ? "" : "not UTF-8"); });
}
Flag Flag::File() const {
  return Flag(option_->check(CLI::Validator([](std::string&) { return std::string(); }, "", kIsFile)));
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
  return Flag(app->add_option_function<int>(name, write, help)
                  ->check(CLI::Range(low, high))
                  ->transform(CLI::Validator(TakeDecimal, ""))
                  ->default_str(std::to_string(ms)));
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

std::string Variable(const std::string& name, const std::string& flag) {
  std::string value = TidyVariable(name);
  if (!value.empty() && !flag.empty()) Last().from_variables.emplace_back(flag, name);
  return value;
}

std::optional<std::string> TakeVariable(const std::string& name) {
  char* const value = std::getenv(name.c_str());
  if (value == nullptr) return std::nullopt;
  std::string taken = TidyValue(name, value);
  explicit_bzero(value, std::strlen(value));
  unsetenv(name.c_str());
  return taken;
}

std::vector<std::string> FileProblems() {
  std::vector<std::string> problems;
  for (const auto& [flag, path] : Last().files) {
    const std::string problem = FileProblem(path);
    if (!problem.empty()) problems.push_back(ShownMessage(absl::StrCat(flag, ": ", problem)));
  }
  return problems;
}

std::optional<Ending> EndForFiles(const std::string& name) {
  const std::vector<std::string> problems = FileProblems();
  if (problems.empty()) return std::nullopt;
  return Ending{kBadUsage, "", absl::StrCat(name, ": ", absl::StrJoin(problems, "\n  "), "\n")};
}

std::vector<std::string> TakeRemarks() { return std::exchange(Last().remarks, {}); }

std::vector<std::string> TakeProblems() { return std::exchange(Last().problems, {}); }

std::string NamingVariables(std::string message) {
  std::vector<std::string> whose;
  for (const auto& [flag, variable] : Last().from_variables) {
    for (size_t at = FindName(message, flag); at != std::string::npos; at = FindName(message, flag, at + 1)) {
      message.replace(at, flag.size(), variable);
    }
  }
  for (const auto& [flag, path] : Last().files) {
    std::string name = flag;
    for (const auto& [its_flag, variable] : Last().from_variables) name = its_flag == flag ? variable : name;
    const bool is_of_file = FindName(message, path) == 0 || absl::StartsWith(message, "cannot read " + path);
    if (is_of_file && FindName(message, name) == std::string::npos) whose.push_back(name);
  }
  return whose.empty() ? message : absl::StrCat(absl::StrJoin(whose, ", "), ": ", message);
}

std::string WithVariables(CLI::App* app, std::string message) {
  for (CLI::Option* option : app->get_options({})) {
    if (option->get_envname().empty() || option->get_lnames().empty()) continue;
    const std::string flag = option->get_name(), both = absl::StrCat(option->get_envname(), " (", flag, ")");
    for (size_t at = FindName(message, flag); at != std::string::npos; at = FindName(message, flag, at + both.size())) {
      message.replace(at, flag.size(), both);
    }
  }
  return message;
}

std::string ShownMessage(const std::string& message) { return ShownLines(WithoutPasswords(NamingVariables(message))); }

namespace {

// CLI11 repeats a value as it is, in its messages: how long it may be, and that it has new lines, it leaves open.
std::string WithShownValues(std::string message, const std::vector<std::string>& words) {
  std::vector<std::string> values = words;
  for (const std::string& word : words) {
    if (const size_t equals = word.find('='); equals != std::string::npos) values.push_back(word.substr(equals + 1));
  }
  for (const auto& [flag, variable] : Last().from_variables) {
    if (const char* const value = std::getenv(variable.c_str())) values.emplace_back(value);
  }
  for (const std::string& value : values) {
    const std::string shown = ShownValue(value);
    if (shown == value) continue;
    for (size_t at = message.find(value); at != std::string::npos; at = message.find(value, at + shown.size())) {
      message.replace(at, value.size(), shown);
    }
  }
  return message;
}

// What the flags of the chosen commands were given that are files.
void NoteFiles(const std::vector<CLI::App*>& chosen) {
  for (CLI::App* app : chosen) {
    for (CLI::Option* option : app->get_options({})) {
      if (!Has(option, kIsFile)) continue;
      for (const std::string& path : option->results()) {
        if (!path.empty()) Last().files.emplace_back(option->get_name(), path);
      }
    }
  }
}

void LeaveOutChecks(const std::vector<CLI::App*>& chosen) {
  for (CLI::App* app : chosen) {
    for (CLI::Option* option : app->get_options({})) {
      for (CLI::Validator* one : ValidatorsOf(option)) {
        if (one->get_name() == kOurCheck) one->active(false);
      }
    }
  }
}

}  // namespace

std::optional<Ending> CommandLine::Parse(int argc, const char* const* argv) {
  Last() = {};
  const std::vector<std::string> words(argv + std::min(argc, 1), argv + argc);
  const std::vector<CLI::App*> chosen = Chosen(app_.get(), words);
  ReadEnvironment(app_.get(), chosen, words);
  try {
    app_->parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    std::ostringstream out, err;
    const int status = app_->exit(error, out, err);
    if (status == 0) return Ending{0, out.str(), err.str()};
    std::string message = err.str();
    if (const size_t at = message.find(kShowsValue); at != std::string::npos) {
      message.replace(at, sizeof kShowsValue - 1, "=");
    }
    return Ending{kBadUsage, out.str(), ShownMessage(WithShownValues(std::move(message), words))};
  }
  NoteFiles(chosen);
  return std::nullopt;
}

std::optional<Ending> CommandLine::ParseAll(int argc, const char* const* argv, bool runs_checks) {
  if (!runs_checks) LeaveOutChecks(Chosen(app_.get(), {argv + std::min(argc, 1), argv + argc}));
  std::vector<std::string> remarks, problems;
  while (true) {
    auto ending = Parse(argc, argv);
    // What was tidied once is tidy.
    remarks.insert(remarks.end(), Last().remarks.begin(), Last().remarks.end());
    Last().remarks = remarks;
    Last().problems = problems;
    if (!ending || ending->status == 0) return ending;
    problems.push_back(ending->err.substr(0, ending->err.find('\n')));
    const auto& known = Last().from_variables;
    const auto wrong = std::find_if(known.begin(), known.end(), [&](const auto& one) {
      return FindName(problems.back(), one.second) != std::string::npos;
    });
    if (wrong == known.end()) return ending;
    unsetenv(wrong->second.c_str());
  }
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
