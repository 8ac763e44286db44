#include "common/link/relay_probe.h"

#include <asio.hpp>
#include <memory>
#include <utility>

#include "common/base/host_port.h"
#include "common/link/dial_any.h"
#include "common/link/link.h"

namespace toolwire {

absl::StatusOr<v1::LinkHello> ProbeRelay(const std::string& address, Duration timeout, TlsFiles* tls) {
  using tcp = asio::ip::tcp;
  const auto at = ParseHostPort(address);
  if (!at.ok()) return at.status();
  asio::io_context io{1};
  absl::StatusOr<v1::LinkHello> result = absl::UnavailableError("no answer in time");
  std::shared_ptr<Connection> link;
  const auto end = [&](absl::StatusOr<v1::LinkHello> found) {
    result = std::move(found);
    io.stop();
  };
  tcp::resolver resolver(io);
  DialAny dial(io);
  const std::string port = std::to_string(at->port.value_or(0));
  resolver.async_resolve(at->host, port, [&](const asio::error_code& ec, const tcp::resolver::results_type& found) {
    if (ec) return end(absl::UnavailableError(ec.message()));
    dial.Start({found.begin(), found.end()}, [&](const asio::error_code& connect_ec, tcp::socket* connected) {
      if (connect_ec) return end(absl::UnavailableError(connect_ec.message()));
      tcp::socket socket = std::move(*connected);
      Connection::Options options;
      options.silence_max = timeout;
      Connection::Events events;
      events.message = [&](std::string_view message) {
        v1::LinkHello hello;
        if (hello.ParseFromArray(message.data(), static_cast<int>(message.size())) && !hello.id().empty()) {
          end(std::move(hello));
        } else {
          end(absl::FailedPreconditionError("it says no hello"));
        }
        return false;
      };
      events.closed = [&](const std::string& why) {
        if (result.ok() || absl::IsFailedPrecondition(result.status())) return;
        end(absl::FailedPreconditionError(why));
      };
      events.writable = [&] { link->WriteRest(); };
      Connection::Tls secured;
      if (tls != nullptr) {
        secured = {TlsStream::Connect(*tls->Current(), socket.native_handle(), ""), &tls->counters()};
        if (!secured.stream) return end(absl::UnavailableError("no memory for TLS"));
      }
      link = std::make_shared<Connection>(std::move(socket), options, std::move(secured));
      link->Start(std::move(events));
      link->Write(MakeHello("", "probe", {}).SerializeAsString());
    });
  });
  io.run_for(timeout);
  return result;
}

}  // namespace toolwire
