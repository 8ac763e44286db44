// TLS handshakes of one port's sockets: at a pace, in turns by address, on a thread of their own.
#ifndef TOOLWIRE_COMMON_TLS_TLS_HANDSHAKES_H_
#define TOOLWIRE_COMMON_TLS_TLS_HANDSHAKES_H_

#include <asio/io_context.hpp>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "common/base/clock.h"
#include "common/base/counter.h"
#include "common/base/mutex.h"
#include "common/tls/tls_files.h"
#include "common/tls/tls_stream.h"

namespace toolwire {

// One step of one handshake, which waits for its turn, runs, and is reported to the loop that asked for it.
class HandshakeTurn {
 public:
  // `work` runs on the handshakes' thread and touches nothing but the stream that is being made; `done` runs on `loop`.
  HandshakeTurn(asio::io_context& loop, std::function<TlsStream::Status()> work,
                std::function<void(TlsStream::Status)> done)
      : loop_(loop), work_(std::move(work)), done_(std::move(done)) {}

  // Loop thread only. True if the turn will not run any more, nor report; else it is running now, and `then` runs in
  // the place of its report.
  bool Cancel(std::function<void()> then);

 private:
  friend class HandshakeQueue;
  friend class TlsHandshakes;
  enum class State { kWaiting, kRunning, kOver };
  // True once; false if it was cancelled.
  bool Begin();
  bool IsOver() const { return state_ == State::kOver; }
  // On the thread, once it has begun: the work, and the post of the report.
  static void Run(const std::shared_ptr<HandshakeTurn>& turn) { Report(turn, turn->work_()); }
  // The same without the work.
  static void Report(const std::shared_ptr<HandshakeTurn>& turn, TlsStream::Status status);
  void Forget();  // Nobody will run it.

  asio::io_context& loop_;
  std::function<TlsStream::Status()> work_;
  std::function<void(TlsStream::Status)> done_;
  std::function<void()> then_;  // The loop's.
  std::atomic<State> state_{State::kWaiting};
};

// Whose turn it is. Handshakes that have begun go on first; those that begin are paced and taken in turns by address,
// so that one that dials a lot holds up itself. Not thread-safe.
//
// Once IsFull, sockets are not accepted, and in the kernel's queue there are no turns: whoever dials most is before all
// others there. So an address that has most of what waits makes it full for its own handshakes only, which are refused,
// as long as others' come. A storm from one address alone has nobody to make room for, and waits.
class HandshakeQueue {
 public:
  struct Options {
    int per_second_max = 400;    // A third of a core: one takes 0.7 to 0.9 ms, and calls need the rest.
    Counter* refused = nullptr;  // Counts them. Null: none is refused.
    // Who stands for many, such as a proxy, and so is not refused. May be empty.
    std::function<bool(const std::string& address)> never_refused = nullptr;
  };
  // For so long others are expected to come again: who dials again and again does it each minute.
  static constexpr Duration kOthersComeFor = std::chrono::minutes(1);
  // `paced` counts how often handshakes had to wait for their pace.
  HandshakeQueue(const Options& options, Counter& paced) : options_(options), paced_(paced) {}

  using Turn = std::shared_ptr<HandshakeTurn>;
  // False: it is refused, and not taken.
  bool Begin(const std::string& address, Turn turn, MonoTime now);
  void GoOn(Turn turn) { going_on_.push_back(std::move(turn)); }
  // The next one, begun; or null and, in `*wait`, after what time to ask again: the greatest if nothing waits.
  Turn Next(MonoTime now, Duration* wait);
  // Handshakes that have not begun.
  size_t waiting() const { return waiting_; }
  // Whether so many wait that those behind them would wait for more than about a second: as many as begin in one on
  // this machine now, which may be busy, and no more than the pace allows. Not if the next of those are refused.
  bool IsFull(MonoTime now) { return HasASecondsWorth(now) && !IsCrowded(now); }
  // All that wait, for the end.
  std::deque<Turn> TakeAll();

 private:
  Turn TakeOfNextAddress();
  void MoveWindow(MonoTime now);
  bool HasASecondsWorth(MonoTime now);
  // Most of those that wait are of crowd_, and others come.
  bool IsCrowded(MonoTime now) const;

  const Options options_;
  Counter& paced_;
  std::deque<Turn> going_on_;
  std::map<std::string, std::deque<Turn>> beginning_;  // By AddressKey; no queue is empty.
  std::string last_key_;                               // Whose turn was the last.
  std::string crowd_;                                  // Whose most of those that waited were, the last time it was so.
  // Who came last, and who else before that.
  struct Came {
    std::string key;
    MonoTime at = MonoTime::min();
  };
  Came last_came_, other_came_;
  size_t waiting_ = 0;
  bool was_paced_ = false;
  // How many have begun since window_at_, and in the window before it.
  MonoTime window_at_{};
  size_t begun_ = 0, begun_before_ = 0;
  double tokens_ = 1;
  MonoTime tokens_at_{};
};

// Thread-safe. Its thread yields to those that carry calls.
class TlsHandshakes {
 public:
  TlsHandshakes(TlsFiles& files, const HandshakeQueue::Options& options, Counter& paced);
  // The loops may run no more. Turns that wait are forgotten.
  ~TlsHandshakes();

  // Its work is left out if it is refused, and kFailed is reported.
  void Begin(const std::string& address, std::shared_ptr<HandshakeTurn> turn);
  void GoOn(std::shared_ptr<HandshakeTurn> turn);
  // How long the next socket has to stay in the kernel's queue, where it costs nothing and no time of its login passes.
  Duration AcceptDelay();

  TlsFiles& files() { return files_; }

 private:
  void Run();

  TlsFiles& files_;
  Mutex mu_;
  CondVar wake_;
  HandshakeQueue queue_ ABSL_GUARDED_BY(mu_);
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_;
};

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_TLS_TLS_HANDSHAKES_H_
