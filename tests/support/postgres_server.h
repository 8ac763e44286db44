// A PostgreSQL server of a test program's own: a new cluster in a temporary directory, on a free port of 127.0.0.1.
#ifndef TOOLWIRE_TESTS_SUPPORT_POSTGRES_SERVER_H_
#define TOOLWIRE_TESTS_SUPPORT_POSTGRES_SERVER_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

struct pg_conn;  // libpq's

namespace toolwire {

class PostgresServer {
 public:
  // The server of this program, started when it is first asked for. Null where PostgreSQL is not installed.
  static PostgresServer* Shared();

  // Null where it is not installed. What else goes wrong ends the program.
  static std::unique_ptr<PostgresServer> Start();
  ~PostgresServer();
  PostgresServer(const PostgresServer&) = delete;
  PostgresServer& operator=(const PostgresServer&) = delete;

  // A new, empty database; returns its URL, which holds the password "hunter2".
  std::string NewDatabase();

  // Ends all connections and the server; Resume starts it again, with its data and on its port.
  void Stop();
  void Resume();
  // Stops and continues the processes as a frozen machine would: connections stay, and nothing answers.
  void Freeze();
  void Thaw();

  // What the server has logged.
  std::string Log() const;

 private:
  explicit PostgresServer(std::string bin);
  void ForAll(void (*act)(pid_t));  // The server first, so that it makes no more processes.
  pid_t Spawn(const std::vector<std::string>& command) const;
  std::string Url(const std::string& database) const;

  const std::string bin_;
  std::string directory_;
  int port_ = 0;
  pid_t pid_ = -1;
  int databases_ = 0;
};

using PostgresRows = std::vector<std::vector<std::string>>;

// A connection by hand.
class PostgresClient {
 public:
  explicit PostgresClient(const std::string& url);
  // Runs statements, or one with parameters; the rows of the last one, NULL as "NULL". Its failure is the test's.
  PostgresRows Query(const std::string& sql, const std::vector<std::string>& params = {});
  // One that may fail.
  void Try(const std::string& sql);

 private:
  const std::unique_ptr<pg_conn, void (*)(pg_conn*)> connection_;
};

// The same on a connection of its own.
PostgresRows Query(const std::string& url, const std::string& sql, const std::vector<std::string>& params = {});

}  // namespace toolwire

#endif  // TOOLWIRE_TESTS_SUPPORT_POSTGRES_SERVER_H_
