#include "common/link/relay_probe.h"

#include <asio.hpp>
#include <memory>
#include <utility>

#include "common/base/host_port.h"
#include "common/link/relay_socket.h"

namespace toolwire {

absl::StatusOr<v1::EdgeHello> ProbeRelay(const std::string& address, Duration timeout) {
  using tcp = asio::ip::tcp;
  const auto at = ParseHostPort(address);
  if (!at.ok()) return at.status();
  asio::io_context io{1};
  absl::StatusOr<v1::EdgeHello> result = absl::UnavailableError("no answer in time");
  std::shared_ptr<ControlSocket> link;
  const auto end = [&](absl::StatusOr<v1::EdgeHello> found) {
    result = std::move(found);
    io.stop();
  };
  tcp::resolver resolver(io);
  tcp::socket socket(io);
  const std::string port = std::to_string(at->port.value_or(0));
  resolver.async_resolve(at->host, port, [&](const asio::error_code& ec, const tcp::resolver::results_type& found) {
    if (ec) return end(absl::UnavailableError(ec.message()));
    asio::async_connect(socket, found, [&](const asio::error_code& connect_ec, const tcp::endpoint&) {
      if (connect_ec) return end(absl::UnavailableError(connect_ec.message()));
      ControlSocket::Events events;
      events.opened = [] {};
      events.frame = [&](v1::EdgeFrame&& frame) {
        if (frame.has_hello()) {
          end(std::move(*frame.mutable_hello()));
        } else {
          end(absl::FailedPreconditionError("it says no hello"));
        }
        return false;
      };
      events.closed = [&](const std::string& why) {
        if (result.ok() || absl::IsFailedPrecondition(result.status())) return;
        end(absl::FailedPreconditionError(why));
      };
      link = std::make_shared<ControlSocket>(std::move(socket), ControlSocket::Options{1u << 20, 1u << 20, timeout});
      link->Start(std::move(events));
    });
  });
  io.run_for(timeout);
  return result;
}

}  // namespace toolwire
