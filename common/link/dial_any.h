// Dials a name's addresses until one answers.
#ifndef TOOLWIRE_COMMON_LINK_DIAL_ANY_H_
#define TOOLWIRE_COMMON_LINK_DIAL_ANY_H_

#include <asio.hpp>
#include <functional>
#include <memory>
#include <vector>

namespace toolwire {

// The addresses are dialled one after the other with a head start each, or at once after one that refuses; the first
// that answers is taken. So one that swallows packets holds up nobody. Used by the thread that runs `io`.
class DialAny {
 public:
  using Endpoints = std::vector<asio::ip::tcp::endpoint>;
  // `socket` is connected, to be moved from, or null with the error of the last address that failed.
  using Done = std::function<void(const asio::error_code& error, asio::ip::tcp::socket* socket)>;

  explicit DialAny(asio::io_context& io) : io_(io) {}
  ~DialAny() { Cancel(); }
  DialAny(const DialAny&) = delete;
  DialAny& operator=(const DialAny&) = delete;

  // Once. Calls `done` from `io`, unless it is cancelled.
  void Start(Endpoints endpoints, Done done);
  // Ends all attempts; `done` is not called any more.
  void Cancel();

 private:
  struct State;
  static void Next(const std::shared_ptr<State>& state);

  asio::io_context& io_;
  std::shared_ptr<State> state_;
};

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_LINK_DIAL_ANY_H_
