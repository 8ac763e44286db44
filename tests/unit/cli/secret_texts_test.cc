#include "cli/agent/secret_texts.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace toolwire {
namespace {

TEST(SecretTextsTest, EachOfThemIsFoundWhereverItStands) {
  std::vector<std::string> secrets;
  for (int i = 0; i < 1000; ++i) secrets.push_back("0123456789abcdef" + std::to_string(i) + "end");
  secrets.push_back("0123456789abcdeX");
  const SecretTexts texts(secrets);
  for (const std::string& secret : secrets) {
    EXPECT_TRUE(texts.AreIn(secret));
    EXPECT_TRUE(texts.AreIn("user " + secret + "\n"));
    EXPECT_TRUE(texts.AreIn(std::string(4099, 'x') + secret));
    EXPECT_FALSE(texts.AreIn(secret.substr(1)));
    EXPECT_FALSE(texts.AreIn(secret.substr(0, secret.size() - 1)));
  }
  EXPECT_FALSE(texts.AreIn(""));
  EXPECT_FALSE(texts.AreIn("0123456789abcdef1000end"));
}

TEST(SecretTextsTest, ShortTextsAreNone) {
  const SecretTexts texts({"", "password", "fifteen bytes.."});
  EXPECT_FALSE(texts.AreIn("password fifteen bytes.."));
  EXPECT_FALSE(SecretTexts().AreIn("anything at all, and more"));
}

}  // namespace
}  // namespace toolwire
