#include "cli/suggestion.h"

#include <gtest/gtest.h>

namespace toolwire {
namespace {

TEST(SuggestionTest, FindsWhatWasMeant) {
  const std::vector<std::string> commands = {"agent", "agents", "call", "completion", "credentials", "doctor", "watch"};
  EXPECT_EQ(Nearest("cal", commands), "call");
  EXPECT_EQ(Nearest("clal", commands), "call");
  EXPECT_EQ(Nearest("calll", commands), "call");
  EXPECT_EQ(Nearest("docter", commands), "doctor");
  EXPECT_EQ(Nearest("wacht", commands), "watch");
  EXPECT_EQ(Nearest("cred", commands), "credentials");
  EXPECT_EQ(Nearest("agnets", commands), "agents");
}

TEST(SuggestionTest, DoesNotGuessWildly) {
  EXPECT_EQ(Nearest("serve", {"call", "watch"}), "");
  EXPECT_EQ(Nearest("x", {"call", "watch"}), "");
  EXPECT_EQ(Nearest("", {"call"}), "");
}

TEST(SuggestionTest, ExplainsTheFirstUnknownWord) {
  flags::Described program{"toolwire", "", {{"--help", "", false, {}}}, {}};
  program.commands.push_back({"call", "", {{"--json", "", false, {}}, {"--timeout", "", true, {}}}, {}});
  const auto explained = [&](const std::vector<std::string>& words) { return ExplainUnknown(program, words); };
  EXPECT_EQ(explained({"cal", "--jsn"}), "toolwire: there is no command cal; did you mean call?");
  EXPECT_EQ(explained({"call", "user", "--jsn=1"}), "toolwire call: there is no flag --jsn; did you mean --json?");
  EXPECT_EQ(explained({"call", "--timeout", "--x", "--nothing"}),
            "toolwire call: there is no flag --nothing; see toolwire call --help");
  EXPECT_EQ(explained({"call", "--timeout=5", "-h", "user", "--", "--x"}), "");
}

}  // namespace
}  // namespace toolwire
