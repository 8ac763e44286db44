// Which of the values that Toolwire writes a table refuses: by the labels of an enum, a domain, a CHECK.
#ifndef TOOLWIRE_COMMON_STORE_PG_REFUSALS_H_
#define TOOLWIRE_COMMON_STORE_PG_REFUSALS_H_

#include <string>
#include <vector>

#include "common/store/pg_connections.h"
#include "common/store/pg_schema.h"

namespace toolwire {

// Sentences for operators, each with the column or the constraint and what to do. Writes nothing: the server is asked
// what it makes of the values, so a constraint may be of any form; one that uses other columns than Toolwire's is
// passed over, as their values are not known.
struct PgRefusals {
  std::vector<std::string> sentences;
  bool all = true;  // False: others held a table locked, or the server was slow; who asks again later may learn more.
};
// Throws as PgSession does if the connection breaks. A CHECK can only be read with a lock of its table, which others may
// hold for long: takes a second or two at the most, and yet is nothing that a login should wait for.
PgRefusals FindPgRefusals(PgSession& session, const PgTables& tables);

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_STORE_PG_REFUSALS_H_
