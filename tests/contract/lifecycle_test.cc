// What a process sends to the service manager, over a real socket as systemd makes it.
#include "common/process/lifecycle.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <string>

#include "tests/fakes/temp_dir.h"

namespace toolwire {
namespace {

// The service manager's end.
class NotifySocket {
 public:
  // `name`: a path, or @ and an abstract name.
  explicit NotifySocket(const std::string& name) : fd_(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, name.data(), name.size());
    if (name[0] == '@') address.sun_path[0] = 0;
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
    EXPECT_EQ(bind(fd_, reinterpret_cast<sockaddr*>(&address), size), 0) << std::strerror(errno);
    setenv("NOTIFY_SOCKET", name.c_str(), 1);
  }
  ~NotifySocket() {
    unsetenv("NOTIFY_SOCKET");
    close(fd_);
  }
  // What has come; "nothing" without.
  std::string Next() {
    char text[64];
    const ssize_t size = recv(fd_, text, sizeof text, MSG_DONTWAIT);
    return size < 0 ? "nothing" : std::string(text, size);
  }

 private:
  const int fd_;
};

TEST(LifecycleTest, ServiceManagerIsNotifiedAtItsPathOrItsAbstractName) {
  const TempDir directory;
  for (const std::string& name : {directory.File("socket"), "@toolwire-test-" + std::to_string(getpid())}) {
    NotifySocket manager(name);
    NotifyServiceManager("READY=1");
    EXPECT_EQ(manager.Next(), "READY=1") << name;
    EXPECT_EQ(manager.Next(), "nothing");
  }
}

TEST(LifecycleTest, WithoutAServiceManagerOrWithOneThatIsGoneNothingHappens) {
  NotifyServiceManager("READY=1");
  for (const std::string& name :
       {std::string("relative"), "/" + std::string(200, 'x'), std::string("/no/such/socket")}) {
    setenv("NOTIFY_SOCKET", name.c_str(), 1);
    NotifyServiceManager("READY=1");
  }
  unsetenv("NOTIFY_SOCKET");
}

TEST(LifecycleTest, ProcessThatWaitsForItsStopIsReadyAndThenStopping) {
  // In a child, as the signals stay blocked.
  EXPECT_EXIT(
      {
        NotifySocket manager("@toolwire-test-" + std::to_string(getpid()));
        StopSignal stop;
        kill(getpid(), SIGTERM);
        stop.Wait(kMetricsLineEvery, [] {});
        const bool right = manager.Next() == "READY=1" && manager.Next() == "STOPPING=1";
        std::exit(right ? 0 : 1);
      },
      ::testing::ExitedWithCode(0), "");
}

TEST(LifecycleTest, HangupMeansALookAtTheFilesOrAStopIfThereAreNone) {
  EXPECT_EXIT(
      {
        StopSignal stop;
        kill(getpid(), SIGHUP);
        int at_once = 0;
        stop.Wait(
            kMetricsLineEvery, [] {},
            [&](bool now) {
              at_once += now;
              kill(getpid(), now ? SIGTERM : SIGHUP);
            });
        kill(getpid(), SIGHUP);  // Harmless: it is held back.
        std::exit(at_once == 1 ? 0 : 1);
      },
      ::testing::ExitedWithCode(0), "");
  EXPECT_EXIT(
      {
        StopSignal stop;
        kill(getpid(), SIGHUP);
        stop.Wait(kMetricsLineEvery, [] {});
        std::exit(0);
      },
      ::testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace toolwire
