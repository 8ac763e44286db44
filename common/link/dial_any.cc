#include "common/link/dial_any.h"

#include <chrono>
#include <utility>

namespace toolwire {
namespace {

// As happy eyeballs have it: what an address may take before the next one is tried beside it.
constexpr std::chrono::milliseconds kDialHeadStart(250);

}  // namespace

struct DialAny::State {
  explicit State(asio::io_context& loop) : io(loop), head_start(loop) {}
  asio::io_context& io;
  asio::steady_timer head_start;
  Endpoints endpoints;
  size_t begun = 0, failed = 0;
  std::vector<std::unique_ptr<asio::ip::tcp::socket>> attempts;
  Done done;  // Empty once it is over.

  void End(const asio::error_code& error, asio::ip::tcp::socket* socket) {
    const Done call = std::exchange(done, nullptr);
    head_start.cancel();
    if (call && socket != nullptr) {
      asio::ip::tcp::socket taken = std::move(*socket);
      attempts.clear();
      return call(error, &taken);
    }
    attempts.clear();
    if (call) call(error, nullptr);
  }
};

void DialAny::Start(Endpoints endpoints, Done done) {
  state_ = std::make_shared<State>(io_);
  state_->endpoints = std::move(endpoints);
  state_->done = std::move(done);
  if (state_->endpoints.empty()) {
    return asio::post(io_, [state = state_] { state->End(asio::error::host_not_found, nullptr); });
  }
  Next(state_);
}

void DialAny::Cancel() {
  if (!state_) return;
  state_->done = nullptr;
  state_->End(asio::error::operation_aborted, nullptr);
}

void DialAny::Next(const std::shared_ptr<State>& state) {
  if (!state->done || state->begun == state->endpoints.size()) return;
  const asio::ip::tcp::endpoint& to = state->endpoints[state->begun++];
  auto* const socket = state->attempts.emplace_back(std::make_unique<asio::ip::tcp::socket>(state->io)).get();
  socket->async_connect(to, [state, socket](const asio::error_code& error) {
    if (!state->done) return;  // Over: the socket is no more.
    if (!error) return state->End(error, socket);
    if (++state->failed == state->endpoints.size()) return state->End(error, nullptr);
    Next(state);
  });
  state->head_start.expires_after(kDialHeadStart);
  state->head_start.async_wait([state](const asio::error_code& cancelled) {
    if (!cancelled) Next(state);
  });
}

}  // namespace toolwire
