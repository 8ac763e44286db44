// A PgBouncer of a test's own before the test program's PostgreSQL, with the packaged settings but for its port.
#ifndef TOOLWIRE_TESTS_SUPPORT_PGBOUNCER_H_
#define TOOLWIRE_TESTS_SUPPORT_PGBOUNCER_H_

#include <sys/types.h>

#include <memory>
#include <string>

namespace toolwire {

class PgBouncer {
 public:
  // `pool_mode`: session, as packaged, or transaction. `database_url` as of PostgresServer. Null where PgBouncer is not
  // installed. What else goes wrong ends the program.
  static std::unique_ptr<PgBouncer> Start(const std::string& database_url, const std::string& pool_mode);
  ~PgBouncer();
  PgBouncer(const PgBouncer&) = delete;
  PgBouncer& operator=(const PgBouncer&) = delete;

  // The same database, by way of this.
  std::string url() const;
  // It is killed and started again, on its port.
  void Restart();

 private:
  PgBouncer(std::string database, std::string directory, int port);
  void Run();
  void Kill();

  const std::string database_;
  const std::string directory_;
  const int port_;
  pid_t pid_ = -1;
};

}  // namespace toolwire

#endif  // TOOLWIRE_TESTS_SUPPORT_PGBOUNCER_H_
