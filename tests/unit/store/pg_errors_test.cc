#include "common/store/pg_errors.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>

namespace toolwire {
namespace {

PgError ErrorOf(const std::string& sqlstate, const std::string& message = "words") {
  return PgError("ERROR:  " + sqlstate + ": " + message + "\nDETAIL:  Failing row contains (hunter2).");
}

TEST(PgErrorsTest, EachCodeIsTheServersAbsenceTheRowsFaultOrTheStores) {
  for (const char* away : {"", "08006", "08P01", "25006", "25P03", "28P01", "3D000", "40001", "40P01", "53300", "53200",
                           "55P03", "57014", "57P01", "57P03", "57P05"}) {
    EXPECT_EQ(StoreFaultOf(std::string_view(away)), StoreFault::kAway) << away;
  }
  for (const char* row : {"22001", "22003", "22021", "22P02", "22P05", "23502", "23503", "23505", "23514", "44000",
                          "54000", "P0001"}) {
    EXPECT_EQ(StoreFaultOf(std::string_view(row)), StoreFault::kRowRefused) << row;
  }
  for (const char* store : {"0A000", "42501", "42703", "42804", "42P01", "42P10", "53100", "55000", "58030", "58P01",
                            "F0000", "XX000", "XX001", "ZZ999"}) {
    EXPECT_EQ(StoreFaultOf(std::string_view(store)), StoreFault::kStoreRefused) << store;
  }
}

TEST(PgErrorsTest, AStatusKeepsTheCodeTheWordsAndTheFault) {
  const absl::Status status = PgStatus("appending", ErrorOf("42501", "permission denied for table x"));
  EXPECT_EQ(status.message(), "appending: SQLSTATE 42501, permission denied for table x");
  EXPECT_TRUE(absl::IsUnavailable(status));
  EXPECT_EQ(SqlState(status), "42501");
  EXPECT_EQ(StoreFaultOf(status), StoreFault::kStoreRefused);
  EXPECT_STREQ(StoreFaultWord(StoreFaultOf(status)), "store refused");
}

TEST(PgErrorsTest, CodesOfStatusesTellWhatIsTriedAgain) {
  using Code = absl::StatusCode;
  for (const auto& [sqlstate, code] :
       {std::pair("23505", Code::kAlreadyExists), {"23514", Code::kInvalidArgument}, {"22P02", Code::kInvalidArgument},
        {"P0001", Code::kInternal}, {"XX001", Code::kInternal}, {"57014", Code::kUnavailable},
        {"42804", Code::kUnavailable}, {"53100", Code::kUnavailable}, {"25006", Code::kUnavailable}}) {
    EXPECT_EQ(PgStatus("x", ErrorOf(sqlstate)).code(), code) << sqlstate;
  }
}

// Rows of yesterday may be taken while those of today have no partition.
TEST(PgErrorsTest, AMissingPartitionIsTheStoresFaultAndAConstraintThatIsNotMetTheRows) {
  const PgError partition("ERROR:  23514: no partition of relation \"log\" found for row\nDETAIL:  Partition key of the "
                          "failing row contains (created_at) = (2026-11-30).\nSCHEMA NAME:  public\nTABLE NAME:  log");
  EXPECT_EQ(StoreFaultOf(PgStatus("x", partition)), StoreFault::kStoreRefused);
  const PgError check("ERROR:  23514: new row for relation \"log\" violates check constraint \"short\"\nDETAIL:  Failing "
                      "row contains (1).\nSCHEMA NAME:  public\nTABLE NAME:  log\nCONSTRAINT NAME:  short");
  EXPECT_EQ(StoreFaultOf(PgStatus("x", check)), StoreFault::kRowRefused);
}

TEST(PgErrorsTest, WordsThatMayQuoteARowAreNotTold) {
  for (const char* sqlstate : {"22P02", "22P05", "22003", "22021", "22007", "P0001", "XX000"}) {
    const PgError error = ErrorOf(sqlstate, "invalid input: \"hunter2\"");
    EXPECT_EQ(error.words.find("hunter2"), std::string::npos) << error.words;
    EXPECT_NE(error.words.find(", "), std::string::npos) << "what it means is told: " << error.words;
  }
  for (const char* sqlstate : {"22001", "23514", "53100", "XX001"}) {
    const PgError error = ErrorOf(sqlstate, "value too long for type character varying(64)");
    EXPECT_NE(error.words.find("character varying(64)"), std::string::npos) << error.words;
    EXPECT_EQ(error.words.find("hunter2"), std::string::npos) << error.words;
  }
}

TEST(PgErrorsTest, TextWithoutACodeIsTheServersAbsence) {
  for (const char* text : {"", "server closed the connection unexpectedly", "ERROR:  ", "ERROR:  42", "FATAL:  password"}) {
    EXPECT_EQ(PgError(text).sqlstate, "") << text;
    EXPECT_EQ(StoreFaultOf(PgStatus("x", PgError(text))), StoreFault::kAway) << text;
  }
}

TEST(PgErrorsTest, FailuresOfOtherStoresAreJudgedByTheirCodes) {
  EXPECT_EQ(StoreFaultOf(absl::UnavailableError("")), StoreFault::kAway);
  EXPECT_EQ(StoreFaultOf(absl::DeadlineExceededError("")), StoreFault::kAway);
  EXPECT_EQ(StoreFaultOf(absl::InvalidArgumentError("")), StoreFault::kRowRefused);
  EXPECT_EQ(StoreFaultOf(absl::InternalError("")), StoreFault::kStoreRefused);
}

}  // namespace
}  // namespace toolwire
