#include "common/store/store_options.h"

#include <gtest/gtest.h>

#include "tests/support/command_line.h"

namespace toolwire {
namespace {

class StoreOptionsTest : public ::testing::Test {
 protected:
  // Whatever the environment of the test run holds.
  void SetUp() override {
    for (const char* name : {"TOOLWIRE_DATA_DIR", "DATABASE_URL", "DATABASE_REQUIRED", "DATABASE_CONNECTIONS_MAX"})
      unsetenv(name);
  }

  StoreOptions options_;
  const AddFlags add_ = [this](CLI::App* app) {
    AddStoreFlags(app, &options_);
    AddDatabaseFlags(app, &options_);
  };
};

TEST_F(StoreOptionsTest, DefaultsAreTheDocumentedOnes) {
  ASSERT_TRUE(ParseFlags(add_, {}));
  EXPECT_EQ(options_.audit_json_bytes_max, 64u << 10);
  EXPECT_EQ(options_.audit_spool_bytes_max, 1u << 30);
}

TEST_F(StoreOptionsTest, FlagsSetWhatTheyName) {
  ASSERT_TRUE(ParseFlags(add_, {"--data-dir=d24", "--audit-json-bytes-max=250", "--audit-spool-bytes-max=2000000",
                                "--database-url=postgresql://u26", "--database-connections-max=19"}));
  EXPECT_EQ(options_.data_dir, "d24");
  EXPECT_EQ(options_.audit_json_bytes_max, 250u);
  EXPECT_EQ(options_.audit_spool_bytes_max, 2000000u);
  EXPECT_EQ(options_.database.url, "postgresql://u26");
  EXPECT_EQ(options_.database.connections_max, 19);
}

TEST_F(StoreOptionsTest, EnvironmentOfTheReplacedServerIsRead) {
  const EnvironmentVariable database("DATABASE_URL", "postgresql://localhost/db");
  ASSERT_TRUE(ParseFlags(add_, {}));
  EXPECT_EQ(options_.database.url, "postgresql://localhost/db");
}

TEST_F(StoreOptionsTest, EndOfALineIsNoPartOfAUrl) {
  const EnvironmentVariable database("DATABASE_URL", "postgresql://localhost/db\n");
  ASSERT_TRUE(ParseFlags(add_, {}));
  EXPECT_EQ(options_.database.url, "postgresql://localhost/db");
  const EnvironmentVariable required("DATABASE_REQUIRED", "true"), empty("DATABASE_URL", "\n");
  options_ = StoreOptions();
  ASSERT_TRUE(ParseFlags(add_, {}));
  EXPECT_FALSE(Validate(options_).ok());
}

TEST_F(StoreOptionsTest, NumbersOutsideTheirBoundsAreRefused) {
  ExpectBounds(add_, {{"--database-connections-max", 1, 20},
                      {"--audit-json-bytes-max", 64, 16 << 20},
                      {"--audit-spool-bytes-max", 1 << 20, int64_t{1} << 40}});
}

TEST_F(StoreOptionsTest, NoStoreOfItsOwnIsOpenedWhereADatabaseIsRequired) {
  const EnvironmentVariable required("DATABASE_REQUIRED", "true"), empty("DATABASE_URL", "");
  ASSERT_TRUE(ParseFlags(add_, {}));
  EXPECT_EQ(Validate(options_).message(), "DATABASE_URL is empty, and --database-required (DATABASE_REQUIRED) is set");
  options_.database.url = "postgresql://localhost/db";
  EXPECT_TRUE(Validate(options_).ok());
}

TEST_F(StoreOptionsTest, StoreNeedsADirectory) {
  EXPECT_TRUE(Validate(options_).ok());
  options_.data_dir = "";
  EXPECT_FALSE(Validate(options_).ok());
}

}  // namespace
}  // namespace toolwire
