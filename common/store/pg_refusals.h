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
// passed over, as their values are not known. Throws as PgSession does.
std::vector<std::string> FindPgRefusals(PgSession& session, const PgTables& tables);

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_STORE_PG_REFUSALS_H_
