// Connecting to PostgreSQL at any of the hosts that a URL names, in a time that all of them share.
#ifndef TOOLWIRE_COMMON_STORE_PG_DIAL_H_
#define TOOLWIRE_COMMON_STORE_PG_DIAL_H_

#include <functional>
#include <memory>
#include <pqxx/pqxx>
#include <string>

#include "common/base/clock.h"
#include "common/store/pg_url.h"

namespace toolwire {

// A connection that never connects again by itself.
class PgConnection : public pqxx::connection_base {
 public:
  virtual ~PgConnection() = default;
  // What libpq says of the statement that has just failed: pqxx forgets the server's words when the connection broke.
  virtual std::string Failure() const = 0;

 protected:
  using pqxx::connection_base::connection_base;
};

// Connects to the first host that can be reached: to the next one when one refuses, fails, or has been silent for its
// share of `timeout`, and so with the addresses of a name. Over at `end`, which is asked now and then and may come
// nearer meanwhile. To look a name up takes as long as the system lets it, and none of `timeout`. Throws
// pqxx::broken_connection with libpq's lines about all of them. `host`: which of PgHosts is tried first, where their
// order is free (PgHostsInAnyOrder); then, which it is, of use there alone.
std::shared_ptr<PgConnection> DialPg(const PgSettings& settings, Duration timeout,
                                     const std::function<MonoTime()>& end, size_t* host);

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_STORE_PG_DIAL_H_
