// The database URL: what it holds, where it leads, and how well the way there is protected.
#ifndef TOOLWIRE_COMMON_STORE_PG_URL_H_
#define TOOLWIRE_COMMON_STORE_PG_URL_H_

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace toolwire {

// What a URL sets, by libpq's keywords, such as `sslmode`.
using PgSettings = std::map<std::string, std::string>;

// Reads a libpq URI or key=value list. INVALID_ARGUMENT if it is none, has an sslmode that libpq does not know, or
// names an encrypted key without its passphrase, for which nobody is asked. The message repeats none of it, but for the
// name of the key's file, and of a parameter or scheme that libpq does not know. `*passed_over`, unless null: the
// parameters in it that mean something to other libraries alone, such as Prisma's pgbouncer and connection_limit.
absl::StatusOr<PgSettings> ReadPgUrl(const std::string& url, std::vector<std::string>* passed_over = nullptr);

// host:port/dbname, for people.
std::string PgAddress(const PgSettings& settings);

// Adds which hosts libpq's environment variables and PGSERVICE name, where the settings do not say.
void AddHostsOfEnvironment(PgSettings* settings);
// The settings for each host that these name, in their order; these, where libpq has to find out which there are or to
// say what is wrong with their lists.
std::vector<PgSettings> PgHosts(const PgSettings& settings);
// Whether they may be tried in any order: those of a URL that says which kind of server is wanted, by
// target_session_attrs. Where it does not, their order says so.
bool PgHostsInAnyOrder(const PgSettings& settings);

// What the settings, libpq's environment variables (PGSSLMODE, PGHOST, ...) and its default files promise about each
// connection.
struct PgProtection {
  // What the server must show.
  enum class Server {
    kAnybody,     // Nothing, or any certificate.
    kAuthority,   // A certificate of the CA, whatever it names.
    kNamedInUrl,  // One that names the host of the URL, too.
  };
  Server server = Server::kAnybody;
  bool encrypts = false;         // Always. Else whoever stands in the way may prevent it.
  bool on_this_machine = false;  // Over Unix sockets or the loopback interface.
  std::string sslmode;
};
PgProtection ProtectionOf(const PgSettings& settings);

// Why others may read or change what is said on the way, in plain words; empty: nothing is known to be wrong. On this
// machine nobody can.
std::string RisksOf(const PgProtection& protection);
// What to do about them.
inline constexpr char kPgUrlAdvice[] = "add sslmode=verify-full&sslrootcert=CA_FILE to DATABASE_URL (docs/tls.md)";

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_STORE_PG_URL_H_
