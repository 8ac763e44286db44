// The header of the PROXY protocol before requests and before TLS, as it may come.
#include <gtest/gtest.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <asio.hpp>
#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/tls/tls_handshakes.h"
#include "common/tls/tls_stream.h"
#include "edge/proxy_socket.h"
#include "edge/ws_server.h"
#include "tests/unit/tls/tls_fixture.h"

namespace toolwire {
namespace {

using asio::ip::tcp;
using Events = std::vector<std::string>;

const std::string kLine = "PROXY TCP4 192.0.2.1 10.0.0.1 54321 443\r\n";
const std::string kRequest = "GET /health HTTP/1.1\r\nHost: x\r\n\r\n";
// Version 2, LOCAL, with 4,080 bytes more.
const std::string kLargeLocal = std::string("\r\n\r\n\0\r\nQUIT\n\x20\x00\x0f\xf0", 16) + std::string(4080, 'x');

class ProxyHeaderTest : public TlsFixture, protected WsServer::Handler {
 protected:
  ProxyHeaderTest() {
    WritePair(Make({"127.0.0.1"}));
    files_ = *TlsFiles::Load(ServerOptions(), clock_);
    handshakes_ = std::make_unique<TlsHandshakes>(*files_, HandshakeQueue::Options{1'000'000}, paced_.counter);
  }
  ~ProxyHeaderTest() override {
    handshakes_.reset();
    server_.reset();
  }

  tcp::socket Connect(bool tls = false) {
    tcp::socket client(io_);
    client.connect(acceptor_.local_endpoint());
    server_->Adopt(++last_id_, acceptor_.accept().release(), {"10.9.9.9", true, tls ? handshakes_.get() : nullptr});
    return client;
  }
  template <typename Condition>
  void Until(Condition condition) {
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(120);
    while (!condition()) {
      ASSERT_LT(std::chrono::steady_clock::now(), give_up);
      io_.restart();
      io_.run_for(std::chrono::milliseconds(1));
    }
  }
  void Poll() {
    io_.restart();
    for (int i = 0; i < 100; ++i) io_.poll();
  }
  void Send(tcp::socket* client, const std::string& bytes) { asio::write(*client, asio::buffer(bytes)); }
  // What happens to the newest socket until it is closed.
  Events UntilClosed() {
    Until([this] { return !events_[last_id_].empty() && events_[last_id_].back() == "closed"; });
    return events_[last_id_];
  }
  // All that the peer gets; "reset" behind it if that is how it ends.
  std::string Answer(tcp::socket* client) {
    std::string answer;
    asio::error_code ec;
    client->non_blocking(true);
    char bytes[4096];
    Until([&] {
      const size_t got = client->read_some(asio::buffer(bytes), ec);
      answer.append(bytes, got);
      return ec && ec != asio::error::would_block;
    });
    return ec == asio::error::connection_reset ? answer + "reset" : answer;
  }

  asio::io_context io_{1};
  tcp::acceptor acceptor_{io_, tcp::endpoint(asio::ip::address_v4::loopback(), 0)};
  ProxyHeaderCounters counters_;
  std::unique_ptr<TlsFiles> client_files_ = *TlsFiles::Load(ClientOptions(), clock_);
  std::unique_ptr<TlsFiles> files_;
  std::unique_ptr<WsServer> server_{new WsServer(io_, {1u << 20, 1u << 20, "X-Forwarded-For", &counters_}, *this)};
  struct Paced : CounterSet {
    Counter counter{this, "paced", ""};
  } paced_;
  std::unique_ptr<TlsHandshakes> handshakes_;
  std::map<uint64_t, Events> events_;
  uint64_t last_id_ = 0;

 private:
  void OnProxyHeader(uint64_t id, const std::optional<std::string>& client) override {
    events_[id].push_back(client ? "named " + *client : "no header");
  }
  void OnRequest(uint64_t id, const std::string&) override { events_[id].push_back("request"); }
  std::optional<WsServer::HttpReply> OnHttp(uint64_t, const std::string&) override {
    return WsServer::HttpReply{200, "{}"};
  }
  void OnOpen(uint64_t, const std::string&, const std::string&) override {}
  void OnFrame(uint64_t, std::string&) override {}
  bool NextFrame(uint64_t, std::string*) override { return false; }
  void OnWritable(uint64_t) override {}
  void OnEnd(uint64_t id, bool) override { events_[id].push_back("end"); }
  void OnClosed(uint64_t id) override { events_[id].push_back("closed"); }
};

const Events kServed = {"named 192.0.2.1", "request", "end", "closed"};

TEST_F(ProxyHeaderTest, HeaderAndRequestInOneSegmentAreTakenOneAfterTheOther) {
  tcp::socket client = Connect();
  Send(&client, kLine + kRequest);
  EXPECT_EQ(Answer(&client).substr(0, 12), "HTTP/1.1 200");
  client.close();
  EXPECT_EQ(UntilClosed(), kServed);
  EXPECT_EQ(counters_.read.value(), 1u);
}

TEST_F(ProxyHeaderTest, HeaderInPiecesOfOneByteIsRead) {
  tcp::socket client = Connect();
  client.set_option(tcp::no_delay(true));
  for (const char byte : kLine + kRequest) {
    Send(&client, std::string(1, byte));
    io_.restart();
    io_.poll();
  }
  EXPECT_EQ(Answer(&client).substr(0, 12), "HTTP/1.1 200");
  client.close();
  EXPECT_EQ(UntilClosed(), kServed);
}

TEST_F(ProxyHeaderTest, LargestHeaderInPiecesIsReadAndNamesNobodyIfItIsLocal) {
  tcp::socket client = Connect();
  for (size_t at = 0; at < kLargeLocal.size(); at += 500) {
    Send(&client, kLargeLocal.substr(at, 500));
    io_.restart();
    io_.poll();
  }
  Send(&client, kRequest);
  EXPECT_EQ(Answer(&client).substr(0, 12), "HTTP/1.1 200");
  client.close();
  EXPECT_EQ(UntilClosed(), (Events{"named ", "request", "end", "closed"}));
}

TEST_F(ProxyHeaderTest, ConnectionWithoutAHeaderGoesOnAsWhatItIs) {
  tcp::socket client = Connect();
  Send(&client, kRequest);
  EXPECT_EQ(Answer(&client).substr(0, 12), "HTTP/1.1 200");
  client.close();
  EXPECT_EQ(UntilClosed(), (Events{"no header", "request", "end", "closed"}));
  client = Connect(/*tls=*/true);
  Send(&client, kRequest);
  EXPECT_EQ(UntilClosed(), (Events{"no header", "end", "closed"}));
  EXPECT_EQ(files_->counters().not_tls.value(), 1u);
  EXPECT_EQ(counters_.read.value() + counters_.missing.value(), 0u) << "what is refused is others' to say";
}

TEST_F(ProxyHeaderTest, WrongHeaderIsClosedWithoutAnAnswer) {
  tcp::socket client = Connect();
  Send(&client, "PROXY TCP4 localhost 10.0.0.1 1 2\r\n" + kRequest);
  EXPECT_EQ(UntilClosed(), (Events{"end", "closed"}));
  EXPECT_EQ(Answer(&client), "reset");
  EXPECT_EQ(counters_.invalid.value(), 1u);
}

TEST_F(ProxyHeaderTest, SecondHeaderIsTheClientsAndNoRequest) {
  tcp::socket client = Connect();
  Send(&client, kLine + "PROXY TCP4 192.0.2.9 10.0.0.1 1 2\r\n" + kRequest);
  EXPECT_EQ(Answer(&client).substr(0, 12), "HTTP/1.1 400");
  client.close();
  EXPECT_EQ(UntilClosed(), (Events{"named 192.0.2.1", "end", "closed"}));
}

TEST_F(ProxyHeaderTest, LookAtThePortIsNoFaultAndAnEndWithinTheHeaderIsCounted) {
  tcp::socket client = Connect();
  client.close();
  EXPECT_EQ(UntilClosed(), (Events{"end", "closed"}));
  client = Connect();
  client.set_option(asio::socket_base::linger(true, 0));
  client.close();
  EXPECT_EQ(UntilClosed(), (Events{"end", "closed"})) << "a reset is as good";
  EXPECT_EQ(counters_.ended.value(), 0u);
  client = Connect();
  Send(&client, kLine.substr(0, 20));
  Poll();
  client.close();
  EXPECT_EQ(UntilClosed(), (Events{"end", "closed"}));
  EXPECT_EQ(counters_.ended.value(), 1u);
  EXPECT_EQ(counters_.read.value() + counters_.missing.value() + counters_.invalid.value(), 0u);
}

TEST_F(ProxyHeaderTest, PartOfAHeaderIsNothingToWaitForAndAWholeOneIs) {
  tcp::socket client = Connect();
  EXPECT_FALSE(server_->HasUnread(last_id_));
  Send(&client, kLargeLocal.substr(0, 4095));
  Poll();
  EXPECT_FALSE(server_->HasUnread(last_id_)) << "it may have to make room";
  Send(&client, kLargeLocal.substr(4095));
  EXPECT_TRUE(server_->HasUnread(last_id_));
  server_->Close(last_id_, close_reason::kLoginTimedOut);
  EXPECT_EQ(UntilClosed(), Events{"closed"});
}

TEST_F(ProxyHeaderTest, SocketThatIsClosedAnywhereInTheHeaderIsClosedOnce) {
  for (size_t size = 0; size <= kLine.size(); ++size) {
    tcp::socket client = Connect(/*tls=*/size % 2 == 0);
    Send(&client, kLine.substr(0, size));
    for (size_t i = 0; i < size % 3; ++i) Poll();
    server_->Close(last_id_, close_reason::kShuttingDown);
    EXPECT_EQ(UntilClosed().back(), "closed") << size;
  }
  Poll();
  EXPECT_TRUE(server_->Sockets().empty());
  for (const auto& [id, events] : events_) EXPECT_EQ(std::count(events.begin(), events.end(), "closed"), 1) << id;
}

TEST_F(ProxyHeaderTest, HeaderAndClientHelloInOneSegmentAreTakenOneAfterTheOther) {
  tcp::socket client = Connect(/*tls=*/true);
  client.native_non_blocking(true);
  const auto stream = TlsStream::Connect(*client_files_->Current(), client.native_handle(), "127.0.0.1");
  const auto cork = [&](int on) { setsockopt(client.native_handle(), IPPROTO_TCP, TCP_CORK, &on, sizeof on); };
  cork(1);
  Send(&client, kLine);
  EXPECT_EQ(stream->Handshake(), TlsStream::Status::kWantsRead);
  cork(0);
  Until([&] { return stream->Handshake() != TlsStream::Status::kWantsRead; });
  ASSERT_EQ(stream->Handshake(), TlsStream::Status::kDone);
  ASSERT_EQ(stream->Write(kRequest.data(), kRequest.size()).bytes, kRequest.size());
  std::string answer;
  Until([&] {
    char bytes[4096];
    const auto moved = stream->Read(bytes, sizeof bytes);
    if (moved.status == TlsStream::Status::kDone) answer.append(bytes, moved.bytes);
    return moved.status == TlsStream::Status::kClosed || moved.status == TlsStream::Status::kFailed;
  });
  EXPECT_EQ(answer.substr(0, 12), "HTTP/1.1 200");
  client.close();
  EXPECT_EQ(UntilClosed(), kServed);
}

}  // namespace
}  // namespace toolwire
