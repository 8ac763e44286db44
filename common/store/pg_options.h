// How a process uses PostgreSQL.
#ifndef TOOLWIRE_COMMON_STORE_PG_OPTIONS_H_
#define TOOLWIRE_COMMON_STORE_PG_OPTIONS_H_

#include <chrono>
#include <string>

#include "common/base/clock.h"

namespace toolwire {

struct PgOptions {
  std::string url;          // A libpq URI or key=value list. Holds a password: never logged.
  // As many statements at once; all processes share the database's own limit. How kinds of work share them: PgLane.
  int connections_max = 4;
  // Enforced by the server; if that is silent, the connection is cut 2 s later. Also the longest wait for a connection
  // while all are lent.
  Duration statement_timeout = std::chrono::seconds(10);
  // The same of a check of secrets, if that is less; the connection is cut 1 s later. A little less than a login may take:
  // after that nobody waits for the check any more, and others wait behind it.
  Duration check_timeout = std::chrono::milliseconds(4500);
  // For all hosts of the URL together, each of which has its share of it. One that the URL gives counts instead.
  Duration connect_timeout = std::chrono::seconds(5);
  Duration slow_statement = std::chrono::seconds(1);   // Slower ones are logged.
  // How long a statement waits for a lock that somebody else holds. Status: it is tried again soon. Changes: an operator
  // waits for the answer.
  Duration status_lock_timeout = std::chrono::milliseconds(500);
  Duration change_lock_timeout = std::chrono::seconds(3);
};

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_STORE_PG_OPTIONS_H_
