// A flag is added to CLI11 with its default, range and variable, so that --help shows them, and described again from
// what CLI11 holds: completion and suggestions need no list of their own. A wrong command line is explained by CLI11
// or, for words that it does not know, by the caller.

#include "common/base/flags.h"

#include <CLI/CLI.hpp>
#include <chrono>
#include <iostream>
#include <sstream>
#include <utility>

#include "absl/strings/str_split.h"

namespace toolwire::flags {
namespace {

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
Flag Flag::OneOf(const std::vector<std::string>& choices) const { return Flag(option_->check(CLI::IsMember(choices))); }
Flag Flag::Check(std::function<std::string(const std::string&)> check) const {
  return Flag(option_->check(std::move(check)));
}
Flag Flag::Excludes(const Flag& other) const { return Flag(option_->excludes(other.option_)); }
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

void VersionFlag(CLI::App* app, const std::string& version) { app->set_version_flag("--version", version); }

CLI::App* Subcommand(CLI::App* app, const std::string& name, const std::string& help) {
  return app->add_subcommand(name, help);
}

void RequireSubcommand(CLI::App* app) { app->require_subcommand(1); }
void Footer(CLI::App* app, const std::string& text) { app->footer(text); }
void OnChosen(CLI::App* app, std::function<void()> call) { app->callback(std::move(call)); }

int Ending::Print() const {
  std::cout << out << std::flush;
  std::cerr << err << std::flush;
  return status;
}

CommandLine::CommandLine(const std::string& description, const std::string& name)
    : app_(std::make_unique<CLI::App>(description, name)) {}
CommandLine::~CommandLine() = default;

std::optional<Ending> CommandLine::Parse(int argc, const char* const* argv) {
  try {
    app_->parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    std::ostringstream out, err;
    const int status = app_->exit(error, out, err);
    return Ending{status, out.str(), err.str()};
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
