// The ports of an edge when accept fails, and when they close under connects. This program's accept4 is what they call,
// and it fails or waits as a test wants.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
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

#include "common/link/link.h"
#include "common/process/metrics_endpoint.h"
#include "common/registry/memory_registry.h"
#include "edge/edge.h"
#include "edge/relay_server.h"
#include "tests/fakes/memory_store.h"
#include "tests/support/await.h"
#include "tests/support/peer.h"

namespace {

std::atomic<int> accept_error{0};  // What accept fails with; 0: it does not.
std::atomic<uint64_t> failed_accepts{0};
std::atomic<bool> accepts_held{false};  // Connections that accept has taken are held back.
std::atomic<int> waiting_accepts{0};
std::atomic<int> last_accepted{-1};

}  // namespace

extern "C" int accept4(int fd, sockaddr* address, socklen_t* size, int flags) {
  if (accept_error != 0) {
    ++failed_accepts;
    errno = accept_error;
    return -1;
  }
  const auto taken = static_cast<int>(syscall(SYS_accept4, fd, address, size, flags));
  if (taken < 0) return taken;
  last_accepted = taken;
  ++waiting_accepts;
  while (accepts_held) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  --waiting_accepts;
  return taken;
}
extern "C" int accept(int fd, sockaddr* address, socklen_t* size) { return accept4(fd, address, size, 0); }

namespace toolwire {
namespace {

class AcceptingTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    EdgeOptions options;
    options.port = 0;
    options.server_id = "edge-1";
    ASSERT_TRUE(Validate(&options).ok());
    edge_ = std::make_unique<Edge>(options, clock_, registry_, store_);
    auto relay = RelayServer::Start("127.0.0.1", 0, *edge_, 1 << 20, /*links_per_address_max=*/1024);
    ASSERT_TRUE(relay.ok()) << relay.status();
    relay_ = *std::move(relay);
    edge_->Join("", {});
    ASSERT_TRUE(edge_->Listen(ListenOptions()).ok());
    auto metrics = MetricsEndpoint::Start(MetricsPort(), [](std::vector<Sample>*) {});
    ASSERT_TRUE(metrics.ok()) << metrics.status();
    metrics_ = *std::move(metrics);
    port_ = PortIs("Agents") ? edge_->port() : PortIs("Relay") ? relay_->port() : metrics_->port();
  }
  void TearDown() override {
    accept_error = 0;
    accepts_held = false;
    metrics_.reset();
    relay_.reset();
    edge_.reset();
  }
  bool PortIs(const std::string& name) const { return name == GetParam(); }
  void StopListening() {
    if (PortIs("Agents")) return edge_->StopAccepting();
    if (PortIs("Relay")) return relay_.reset();
    metrics_.reset();
  }
  double Errors() {
    if (PortIs("Metrics")) return Scraped(port_, "toolwire_metrics_accept_errors_total");
    std::vector<Sample> samples;
    edge_->AddSamples(&samples);
    double errors = 0;
    for (const Sample& sample : samples) {
      if (sample.name == "toolwire_edge_accept_errors_total") errors += sample.value;
    }
    return errors;
  }

  SystemClock clock_;
  MemoryStore store_;
  MemoryRegistry registry_{clock_, std::chrono::minutes(2)};
  std::unique_ptr<Edge> edge_;
  std::unique_ptr<RelayServer> relay_;
  std::unique_ptr<MetricsEndpoint> metrics_;
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
    // One a pause.
    const auto pauses =
        static_cast<uint64_t>((std::chrono::steady_clock::now() - begun) / std::chrono::milliseconds(50));
    EXPECT_LE(tries, pauses + 2) << strerror(error);
    accept_error = 0;
    EXPECT_GT(static_cast<uint64_t>(Errors()), errors_before);
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

TEST_P(AcceptingTest, AFloodOfConnectsFromOneAddressEndsNoConnectionOfAnother) {
  if (!PortIs("Relay")) return;
  const Peer control(port_, 2);
  std::vector<std::unique_ptr<Peer>> flood;
  for (int i = 0; i < 200; ++i) flood.push_back(std::make_unique<Peer>(port_));
  char preface[kLinkPrefaceBytes];
  ASSERT_EQ(control.ReadSome(preface, sizeof preface), static_cast<ssize_t>(sizeof preface));
  v1::LinkHello of_earlier = MakeHello("control", "start", LinkLimits(1 << 20));
  of_earlier.set_peer_start("an edge that is gone");
  of_earlier.set_received(1u << 20);
  const std::string hello = of_earlier.SerializeAsString();
  ASSERT_LT(hello.size(), 256);
  control.Send(kLinkPreface + std::string{static_cast<char>(hello.size()), 0, 0, 0} + hello);
  EXPECT_TRUE(Await([&] {
    std::vector<Sample> samples;
    edge_->AddSamples(&samples);
    return std::any_of(samples.begin(), samples.end(),
                       [](const Sample& one) { return one.name == "toolwire_edge_links" && one.value == 1; });
  }));
}

TEST_P(AcceptingTest, AgentMayNotReadForAsLongAsItMayBeSilent) {
  if (!PortIs("Agents")) return;
  last_accepted = -1;
  const Peer peer(port_);
  unsigned timeout_ms = 0;
  EXPECT_TRUE(Await([&] {
    socklen_t size = sizeof timeout_ms;
    getsockopt(last_accepted, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, &size);
    return timeout_ms == 90'000;
  })) << timeout_ms;
}

INSTANTIATE_TEST_SUITE_P(Ports, AcceptingTest, testing::Values("Agents", "Relay", "Metrics"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace toolwire
