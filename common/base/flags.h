// Command lines: flags, positionals and subcommands. Only flags.cc includes CLI11, whose header costs seconds of
// compiling.
#ifndef TOOLWIRE_COMMON_BASE_FLAGS_H_
#define TOOLWIRE_COMMON_BASE_FLAGS_H_

#include <cstddef>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
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
  // Read from this variable of the environment if the command line does not have it. White space around it, as of a
  // file that became a variable, and quotes, as of a file of variables, are no part of the value.
  Flag Env(const std::string& name) const;
  Flag Required() const;
  // In any case of letters.
  Flag OneOf(const std::vector<std::string>& choices) const;
  // Reads a value as what `reading` makes of it.
  Flag As(std::function<std::string(const std::string& value)> reading) const;
  // `check` returns what is wrong with a value, or nothing. It may not repeat a secret.
  Flag Check(std::function<std::string(const std::string& value)> check) const;
  // The same of values that are no secrets: the message has the value, NAME=value: what is wrong.
  Flag CheckShown(std::function<std::string(const std::string& value)> check) const;
  // Refuses what is not UTF-8: what goes into a message to control, or into a URL, must be.
  Flag Utf8() const;
  // The path of a file that is read: see FileProblems.
  Flag File() const;
  // Not together with `other`.
  Flag Excludes(const Flag& other) const;
  // White space around the value is no part of it, on the command line neither.
  Flag Trimmed() const;
  // On the command line everybody on the machine can read the password in it; in this variable they cannot.
  Flag MayHavePassword(const std::string& variable) const;
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
// The same, and empty if neither the command line nor the environment says it.
Flag Switch(CLI::App* app, const std::string& name, std::optional<bool>* value, const std::string& help);

// --version prints this.
void VersionFlag(CLI::App* app, const std::string& version);

CLI::App* Subcommand(CLI::App* app, const std::string& name, const std::string& help);
// Without one of its subcommands the command is refused.
void RequireSubcommand(CLI::App* app);
// The text below the flags in --help.
void Footer(CLI::App* app, const std::string& text);
// Called when the command line names this command and is right.
void OnChosen(CLI::App* app, std::function<void()> call);

// Why a program must end before it begins: --help, with status 0, or a command line that is not right.
struct Ending {
  int status;
  std::string out, err;  // For standard output and standard error.
  // Prints both; returns the status.
  int Print() const;
};

// The value of a variable that no flag reads, tidied as those of flags are; empty if it is not set. `flag`: the one that
// it stands for, whose name NamingVariables replaces.
std::string Variable(const std::string& name, const std::string& flag = "");
// The same of a secret, which is wiped from the environment: /proc/PID/environ shows the memory that the process was
// started with.
std::optional<std::string> TakeVariable(const std::string& name);
// Of each File() flag of the last command line, or its variable, that does not name a file which this process can read:
// name and reason. Reads nothing of the files.
std::vector<std::string> FileProblems();
// For a program, or command, of this name that must not begin because of them.
std::optional<Ending> EndForFiles(const std::string& name);
// What people should know of how the last command line was read, each as a sentence: values of variables that were not
// taken as they stand, passwords that others can read. Returns each once.
std::vector<std::string> TakeRemarks();
// What was wrong with the variables that ParseAll passed over, each as NAME: what is wrong. Returns each once.
std::vector<std::string> TakeProblems();
// `message` with the variable's name for each flag whose value came from it, such as PORT for --port. If it begins with
// the path of a File() flag, or says that this cannot be read, that flag's name comes first.
std::string NamingVariables(std::string message);
// `message` with each flag of `app` that has a variable as VARIABLE (--flag).
std::string WithVariables(CLI::App* app, std::string message);
// A message for people as NamingVariables has it, without passwords, and with nothing in it that moves a cursor.
std::string ShownMessage(const std::string& message);

// The command line of one program. What is wrong with it ends the program with status 2.
class CommandLine {
 public:
  explicit CommandLine(const std::string& description, const std::string& name = "");
  ~CommandLine();
  // Where flags and commands are added.
  CLI::App* app() { return app_.get(); }
  // Writes the flags' values. Nothing is returned if all is right.
  std::optional<Ending> Parse(int argc, const char* const* argv);
  // The same, but passes over each variable whose value is wrong: see TakeProblems. Without `runs_checks` the values are
  // written that Check and CheckShown would refuse, for whoever looks at them anyhow.
  std::optional<Ending> ParseAll(int argc, const char* const* argv, bool runs_checks = true);

 private:
  const std::unique_ptr<CLI::App> app_;
};

// What a command line can have, as data.
struct Described {
  struct Flag {
    std::string name;  // "--flag".
    std::string help;
    bool takes_value = false;
    std::vector<std::string> choices;  // Empty: any value.
  };
  std::string name;
  std::string help;
  std::vector<Flag> flags;
  std::vector<Described> commands;
};
Described Describe(CLI::App* app);

}  // namespace toolwire::flags

#endif  // TOOLWIRE_COMMON_BASE_FLAGS_H_
