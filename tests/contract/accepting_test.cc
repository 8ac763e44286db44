// The edge's two ports when accept fails, and when they close under connects. This program's accept4 is what they call,
// and it fails or waits as a test wants.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "common/registry/memory_registry.h"
#include "edge/edge.h"
#include "edge/relay_server.h"
#include "tests/fakes/memory_store.h"
#include "tests/support/await.h"

namespace {

std::atomic<int> accept_error{0};  // What accept fails with; 0: it does not.
std::atomic<uint64_t> failed_accepts{0};
std::atomic<bool> accepts_held{false};  // Connections that accept has taken are held back.
std::atomic<int> waiting_accepts{0};

}  // namespace

extern "C" int accept4(int fd, sockaddr* address, socklen_t* size, int flags) {
  if (accept_error != 0) {
    ++failed_accepts;
    errno = accept_error;
    return -1;
  }
  const auto taken = static_cast<int>(syscall(SYS_accept4, fd, address, size, flags));
  if (taken < 0) return taken;
  ++waiting_accepts;
  while (accepts_held) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  --waiting_accepts;
  return taken;
}
extern "C" int accept(int fd, sockaddr* address, socklen_t* size) { return accept4(fd, address, size, 0); }

namespace toolwire {
namespace {

// A connection that is made, whether it is accepted or not.
class Peer {
 public:
  explicit Peer(int port) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  }
  ~Peer() { close(fd_); }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  void Send(const std::string& text) const { send(fd_, text.data(), text.size(), MSG_NOSIGNAL); }
  // Whether the other end has closed it.
  bool IsClosed() const {
    char byte = 0;
    return recv(fd_, &byte, 1, MSG_DONTWAIT) == 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
  }

 private:
  const int fd_;
};

class AcceptingTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    EdgeOptions options;
    options.port = 0;
    options.server_id = "edge-1";
    ASSERT_TRUE(Validate(&options).ok());
    edge_ = std::make_unique<Edge>(options, clock_, registry_, store_);
    auto relay = RelayServer::Start("127.0.0.1", 0, *edge_, 1 << 20);
    ASSERT_TRUE(relay.ok()) << relay.status();
    relay_ = *std::move(relay);
    edge_->Join("", {});
    ASSERT_TRUE(edge_->Listen(ListenOptions()).ok());
    port_ = agents_ ? edge_->port() : relay_->port();
  }
  void TearDown() override {
    accept_error = 0;
    accepts_held = false;
    relay_.reset();
    edge_.reset();
  }
  void StopListening() {
    if (agents_) return edge_->StopAccepting();
    relay_.reset();
  }
  double Errors() {
    std::vector<Sample> samples;
    edge_->AddSamples(&samples);
    double errors = 0;
    for (const Sample& sample : samples) {
      if (sample.name == "toolwire_edge_accept_errors_total") errors += sample.value;
    }
    return errors;
  }

  const bool agents_ = GetParam() == std::string("Agents");
  SystemClock clock_;
  MemoryStore store_;
  MemoryRegistry registry_{clock_, std::chrono::minutes(2)};
  std::unique_ptr<Edge> edge_;
  std::unique_ptr<RelayServer> relay_;
  int port_ = 0;
};

TEST_P(AcceptingTest, AfterAnErrorThatRepeatsThePortWaitsBeforeItsNextTry) {
  for (const int error : {EMFILE, ENFILE, ENOBUFS, ENOMEM, EPERM, EINVAL}) {
    const uint64_t failed_before = failed_accepts;
    const auto errors_before = static_cast<uint64_t>(Errors());
    accept_error = error;
    const auto begun = std::chrono::steady_clock::now();
    const Peer peer(port_);
    ASSERT_TRUE(Await([&] { return failed_accepts >= failed_before + 3; })) << "it tries again";
    const uint64_t tries = failed_accepts - failed_before;
    // One a pause, and one more to refuse a peer.
    const auto pauses =
        static_cast<uint64_t>((std::chrono::steady_clock::now() - begun) / std::chrono::milliseconds(50));
    EXPECT_LE(tries, 2 * (pauses + 2)) << strerror(error);
    EXPECT_GT(static_cast<uint64_t>(Errors()), errors_before);
    accept_error = 0;
    const Peer good(port_);
    good.Send("no HTTP, and no preface\r\n\r\n");
    EXPECT_TRUE(Await([&] { return good.IsClosed(); })) << "it serves again";
  }
}

TEST_P(AcceptingTest, APortThatClosesWhileAConnectionIsTakenEnds) {
  accepts_held = true;
  const Peer first(port_), second(port_);
  ASSERT_TRUE(Await([] { return waiting_accepts > 0; }));
  auto stopped = std::async(std::launch::async, [this] { StopListening(); });
  // The port is asked to close before the connection is handed over, on any but the slowest machine.
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  accepts_held = false;
  if (stopped.wait_for(kAwaitDeadline) != std::future_status::ready) {
    ADD_FAILURE() << "the port never closes";
    std::_Exit(1);  // A thread turns in circles.
  }
}

INSTANTIATE_TEST_SUITE_P(Ports, AcceptingTest, testing::Values("Agents", "Relay"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace toolwire
