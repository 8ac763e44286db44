// A private redis-server for one test program.
#ifndef TOOLWIRE_TESTS_SUPPORT_REDIS_SERVER_H_
#define TOOLWIRE_TESTS_SUPPORT_REDIS_SERVER_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/registry/redis_client.h"
#include "common/registry/redis_registry.h"

namespace toolwire {

// Listens on a free port of the loopback, keeps nothing on disk, and ends with this object or this process. Tests that
// can do without say so with `if (!RedisServer::Installed()) GTEST_SKIP()`.
class RedisServer {
 public:
  static bool Installed();
  // TLS and nothing else on the port, and for registries the user that docs/tls.md recommends, who may do no more.
  static std::unique_ptr<RedisServer> Protected();

  // Starts it with these further arguments and waits until it answers. With `password`, it wants one.
  explicit RedisServer(std::vector<std::string> args = {}, std::string password = "");
  ~RedisServer();

  int port() const { return port_; }
  // Of a user who may do everything.
  std::string url() const;
  // How a registry reaches it.
  RedisRegistry::Options options() const;

  void Pause();  // Connections stay, nothing is answered.
  void Resume();
  void Stop();   // All data is gone.
  void Start();  // On the same port.

  // Runs a command on a connection of its own and waits for the reply.
  absl::StatusOr<RedisReply> Command(const RedisArgs& args);
  // The same for a command that must succeed; the reply's text or number.
  std::string Text(const RedisArgs& args);
  // A number of the INFO command.
  int64_t Info(const std::string& section, const std::string& field);

 private:
  struct Protection {};
  explicit RedisServer(Protection);
  void MakeCertificates();

  bool is_protected_ = false;
  std::vector<std::string> args_;
  const std::string password_;
  std::string directory_;
  int port_ = 0;
  pid_t pid_ = 0;
  std::unique_ptr<TlsFiles> tls_;
  std::unique_ptr<RedisClient> client_;
};

}  // namespace toolwire

#endif  // TOOLWIRE_TESTS_SUPPORT_REDIS_SERVER_H_
