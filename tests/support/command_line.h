// Parses a command line, or the environment, as a program would.
#ifndef TOOLWIRE_TESTS_SUPPORT_COMMAND_LINE_H_
#define TOOLWIRE_TESTS_SUPPORT_COMMAND_LINE_H_

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "common/base/flags.h"

namespace toolwire {

using AddFlags = std::function<void(CLI::App* app)>;

// False if the command line is refused.
inline bool ParseFlags(const AddFlags& add, const std::vector<std::string>& arguments) {
  flags::CommandLine line("");
  add(line.app());
  std::vector<const char*> argv = {"program"};
  for (const std::string& argument : arguments) argv.push_back(argument.c_str());
  return !line.Parse(static_cast<int>(argv.size()), argv.data());
}

struct FlagBounds {
  const char* flag;
  int64_t low, high;
};

// Each flag takes numbers from its lowest to its highest, and nothing else.
inline void ExpectBounds(const AddFlags& add, const std::vector<FlagBounds>& all) {
  for (const FlagBounds& row : all) {
    const auto accepts = [&](const std::string& value) {
      return ParseFlags(add, {std::string(row.flag) + "=" + value});
    };
    EXPECT_TRUE(accepts(std::to_string(row.low))) << row.flag;
    EXPECT_FALSE(accepts(std::to_string(row.low - 1))) << row.flag;
    EXPECT_TRUE(accepts(std::to_string(row.high))) << row.flag;
    EXPECT_FALSE(accepts(std::to_string(row.high + 1))) << row.flag;
    for (const char* value : {"x", "1.5", ""}) EXPECT_FALSE(accepts(value)) << row.flag << "=" << value;
  }
}

// Sets a variable of the environment while it lives.
class EnvironmentVariable {
 public:
  EnvironmentVariable(const char* name, const char* value) : name_(name) { setenv(name, value, 1); }
  ~EnvironmentVariable() { unsetenv(name_); }

 private:
  const char* const name_;
};

}  // namespace toolwire

#endif  // TOOLWIRE_TESTS_SUPPORT_COMMAND_LINE_H_
