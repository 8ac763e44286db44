// The one rule for what an error of PostgreSQL means: whose fault it is, and what of the server's words may be told.
#ifndef TOOLWIRE_COMMON_STORE_PG_ERRORS_H_
#define TOOLWIRE_COMMON_STORE_PG_ERRORS_H_

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace toolwire {

enum class StoreFault {
  // The server could not do its work now: not in reach, starting, full of connections, a standby, a lock held too long,
  // a statement that took too long, a password that is wrong by now. Everything waits and is tried again.
  kAway,
  // It refused a value that it was given. Perhaps this row only; perhaps all, as when a column was added that must have
  // a value. Who has neighbours of the row learns it from them: a row is bad only if others are taken.
  kRowRefused,
  // It refuses whatever it is given: tables, rights, disks, damaged pages. Everything waits, and people are told.
  kStoreRefused,
};

// By PostgreSQL's own code of five characters, such as 55P03; empty: the connection broke.
StoreFault StoreFaultOf(std::string_view sqlstate);

// Of a failed call of any store: by its SQLSTATE if it has one, else by its code.
StoreFault StoreFaultOf(const absl::Status& status);

// "away", "row refused", "store refused": for logs.
const char* StoreFaultWord(StoreFault fault);

// What a server said.
struct PgError {
  // `text` is as libpq gives it in its verbose form: "ERROR:  42501: permission denied for table x", then details.
  explicit PgError(std::string_view text);
  std::string sqlstate;  // Empty if there is none in the text.
  // "SQLSTATE 42501, permission denied for table x". The server's words are left out where they may quote values of
  // rows, and its details always are. What the code means stands in their place, if it is known.
  std::string words = "no SQLSTATE";
  // No partition is there for the row. The code is that of a CHECK that it does not meet, which has a name.
  bool lacks_partition = false;
};

// The status of a call that failed with this error; `doing` is what for. Its code: UNAVAILABLE for what passes by
// itself or that an operator mends, INVALID_ARGUMENT and ALREADY_EXISTS for a value, INTERNAL for what may concern one
// row only but is no fault of its values: a trigger that raises, a damaged page.
absl::Status PgStatus(const char* doing, const PgError& error);

// PostgreSQL's own code in such a status; empty if the failure was not a statement's.
std::string SqlState(const absl::Status& status);
// Whether this was a value that the database cannot hold, in its encoding or in the column's type: it is in no row.
bool IsUnstorableValue(const absl::Status& status);
// Whether the statement took longer than it may.
bool IsStatementTimeout(const absl::Status& status);
// Whether it waited longer for a lock than it may.
bool IsLockTimeout(const absl::Status& status);

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_STORE_PG_ERRORS_H_
