// Codes are judged by their first two characters, a class of PostgreSQL's, and a few by all five. What is unknown is
// taken to be the store's fault: then nothing is dropped.

#include "common/store/pg_errors.h"

#include <algorithm>
#include <initializer_list>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"

namespace toolwire {
namespace {

// Names of a status' payloads.
constexpr char kSqlState[] = "sqlstate";
constexpr char kLacksPartition[] = "lacks partition";
constexpr size_t kSqlStateBytes = 5;

bool IsOneOf(std::string_view text, std::initializer_list<std::string_view> all) {
  return std::find(all.begin(), all.end(), text) != all.end();
}

std::string_view ClassOf(std::string_view sqlstate) { return sqlstate.substr(0, 2); }

// Messages that name only tables, columns, files and the like. Those of other codes may quote values of rows.
bool MayBeTold(std::string_view sqlstate) {
  return IsOneOf(ClassOf(sqlstate), {"08", "0A", "23", "25", "28", "3D", "3F", "40", "42", "44", "53", "54", "55", "57",
                                     "58"}) ||
         IsOneOf(sqlstate, {"22001", "XX001", "XX002"});
}

// In place of words that may not.
const char* MeaningOf(std::string_view sqlstate) {
  if (sqlstate == "22003") return "a number out of the column's range";
  if (sqlstate == "22P02") return "a text that the column's type does not take";
  if (sqlstate == "22P05") return "a character that the database's encoding lacks";
  if (sqlstate == "22021") return "a text that is none in the database's encoding";
  if (ClassOf(sqlstate) == "22") return "a value that the column does not take";
  if (ClassOf(sqlstate) == "P0") return "raised by a trigger or function of the database";
  if (ClassOf(sqlstate) == "XX") return "an internal error of the server";
  return "";
}

absl::StatusCode CodeOf(std::string_view sqlstate) {
  if (sqlstate == "23505") return absl::StatusCode::kAlreadyExists;
  if (IsOneOf(ClassOf(sqlstate), {"P0", "XX"})) return absl::StatusCode::kInternal;
  const bool of_value = StoreFaultOf(sqlstate) == StoreFault::kRowRefused;
  return of_value ? absl::StatusCode::kInvalidArgument : absl::StatusCode::kUnavailable;
}

}  // namespace

StoreFault StoreFaultOf(std::string_view sqlstate) {
  if (sqlstate.empty()) return StoreFault::kAway;
  if (IsOneOf(sqlstate, {"53100", "58030"})) return StoreFault::kStoreRefused;  // The disk.
  // Connections, transactions (a standby may only be read), passwords, databases, conflicts, resources, locks, people.
  if (IsOneOf(ClassOf(sqlstate), {"08", "25", "28", "3D", "40", "53", "57"}) || IsOneOf(sqlstate, {"55P03", "55006"})) {
    return StoreFault::kAway;
  }
  // Types, constraints, views' checks, limits of a value, triggers.
  if (IsOneOf(ClassOf(sqlstate), {"22", "23", "44", "54", "P0"})) return StoreFault::kRowRefused;
  return StoreFault::kStoreRefused;
}

StoreFault StoreFaultOf(const absl::Status& status) {
  if (status.GetPayload(kLacksPartition)) return StoreFault::kStoreRefused;
  if (const std::string sqlstate = SqlState(status); !sqlstate.empty()) return StoreFaultOf(sqlstate);
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kResourceExhausted:
      return StoreFault::kAway;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kOutOfRange:
      return StoreFault::kRowRefused;
    default:
      return StoreFault::kStoreRefused;
  }
}

const char* StoreFaultWord(StoreFault fault) {
  switch (fault) {
    case StoreFault::kAway:
      return "away";
    case StoreFault::kRowRefused:
      return "row refused";
    case StoreFault::kStoreRefused:
      return "store refused";
  }
  return "";
}

PgError::PgError(std::string_view text) {
  const std::string_view line = text.substr(0, text.find('\n'));
  constexpr std::string_view kAfterSeverity = ":  ";
  const size_t severity = line.find(kAfterSeverity);
  if (severity == std::string_view::npos) return;
  const std::string_view rest = line.substr(severity + kAfterSeverity.size());
  if (rest.size() < kSqlStateBytes + 2 || rest.substr(kSqlStateBytes, 2) != ": ") return;
  sqlstate = std::string(rest.substr(0, kSqlStateBytes));
  lacks_partition = sqlstate == "23514" && text.find("CONSTRAINT NAME:") == std::string_view::npos;
  words = absl::StrCat("SQLSTATE ", sqlstate);
  const std::string_view told = MayBeTold(sqlstate) ? rest.substr(kSqlStateBytes + 2) : MeaningOf(sqlstate);
  if (!told.empty()) absl::StrAppend(&words, ", ", std::string(told));
}

absl::Status PgStatus(const char* doing, const PgError& error) {
  absl::Status status(CodeOf(error.sqlstate), absl::StrCat(doing, ": ", error.words));
  if (!error.sqlstate.empty()) status.SetPayload(kSqlState, absl::Cord(error.sqlstate));
  if (error.lacks_partition) status.SetPayload(kLacksPartition, absl::Cord());
  return status;
}

std::string SqlState(const absl::Status& status) {
  return std::string(status.GetPayload(kSqlState).value_or(absl::Cord()));
}

bool IsUnstorableValue(const absl::Status& status) { return ClassOf(SqlState(status)) == "22"; }

bool IsStatementTimeout(const absl::Status& status) { return SqlState(status) == "57014"; }

bool IsLockTimeout(const absl::Status& status) { return SqlState(status) == "55P03"; }

}  // namespace toolwire
