// What stands between a client and its server: a proxy whose faults a test chooses.
#ifndef TOOLWIRE_TESTS_SUPPORT_MIDDLE_H_
#define TOOLWIRE_TESTS_SUPPORT_MIDDLE_H_

#include <array>
#include <asio.hpp>
#include <atomic>
#include <chrono>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <thread>

#include "absl/strings/match.h"

namespace toolwire {

// Carries bytes between clients of `port()` and the server, each connection by itself.
class Middle {
 public:
  explicit Middle(int server_port) : server_port_(server_port), thread_([this] { io_.run(); }) {
    asio::post(io_, [this] { Accept(); });
  }
  ~Middle() {
    io_.stop();
    thread_.join();
  }

  int port() const { return acceptor_.local_endpoint().port(); }
  // Of the connections that are made from now on.
  void LeadTo(int server_port) { server_port_ = server_port; }
  // The connections on which clients have said this are carried on no more, and stay open at the client's end.
  void Deafen(const std::string& word) {
    asio::post(io_, [this, word] {
      for (const auto& one : connections_) {
        if (absl::StrContains(one->said, word)) one->is_deaf = true;
      }
    });
  }
  // So many bytes of clients in each 10 ms; 0: as they come.
  void Slow(size_t bytes_each) { bytes_each_ = bytes_each; }

 private:
  using tcp = asio::ip::tcp;
  struct Connection {
    explicit Connection(asio::io_context& io) : client(io), server(io), pause(io) {}
    tcp::socket client, server;
    asio::steady_timer pause;
    std::array<char, 65536> from_client, from_server;
    std::string said;  // By the client, the begin of it.
    bool is_deaf = false;
  };
  using Ptr = std::shared_ptr<Connection>;

  void Accept() {
    const Ptr next = std::make_shared<Connection>(io_);
    acceptor_.async_accept(next->client, [this, next](const asio::error_code& ec) {
      if (ec) return;
      Accept();
      connections_.push_back(next);
      asio::error_code refused;
      next->server.connect({asio::ip::address_v4::loopback(), static_cast<uint16_t>(server_port_)}, refused);
      if (refused) return End(next);
      Carry(next, next->client, next->server, next->from_client, true);
      Carry(next, next->server, next->client, next->from_server, false);
    });
  }
  void Carry(const Ptr& one, tcp::socket& from, tcp::socket& to, std::array<char, 65536>& bytes, bool of_client) {
    const size_t slow = of_client ? bytes_each_.load() : 0;
    const size_t size = slow > 0 ? std::min(slow, bytes.size()) : bytes.size();
    from.async_read_some(asio::buffer(bytes.data(), size),
                         [=, this_ = this, &from, &to, &bytes](const asio::error_code& ec, size_t count) {
                           if (ec) return this_->End(one);
                           if (of_client && one->said.size() < 65536) one->said.append(bytes.data(), count);
                           const auto on = [=, &from, &to, &bytes](const asio::error_code& failed, size_t) {
                             if (failed) return this_->End(one);
                             if (slow == 0) return this_->Carry(one, from, to, bytes, of_client);
                             one->pause.expires_after(std::chrono::milliseconds(10));
                             one->pause.async_wait([=, &from, &to, &bytes](const asio::error_code& gone) {
                               if (!gone) this_->Carry(one, from, to, bytes, of_client);
                             });
                           };
                           if (one->is_deaf) return on({}, count);
                           asio::async_write(to, asio::buffer(bytes.data(), count), on);
                         });
  }
  void End(const Ptr& one) {
    asio::error_code ignored;
    one->server.close(ignored);
    if (one->is_deaf) return;
    one->client.close(ignored);
  }

  std::atomic<int> server_port_;
  std::atomic<size_t> bytes_each_{0};
  asio::io_context io_{1};
  tcp::acceptor acceptor_{io_, {asio::ip::address_v4::loopback(), 0}};
  asio::executor_work_guard<asio::io_context::executor_type> work_{io_.get_executor()};
  std::list<Ptr> connections_;
  std::thread thread_;
};

}  // namespace toolwire

#endif  // TOOLWIRE_TESTS_SUPPORT_MIDDLE_H_
