// Flags, positionals and subcommands of a command line, for files that do not include CLI11: its header costs seconds
// of compiling.
#ifndef TOOLWIRE_COMMON_BASE_FLAGS_H_
#define TOOLWIRE_COMMON_BASE_FLAGS_H_

#include <cstddef>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "common/base/clock.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace toolwire::flags {

inline constexpr int kMaxInt = std::numeric_limits<int>::max();

// One flag or positional that was just added, to say more of it.
class Flag {
 public:
  explicit Flag(CLI::Option* option) : option_(option) {}
  // Read from this variable of the environment if the command line does not have it.
  Flag Env(const std::string& name) const;
  Flag Required() const;
  Flag OneOf(const std::vector<std::string>& choices) const;
  // `check` returns what is wrong with a value, or nothing.
  Flag Check(std::function<std::string(const std::string& value)> check) const;
  // Not together with `other`.
  Flag Excludes(const Flag& other) const;
  // The default is not shown in --help.
  Flag HideDefault() const;

 private:
  CLI::Option* option_;
};

// `name` is "--flag", or "word" for a positional. `*value` holds the default, is written by the parser and outlives
// it. Numbers outside [low, high] are refused.
Flag Text(CLI::App* app, const std::string& name, std::string* value, const std::string& help);
Flag Texts(CLI::App* app, const std::string& name, std::vector<std::string>* values, const std::string& help);
Flag Number(CLI::App* app, const std::string& name, int* value, int low, int high, const std::string& help);
Flag Number(CLI::App* app, const std::string& name, size_t* value, size_t low, size_t high, const std::string& help);
Flag Milliseconds(CLI::App* app, const std::string& name, Duration* value, int low, int high, const std::string& help);
Flag Port(CLI::App* app, const std::string& name, int* value, const std::string& help);
// True if the flag is there. "--x,!--no-x" can also be switched off.
Flag Switch(CLI::App* app, const std::string& name, bool* value, const std::string& help);

CLI::App* Subcommand(CLI::App* app, const std::string& name, const std::string& help);
// Without one of its subcommands the command is refused.
void RequireSubcommand(CLI::App* app);
// The text below the flags in --help.
void Footer(CLI::App* app, const std::string& text);
// Called when the command line names this command and is right.
void OnChosen(CLI::App* app, std::function<void()> call);

}  // namespace toolwire::flags

#endif  // TOOLWIRE_COMMON_BASE_FLAGS_H_
