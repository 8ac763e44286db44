#include "common/base/tidy.h"

#include <gtest/gtest.h>

#include <string>

namespace toolwire {
namespace {

TEST(TidyTest, WhatIsAroundAValueIsNoPartOfIt) {
  for (const char* text : {"secret", "secret\n", " secret\r\n\n", "\"secret\"", "'secret'\n", "\xef\xbb\xbfsecret",
      "\xef\xbb\xbf\"secret\"\r\n",
                           "\"'secret'\"", "\" secret \"", "\"\xef\xbb\xbfsecret\""}) {
    EXPECT_EQ(Tidy(text).value, "secret") << text;
  }
  EXPECT_TRUE(Tidy("\"x\"").had_quotes);
  EXPECT_FALSE(Tidy(" x ").had_quotes);
  EXPECT_EQ(Tidy("\"\"").value, "");
  EXPECT_EQ(Tidy("").value, "");
}

TEST(TidyTest, WhatIsInsideStays) {
  for (const char* text : {"a \"b\" c", "don't", "a\nb", "\"a", "a'", "\""}) EXPECT_EQ(Tidy(text).value, text);
  EXPECT_TRUE(Tidy("\"a").open_quote);
  EXPECT_TRUE(Tidy("a'\n").open_quote);
  EXPECT_FALSE(Tidy("don't").open_quote);
}

TEST(TidyTest, ByteOrderMarkAtTheBeginningOfAFileIsLeftOut) {
  EXPECT_EQ(WithoutByteOrderMark("\xef\xbb\xbf{}\n"), "{}\n");
  EXPECT_EQ(WithoutByteOrderMark("{}"), "{}");
  EXPECT_EQ(WithoutByteOrderMark("\xef\xbb"), "\xef\xbb");
}

}  // namespace
}  // namespace toolwire
