// Turns are paid from a credit that grows with time and is capped at what one round of the timer brings, so a pause
// does not end in a burst. The timer runs only while turns wait. The host is resolved when a turn is due and its
// addresses are older than a few seconds; if that fails, all turns that wait fail.

#include "cli/agent/dialer.h"

#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

namespace toolwire {
namespace {

constexpr Duration kDialEvery = std::chrono::milliseconds(10);
constexpr Duration kAddressesFreshFor = std::chrono::seconds(5);

}  // namespace

Dialer::Dialer(asio::io_context& io, const Clock& clock, std::string host, uint16_t port, double dials_per_second)
    : clock_(clock),
      host_(std::move(host)),
      port_(port),
      dials_per_second_(dials_per_second),
      timer_(io),
      resolver_(io) {}

void Dialer::Enqueue(Turn turn) {
  queue_.push_back(std::move(turn));
  GiveTurns();
}

Dialer::Addresses Dialer::Behind(const Addresses& all, size_t passed_over) {
  if (all.size() < 2 || passed_over % all.size() == 0) return all;
  std::vector<asio::ip::tcp::endpoint> endpoints(all.begin(), all.end());
  std::rotate(endpoints.begin(), endpoints.begin() + static_cast<std::ptrdiff_t>(passed_over % all.size()),
              endpoints.end());
  return Addresses::create(endpoints.begin(), endpoints.end(), all.begin()->host_name(), all.begin()->service_name());
}

void Dialer::GiveTurns() {
  if (queue_.empty() || timer_armed_ || resolving_) return;
  const MonoTime now = clock_.Now();
  if (now >= addresses_until_) return Resolve();
  const double per_round = std::max(1.0, dials_per_second_ * std::chrono::duration<double>(kDialEvery).count());
  const double earned = dials_per_second_ * std::chrono::duration<double>(now - credit_at_).count();
  credit_ = std::min(per_round, credit_ + earned);
  credit_at_ = now;
  while (!queue_.empty() && credit_ >= 1) {
    const Turn turn = std::move(queue_.front());
    queue_.pop_front();
    credit_ -= 1;
    turn({}, Behind(addresses_, passed_over_));
  }
  if (queue_.empty()) return;
  timer_armed_ = true;
  timer_.expires_after(kDialEvery);
  timer_.async_wait([this](const std::error_code& ec) {
    timer_armed_ = false;
    if (!ec) GiveTurns();
  });
}

void Dialer::Resolve() {
  std::error_code ec;
  const asio::ip::address address = asio::ip::make_address(host_, ec);
  if (!ec) {  // Numbers need no resolver, and no thread of one.
    return OnResolved(ec, Addresses::create(asio::ip::tcp::endpoint(address, port_), host_, ""));
  }
  resolving_ = true;
  resolver_.async_resolve(host_, std::to_string(port_), asio::ip::tcp::resolver::numeric_service,
                          [this](const std::error_code& error, Addresses addresses) {
                            resolving_ = false;
                            OnResolved(error, std::move(addresses));
                          });
}

void Dialer::OnResolved(const std::error_code& ec, Addresses addresses) {
  if (ec) {
    std::deque<Turn> failed;
    failed.swap(queue_);
    for (const Turn& turn : failed) turn(ec, {});
    return;
  }
  addresses_ = std::move(addresses);
  addresses_until_ = clock_.Now() + kAddressesFreshFor;
  GiveTurns();
}

}  // namespace toolwire
