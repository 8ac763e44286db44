// The WebSockets of a loop, one step of the loop at a time.
#include "edge/ws_server.h"

#include <gtest/gtest.h>

#include <asio.hpp>
#include <optional>
#include <string>
#include <vector>

namespace toolwire {
namespace {

using asio::ip::tcp;
using Strings = std::vector<std::string>;

class WsServerTest : public ::testing::Test, protected WsServer::Handler {
 protected:
  WsServerTest() : client_(io_) {
    tcp::acceptor acceptor(io_, tcp::endpoint(asio::ip::address_v4::loopback(), 0));
    client_.connect(acceptor.local_endpoint());
    server_.Adopt(7, acceptor.accept().release(), {});
  }
  // What the next handler of the loop that causes events causes.
  Strings NextEvents() {
    while (events_.empty() && io_.run_one() > 0) continue;
    return std::exchange(events_, {});
  }

  asio::io_context io_{1};
  tcp::socket client_;

 private:
  void OnProxyHeader(uint64_t, const std::optional<std::string>&) override {}
  void OnRequest(uint64_t, const std::string& proxied) override {
    events_.push_back(proxied.empty() ? "request" : "request of " + proxied);
  }
  std::optional<WsServer::HttpReply> OnHttp(uint64_t, const std::string& path) override {
    events_.push_back("http " + path);
    return WsServer::HttpReply{200, "{}"};
  }
  void OnOpen(uint64_t, const std::string& target, const std::string&) override { events_.push_back("open " + target); }
  void OnFrame(uint64_t, std::string& text) override { events_.push_back("frame " + text); }
  bool NextFrame(uint64_t, std::string*) override { return false; }
  void OnWritable(uint64_t) override {}
  void OnEnd(uint64_t, bool) override { events_.push_back("end"); }
  void OnClosed(uint64_t) override { events_.push_back("closed"); }

  Strings events_;

 protected:
  WsServer server_{io_, {1u << 20, 1u << 20, "X-Forwarded-For", nullptr}, *this};
};

constexpr char kUpgrade[] =
    "GET /?userId=u HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dG9vbHdpcmUgdGVzdCBrZQ==\r\n\r\n";

TEST_F(WsServerTest, UpgradeIsHeardOfBeforeItsResponseIsWritten) {
  asio::write(client_, asio::buffer(kUpgrade, sizeof kUpgrade - 1));
  EXPECT_EQ(NextEvents(), Strings{"request"});
  EXPECT_EQ(NextEvents(), Strings{"open /?userId=u"}) << "by another turn of the loop";
}

TEST_F(WsServerTest, RequestIsHeardOfWhenItIsComplete) {
  const std::string request = "GET /health?x HTTP/1.1\r\nHost: x\r\n\r\n";
  asio::write(client_, asio::buffer(request.substr(0, 20)));
  for (int i = 0; i < 100; ++i) io_.poll();
  asio::write(client_, asio::buffer(request.substr(20)));
  EXPECT_EQ(NextEvents(), (Strings{"request", "http /health"}));
}

TEST_F(WsServerTest, HeaderOfProxiesComesWithTheRequestAllItsLinesInOrder) {
  const std::string upgrade(kUpgrade);
  const std::string headers =
      "x-forwarded-for: 192.0.2.1\r\nForwarded: for=192.0.2.3\r\nX-FORWARDED-FOR: 192.0.2.2\r\n";
  asio::write(client_, asio::buffer(upgrade.substr(0, upgrade.size() - 2) + headers + "\r\n"));
  EXPECT_EQ(NextEvents(), Strings{"request of 192.0.2.1, 192.0.2.2"});
}

TEST_F(WsServerTest, CutEndsACloseThatIsUnderWayByAReset) {
  asio::write(client_, asio::buffer(kUpgrade, sizeof kUpgrade - 1));
  while (NextEvents() != Strings{"open /?userId=u"}) continue;
  server_.Cut(7);
  server_.Close(7, close_reason::kShuttingDown);
  for (int i = 0; i < 100; ++i) io_.poll();
  EXPECT_EQ(server_.Sockets().size(), 1u) << "it waits for its peer, and Cut did nothing before the close";
  server_.Cut(7);
  EXPECT_EQ(NextEvents(), Strings{"closed"});
  asio::error_code ec;
  for (char bytes[1024]; !ec;) client_.read_some(asio::buffer(bytes), ec);
  EXPECT_EQ(ec, asio::error::connection_reset);
}

TEST_F(WsServerTest, CutEndsALingeringCloseByAReset) {
  asio::write(client_, asio::buffer(std::string("GET /health HTTP/1.1\r\nHost: x\r\n\r\n")));
  while (NextEvents() != Strings{"end"}) continue;
  server_.Cut(7);
  for (int i = 0; i < 100; ++i) io_.poll();
  EXPECT_TRUE(server_.Sockets().empty()) << "it lingers no more";
}

}  // namespace
}  // namespace toolwire
