// Control's end of a link, and connections, where names, addresses and the kernel are not as one would wish. The edge's
// end is a Link as well, without an edge behind it.
#include "control/edge_link.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <asio.hpp>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <fstream>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/link/link.h"
#include "common/link/link_tls.h"
#include "common/tls/certificate_maker.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/scripted_registry.h"
#include "tests/fakes/temp_dir.h"
#include "tests/support/await.h"
#include "tests/support/faulty_calls.h"

namespace toolwire {
namespace {

using tcp = asio::ip::tcp;

constexpr size_t kPayloadMax = 1u << 20;

asio::ip::address Loopback(int last) { return asio::ip::make_address("127.0.0." + std::to_string(last)); }

// Says hello to whoever dials, and takes the link.
class ListeningEdge {
 public:
  explicit ListeningEdge(const tcp::endpoint& at) : acceptor_(io_, at) {
    Accept();
    thread_ = std::thread([this] { io_.run(); });
  }
  ~ListeningEdge() {
    asio::post(io_, [this] {
      acceptor_.close();
      if (link_) link_->End("the test has ended");
      if (greeted_) greeted_->CloseNow("the test has ended");
    });
    thread_.join();
  }
  int port() const { return acceptor_.local_endpoint().port(); }
  int accepted() const { return accepted_; }

 private:
  void Accept() {
    acceptor_.async_accept([this](const asio::error_code& ec, tcp::socket socket) {
      if (ec) return;
      ++accepted_;
      Connection::Options options;
      options.silence_max = std::chrono::seconds(60);
      greeted_ = std::make_shared<Connection>(std::move(socket), options);
      Connection::Events events;
      events.message = [this](std::string_view message) { return Greeted(message); };
      greeted_->Start(std::move(events));
      Accept();
    });
  }
  bool Greeted(std::string_view message) {
    v1::LinkHello hello;
    if (!hello.ParseFromArray(message.data(), static_cast<int>(message.size()))) return false;
    greeted_->Write(MakeHello("edge_a", "start", LinkLimits(kPayloadMax)).SerializeAsString());
    Link::Events events;
    events.frame = [](std::string&) { return true; };
    events.expired = [](const std::vector<uint64_t>&) {};
    events.lost = events.over = [](const std::string&) {};
    link_ = std::make_shared<Link>(hello, LinkLimits(kPayloadMax), size_t{1} << 20, std::move(events));
    link_->Connected(std::exchange(greeted_, nullptr), hello);
    return true;
  }

  asio::io_context io_{1};
  tcp::acceptor acceptor_;
  std::atomic<int> accepted_{0};
  std::shared_ptr<Connection> greeted_;
  std::shared_ptr<Link> link_;
  std::thread thread_;
};

// Listens and never accepts, and the kernel keeps no more for it: who dials hears nothing at all.
class DeadAddress {
 public:
  explicit DeadAddress(const tcp::endpoint& at) : acceptor_(io_, at.protocol()) {
    acceptor_.set_option(asio::socket_base::reuse_address(true));
    acceptor_.bind(at);
    acceptor_.listen(0);
    for (int i = 0; i < 4; ++i) {
      tcp::socket& socket = waiting_.emplace_back(io_, at.protocol());
      socket.native_non_blocking(true);
      // asio's would wait for the connection.
      connect(socket.native_handle(), at.data(), static_cast<socklen_t>(at.size()));
    }
  }

 private:
  asio::io_context io_;
  tcp::acceptor acceptor_;
  std::vector<tcp::socket> waiting_;
};

class EdgeLinkTest : public ::testing::Test {
 protected:
  std::unique_ptr<EdgeLink> Dial(const std::string& name, int port) {
    return std::make_unique<EdgeLink>("edge_a", name + ":" + std::to_string(port), dispatcher_, kPayloadMax);
  }

  FakeClock clock_;
  ScriptedRegistry registry_;
  AgentDirectory directory_;
  Dispatcher dispatcher_{clock_, registry_, directory_, nullptr, Dispatcher::Options()};
  FaultyResolver resolver_;
};

TEST_F(EdgeLinkTest, DeadAddressOfANameHidesNoOther) {
  ListeningEdge edge({Loopback(1), 0});
  DeadAddress dead({Loopback(2), static_cast<uint16_t>(edge.port())});
  resolver_.Knows("edge.test", {"127.0.0.2", "127.0.0.1"});
  const auto link = Dial("edge.test", edge.port());
  EXPECT_TRUE(Await([&] { return link->up(); }));
  EXPECT_EQ(edge.accepted(), 1);
}

TEST_F(EdgeLinkTest, AddressThatRefusesHidesNoOther) {
  ListeningEdge edge({Loopback(1), 0});
  resolver_.Knows("edge.test", {"127.0.0.3", "127.0.0.2", "127.0.0.1"});
  const auto link = Dial("edge.test", edge.port());
  EXPECT_TRUE(Await([&] { return link->up(); }));
}

// A process may end once its links have: OpenSSL must not be in use then. Many times, since it was a race.
TEST_F(EdgeLinkTest, NothingOfItIsLeftWhenItHasEnded) {
  ListeningEdge edge({Loopback(1), 0});
  for (int i = 0; i < 50; ++i) {
    const auto held = std::make_shared<int>();
    auto link = std::make_unique<EdgeLink>("edge_a", "127.0.0.1:" + std::to_string(edge.port()), dispatcher_, kPayloadMax,
                                           nullptr, [held](const std::string&) {});
    ASSERT_TRUE(Await([&] { return link->up(); }));
    link.reset();
    ASSERT_EQ(held.use_count(), 1) << "after " << i;
  }
}

// Ending does not wait for the lookup, which goes on until the test lets it end.
TEST_F(EdgeLinkTest, EndsWhileTheResolverHangs) {
  auto link = Dial("nobody.test", 1);
  ASSERT_TRUE(Await([&] { return resolver_.waiting() == 1; }));
  auto ended = std::async(std::launch::async, [&] { link.reset(); });
  EXPECT_EQ(ended.wait_for(kAwaitDeadline), std::future_status::ready);
  EXPECT_EQ(resolver_.waiting(), 1);
  resolver_.Release();
  ended.wait();
}

// Files of one end of links, made for the test.
std::unique_ptr<TlsFiles> LinkFiles(const TempDir& dir, LinkEnd end, const CertificateAndKey& ca) {
  static SystemClock clock;  // The files keep it.
  CertificateRequest request;
  request.names = {end == LinkEnd::kEdge ? kEdgeRoleName : kControlRoleName};
  request.is_client = true;
  request.not_before = clock.WallMs() / 1000 - 3600;
  request.not_after = request.not_before + 7200;
  const auto made = MakeCertificate(ca, request);
  EXPECT_TRUE(made.ok()) << made.status();
  const std::string path = dir.File(end == LinkEnd::kEdge ? "edge" : "control");
  const auto write = [](const std::string& file, const std::string& content) { std::ofstream(file) << content; };
  write(path + ".crt", made->certificate);
  write(path + ".key", made->key);
  write(path + ".ca", ca.certificate);
  auto files = LoadLinkTls({path + ".crt", path + ".key", path + ".ca"}, end, clock);
  EXPECT_TRUE(files.ok()) << files.status();
  return *std::move(files);
}

// Two ends of a connection, each with what came to it; with TLS or without.
class ConnectionTest : public ::testing::TestWithParam<bool> {
 protected:
  ConnectionTest() {
    std::signal(SIGPIPE, SIG_IGN);  // As every process of ours.
    tcp::acceptor acceptor(io_, {Loopback(1), 0});
    tcp::socket dialled(io_);
    dialled.connect(acceptor.local_endpoint());
    tcp::socket accepted = acceptor.accept();
    for (tcp::socket* const socket : {&dialled, &accepted}) socket->native_non_blocking(true);
    Connection::Options options;
    options.silence_max = std::chrono::seconds(60);
    Connection::Tls client, server;
    if (GetParam()) {
      const int64_t now = SystemClock().WallMs() / 1000;
      const auto ca = MakeCa("test", now - 3600, now + 7200);
      EXPECT_TRUE(ca.ok()) << ca.status();
      control_ = LinkFiles(dir_, LinkEnd::kControl, *ca);
      edge_ = LinkFiles(dir_, LinkEnd::kEdge, *ca);
      client = {TlsStream::Connect(*control_->Current(), dialled.native_handle(), ""), &control_->counters()};
      server = {TlsStream::Accept(*edge_->Current(), accepted.native_handle()), &edge_->counters()};
    }
    here_ = std::make_shared<Connection>(std::move(dialled), options, std::move(client));
    there_ = std::make_shared<Connection>(std::move(accepted), options, std::move(server));
    Connection::Events events;
    events.writable = [this] {
      MutexLock lock(mu_);
      here_->WriteRest();
    };
    events.message = [](std::string_view) { return true; };
    here_->Start(std::move(events));
    events = {};
    events.writable = [this] { there_->WriteRest(); };
    events.message = [this](std::string_view message) {
      came_.emplace_back(message);
      return true;
    };
    there_->Start(std::move(events));
  }
  ~ConnectionTest() override {
    FailWrites(0, 0);
    here_->CloseNow("the test has ended");
    there_->CloseNow("the test has ended");
    io_.run();
  }
  void Write(const std::string& message) {
    MutexLock lock(mu_);
    here_->Write(message);
  }
  void RunUntilCame(size_t messages) {
    const auto until = InTime();
    while (came_.size() < messages && std::chrono::steady_clock::now() < until) {
      io_.run_one_for(std::chrono::milliseconds(100));
    }
  }

  TempDir dir_;
  std::unique_ptr<TlsFiles> control_, edge_;
  asio::io_context io_{1};
  Mutex mu_;  // The owner's, of `here_`.
  std::shared_ptr<Connection> here_, there_;
  std::vector<std::string> came_;
};

INSTANTIATE_TEST_SUITE_P(All, ConnectionTest, ::testing::Bool(),
                         [](const auto& parameter) { return parameter.param ? "Tls" : "Plain"; });

TEST_P(ConnectionTest, MessagesOfAllSizesArriveInOrderAlsoWhenTheyAreWrittenBeforeItIsOpen) {
  std::vector<std::string> sent;
  const auto message = [](size_t i) {
    return std::string(i % 7 == 0 ? 200'000 + i : i, static_cast<char>('a' + i % 26));
  };
  for (size_t i = 0; i < 100; ++i) Write(sent.emplace_back(message(i)));
  RunUntilCame(100);
  EXPECT_EQ(came_, sent);
}

TEST_P(ConnectionTest, AnotherThreadWritesWhileTheLoopReadsAndWrites) {
  constexpr size_t kMessages = 3000;
  std::thread writer([this] {
    for (size_t i = 0; i < kMessages; ++i) Write(std::to_string(i) + std::string(i % 10 == 0 ? 20'000 : 10, ' '));
  });
  const auto until = InTime();
  for (size_t i = 0; came_.size() < kMessages && std::chrono::steady_clock::now() < until; ++i) {
    if (i < kMessages) there_->Write("back");
    io_.run_one_for(std::chrono::milliseconds(100));
  }
  writer.join();
  RunUntilCame(kMessages);
  ASSERT_EQ(came_.size(), kMessages);
  for (size_t i = 0; i < kMessages; ++i) ASSERT_EQ(std::stoul(came_[i]), i);
}

TEST_P(ConnectionTest, WhatIsHandedOverGoesOnElsewhere) {
  here_->Write("first");
  RunUntilCame(1);
  Connection::Released released = there_->Release();
  ASSERT_GE(released.fd, 0);
  EXPECT_EQ(released.tls.stream != nullptr, GetParam());
  here_->Write("second");
  tcp::socket socket(io_);
  socket.assign(tcp::v4(), released.fd);
  Connection::Options options;
  options.silence_max = std::chrono::seconds(60);
  options.greeted = true;
  there_ = std::make_shared<Connection>(std::move(socket), options, std::move(released.tls));
  Connection::Events events;
  events.message = [this](std::string_view message) {
    came_.emplace_back(message);
    return true;
  };
  there_->Start(std::move(events));
  RunUntilCame(2);
  EXPECT_EQ(came_, (std::vector<std::string>{"first", "second"}));
}

TEST_P(ConnectionTest, KernelWithoutMemoryForAWriteLosesNothing) {
  if (GetParam()) GTEST_SKIP() << "the stream fails then, and the link says again what was lost";
  here_->Write("first");
  RunUntilCame(1);
  for (const int error : {ENOBUFS, ENOMEM}) {
    FailWrites(3, error);
    here_->Write("second");
    EXPECT_FALSE(here_->writable());
    here_->Write("third");
    came_.clear();
    RunUntilCame(2);
    EXPECT_EQ(came_, (std::vector<std::string>{"second", "third"}));
    EXPECT_TRUE(here_->writable());
    EXPECT_EQ(writes_to_fail(), 0);
  }
}

}  // namespace
}  // namespace toolwire
