// A loop on one thread: dial, exchange hellos, receive frames until the connection ends, wait, dial again. The wait
// doubles from 50 ms to 2 s and begins anew after a link that worked. Of a link that ends, the calls whose frames were
// never written are reported to the dispatcher, which delivers them elsewhere.
#include "control/edge_link.h"

#include <asio.hpp>
#include <chrono>
#include <thread>
#include <utility>
#include <vector>

#include "common/base/host_port.h"
#include "common/base/log.h"
#include "common/link/relay_socket.h"

namespace toolwire {
namespace {

// Calls that may wait for one edge: past it the edge counts as unavailable.
constexpr size_t kOutboxBytesMax = 256u << 20;
// A crashed edge's calls must fail over within two seconds.
constexpr Duration kSilenceMax = std::chrono::milliseconds(1500);
// From dialling to the edge's hello.
constexpr Duration kHelloWaitMax = std::chrono::seconds(2);
constexpr Duration kRedialMin = std::chrono::milliseconds(50);
constexpr Duration kRedialMax = std::chrono::milliseconds(2000);

// What the dispatcher sees of a connection.
class SocketToEdge final : public ToEdge {
 public:
  SocketToEdge(std::shared_ptr<asio::io_context> io, std::shared_ptr<ControlSocket> socket)
      : io_(std::move(io)), socket_(std::move(socket)) {}
  bool Send(v1::ControlFrame&& frame) override { return socket_->Send(std::move(frame)); }

 private:
  const std::shared_ptr<asio::io_context> io_;  // A sender may come late, when the link is gone.
  const std::shared_ptr<ControlSocket> socket_;
};

}  // namespace

// Everything but the constructor and the destructor runs on `thread`.
struct EdgeLink::Impl {
  using tcp = asio::ip::tcp;

  Impl(EdgeLink& owner, std::string edge_id, Dispatcher& the_dispatcher, size_t payload_bytes_max,
       std::function<void(const std::string&)> on_edge_up)
      : link(owner),
        wanted_edge_id(std::move(edge_id)),
        dispatcher(the_dispatcher),
        options{kOutboxBytesMax, UnfinishedBytesMax(payload_bytes_max), kSilenceMax},
        on_edge(std::move(on_edge_up)) {
    asio::post(io, [this] { Dial(); });
    thread = std::thread([this] { io.run(); });
  }

  ~Impl() {
    asio::post(io, [this] {
      stopping = true;
      resolver.cancel();
      timer.cancel();
      asio::error_code ignored;
      dialled.close(ignored);
      if (socket) socket->Close("control is stopping");
    });
    thread.join();
  }

  void Dial() {
    const auto at = ParseHostPort(link.address_);
    if (!at.ok()) return Ended(std::string(at.status().message()));
    dialled = tcp::socket(io);
    // Ends whichever step of dialling is under way; an edge that accepts and sends no hello counts as not there.
    timer.expires_after(kHelloWaitMax);
    timer.async_wait([this](const asio::error_code& ec) {
      if (ec) return;
      resolver.cancel();
      asio::error_code ignored;
      dialled.close(ignored);
      if (socket) socket->Close("no hello");
    });
    const std::string host = at->host, port = std::to_string(at->port.value_or(0));
    resolver.async_resolve(host, port, [this](const asio::error_code& ec, const tcp::resolver::results_type& found) {
      if (ec) return Ended(ec.message());
      if (stopping) return;
      asio::async_connect(dialled, found, [this](const asio::error_code& connect_ec, const tcp::endpoint&) {
        if (connect_ec) return Ended(connect_ec.message());
        if (!stopping) Begin();
      });
    });
  }

  void Begin() {
    socket = std::make_shared<ControlSocket>(std::move(dialled), options);
    ControlSocket::Events events;
    events.opened = [] {};
    events.frame = [this](v1::EdgeFrame&& frame) { return Receive(std::move(frame)); };
    events.closed = [this](const std::string& why) { OnClosed(why); };
    socket->Start(std::move(events));
  }

  // False: another edge than the wanted one.
  bool Receive(v1::EdgeFrame&& frame) {
    if (number == 0) {
      if (!frame.has_hello()) return false;
      edge_id = frame.hello().server_id();
      if (!wanted_edge_id.empty() && edge_id != wanted_edge_id) return false;
      timer.cancel();
      number = dispatcher.LinkUp(edge_id, std::make_shared<SocketToEdge>(shared_io, socket),
                                 std::chrono::milliseconds(frame.hello().login_timeout_ms()));
      link.up_ = true;
      if (on_edge) on_edge(edge_id);
      log::Info("edge linked", {{"edge", edge_id}, {"address", link.address_}});
    }
    dispatcher.Receive(number, std::move(frame));
    return true;
  }

  void OnClosed(const std::string& why) {
    const std::shared_ptr<ControlSocket> ended = std::exchange(socket, nullptr);
    if (number == 0) return Ended(why);
    std::vector<uint64_t> unsent;
    for (const v1::ControlFrame& frame : ended->TakeUnsent()) {
      for (const v1::Deliver& deliver : frame.deliveries()) unsent.push_back(deliver.call_id());
    }
    link.up_ = false;
    log::Warn("edge unlinked", {{"edge", edge_id}, {"address", link.address_}, {"why", why}});
    dispatcher.LinkDown(std::exchange(number, 0), unsent);
    back_off = kRedialMin;
    complained = false;
    DialLater();
  }

  // Dialling failed.
  void Ended(const std::string& why) {
    if (stopping) return;
    if (!std::exchange(complained, true)) {
      log::Warn("edge cannot be reached; still trying", {{"address", link.address_}, {"why", why}});
    }
    DialLater();
  }

  void DialLater() {
    if (stopping) return;
    timer.expires_after(back_off);
    timer.async_wait([this](const asio::error_code& ec) {
      if (!ec && !stopping) Dial();
    });
    back_off = std::min(2 * back_off, kRedialMax);
  }

  EdgeLink& link;
  const std::string wanted_edge_id;
  Dispatcher& dispatcher;
  const ControlSocket::Options options;
  const std::function<void(const std::string&)> on_edge;

  const std::shared_ptr<asio::io_context> shared_io = std::make_shared<asio::io_context>(1);
  asio::io_context& io = *shared_io;
  tcp::resolver resolver{io};
  tcp::socket dialled{io};  // Until it is connected.
  asio::steady_timer timer{io};
  std::shared_ptr<ControlSocket> socket;  // The connection, from then on.
  uint64_t number = 0;                    // The dispatcher's number of this link; 0 before the hello.
  std::string edge_id;
  Duration back_off = kRedialMin;
  bool complained = false;
  bool stopping = false;

  std::thread thread;
};

EdgeLink::EdgeLink(std::string edge_id, std::string address, Dispatcher& dispatcher, size_t payload_bytes_max,
                   std::function<void(const std::string& edge_id)> on_edge)
    : address_(std::move(address)),
      impl_(std::make_unique<Impl>(*this, std::move(edge_id), dispatcher, payload_bytes_max, std::move(on_edge))) {}

EdgeLink::~EdgeLink() = default;

}  // namespace toolwire
