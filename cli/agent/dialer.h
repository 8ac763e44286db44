// The queue of agents that want to dial: their turns, at a bearable pace, and the address that all of them dial.
#ifndef TOOLWIRE_CLI_AGENT_DIALER_H_
#define TOOLWIRE_CLI_AGENT_DIALER_H_

#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/steady_timer.hpp>
#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <system_error>

#include "common/base/clock.h"

namespace toolwire {

// Loop thread only. websocketpp would resolve the name once per agent, and cannot spread the dials.
class Dialer {
 public:
  using Addresses = asio::ip::tcp::resolver::results_type;
  // Called once, when the turn has come: with the addresses to connect to, or with why there are none.
  using Turn = std::function<void(const std::error_code& unresolved, const Addresses& addresses)>;

  Dialer(asio::io_context& io, const Clock& clock, std::string host, uint16_t port, double dials_per_second);

  // Turns come in the order of these calls; perhaps before this returns.
  void Enqueue(Turn turn);
  // The first address of a turn did not answer in its time: for the turns that come it is the last one.
  void PassOverFirst() { ++passed_over_; }
  // All of them, beginning behind so many.
  static Addresses Behind(const Addresses& all, size_t passed_over);
  // Forgets all turns that wait.
  void Clear() { queue_.clear(); }

 private:
  void GiveTurns();
  void Resolve();
  void OnResolved(const std::error_code& ec, Addresses addresses);

  const Clock& clock_;
  const std::string host_;
  const uint16_t port_;
  const double dials_per_second_;
  std::deque<Turn> queue_;
  asio::steady_timer timer_;
  bool timer_armed_ = false;
  double credit_ = 1;  // Turns that may be given now.
  MonoTime credit_at_{};
  asio::ip::tcp::resolver resolver_;
  bool resolving_ = false;
  Addresses addresses_;
  MonoTime addresses_until_{};
  size_t passed_over_ = 0;
};

}  // namespace toolwire

#endif  // TOOLWIRE_CLI_AGENT_DIALER_H_
