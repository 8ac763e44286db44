// Resolve, connect, handshake, read. With TLS 1.3 a server refuses a client's certificate after the handshake is done
// at the client, so the first byte or alert after it is waited for: a gRPC server begins to speak by itself. A target
// without TLS is tried too, as a control with TLS would answer it with nothing.

#include "cli/control_probe.h"

#include <asio.hpp>
#include <csignal>
#include <memory>
#include <utility>

#include "cli/control_tls.h"
#include "common/link/dial_any.h"
#include "common/tls/tls_stream.h"

namespace toolwire {
namespace {

// What gRPC does by a flag of each write, OpenSSL does not.
class SigpipeIgnored {
 public:
  SigpipeIgnored() : before_(std::signal(SIGPIPE, SIG_IGN)) {}
  ~SigpipeIgnored() { std::signal(SIGPIPE, before_); }
  SigpipeIgnored(const SigpipeIgnored&) = delete;
  SigpipeIgnored& operator=(const SigpipeIgnored&) = delete;

 private:
  void (*const before_)(int);
};

class Probe {
 public:
  Probe(const TlsContext& context, std::string name) : context_(context), name_(std::move(name)) {}

  void Run(const HostPort& at, Duration timeout) {
    using tcp = asio::ip::tcp;
    const std::string port = std::to_string(at.port.value_or(443));
    resolver_.async_resolve(
        at.host, port, [this](const asio::error_code& ec, const tcp::resolver::results_type& found) {
          if (ec) return;
          dial_.Start({found.begin(), found.end()}, [this](const asio::error_code& connect_ec, tcp::socket* connected) {
            if (connect_ec) return;
            socket_ = std::move(*connected);
            socket_.non_blocking(true);
            stream_ = TlsStream::Connect(context_, socket_.native_handle(), name_);
            if (stream_) Step();
          });
        });
    io_.run_for(timeout);
  }

  // Null if nobody could be reached.
  const TlsStream* stream() const { return stream_.get(); }
  // The handshake is done,
  bool shaken() const { return shaken_; }
  // and the other side has ended the connection before it said anything.
  bool ended() const { return ended_; }

 private:
  void Step() {
    TlsStream::Status status = TlsStream::Status::kDone;
    if (!shaken_) {
      status = stream_->Handshake();
      shaken_ = status == TlsStream::Status::kDone;
    }
    char byte = 0;
    if (shaken_) status = stream_->Read(&byte, sizeof byte).status;
    ended_ = status == TlsStream::Status::kClosed;
    const bool wants_read = status == TlsStream::Status::kWantsRead;
    if (!wants_read && status != TlsStream::Status::kWantsWrite) return;
    socket_.async_wait(wants_read ? socket_.wait_read : socket_.wait_write, [this](const asio::error_code& ec) {
      if (!ec) Step();
    });
  }

  const TlsContext& context_;
  const std::string name_;
  asio::io_context io_{1};
  asio::ip::tcp::resolver resolver_{io_};
  DialAny dial_{io_};
  asio::ip::tcp::socket socket_{io_};
  std::unique_ptr<TlsStream> stream_;
  bool shaken_ = false;
  bool ended_ = false;
};

}  // namespace

ControlProbe ProbeControl(const ControlTarget& target, Duration timeout) {
  const auto at = HostPortOf(target);
  const bool secure = target.tls.on();
  const auto files = ReadControlTls(secure ? target.tls : ControlTls());
  const auto name = ServerNameOf(target);
  if (!at.ok() || !files.ok() || !name.ok()) return {};
  const SigpipeIgnored ignored;
  Probe probe(*files->context, *name);
  probe.Run(*at, timeout);
  const TlsStream* const stream = probe.stream();
  if (stream == nullptr) return {};
  const TlsFailure failure = stream->failure();
  if (!secure) {
    const bool speaks_tls =
        probe.shaken() || failure == TlsFailure::kPeerCertificate || failure == TlsFailure::kPeerRefuses;
    return {speaks_tls ? "it speaks TLS; give --tls, or --ca with the file of its CA" : "", std::nullopt};
  }
  if (probe.ended()) {
    return {
        "it ends the connection after the handshake; it may refuse the client's certificate (--cert), or ask for one",
        std::nullopt};
  }
  if (failure == TlsFailure::kNone) return {"", probe.shaken() ? stream->peer_expires_at() : std::nullopt};
  return {ExplainTlsFailure(target.tls, failure, stream->error()), std::nullopt};
}

}  // namespace toolwire
