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

}  // namespace
}  // namespace toolwire
