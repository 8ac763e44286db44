// The bytes of one TCP connection of a link: the preface, then messages. What the messages are, it does not know.
#ifndef TOOLWIRE_COMMON_LINK_CONNECTION_H_
#define TOOLWIRE_COMMON_LINK_CONNECTION_H_

#include <asio.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/tls/tls_stream.h"

namespace toolwire {

// Ends in the version of what follows. A peer that sends anything else, such as an HTTP client, is cut.
constexpr char kLinkPreface[] = "TWRELAY2";
constexpr size_t kLinkPrefaceBytes = sizeof kLinkPreface - 1;

// Takes a connection's bytes apart. Pure: no socket, no time. Not thread-safe.
class MessageReader {
 public:
  // Of one message; a longer one makes no sense.
  static constexpr size_t kMessageBytesMax = 256u << 10;

  // Where the next bytes go, never empty; then how many came.
  asio::mutable_buffer Space();
  void Added(size_t bytes) { end_ += bytes; }

  // The next message, valid until Space is called. kNothing: more bytes are needed. kBroken: `error()` says why; call
  // no more.
  enum class Got { kNothing, kMessage, kBroken };
  Got Next(std::string_view* message);
  const std::string& error() const { return error_; }
  void SkipPreface() { preface_seen_ = true; }
  bool empty() const { return begin_ == end_; }

 private:
  Got Preface();

  bool preface_seen_ = false;
  std::string buffer_ = std::string(16u << 10, '\0');
  size_t begin_ = 0, end_ = 0;  // What of the buffer has been added and not been taken.
  std::string error_;
};

// The bytes of one socket, which TLS may carry. Everything happens on the loop that runs it, but for Write and writable,
// which any thread may call under the owner's lock until `closed`: a message then needs no thread but its sender's.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  // All on the loop. `closed` comes once and last; until then the connection keeps itself and these alive.
  struct Events {
    std::function<bool(std::string_view message)> message;  // False: the connection must end, "refused".
    std::function<void()> read;                             // All that had come has been given.
    std::function<void()> writable;                         // The kernel takes more, after Write had to keep something.
    std::function<void()> tick;                             // Every kTick.
    std::function<void()> woken;                            // As WakeIn asked.
    std::function<void(const std::string& why)> closed;  // The descriptor is still open, but not to be used any more.
  };
  static constexpr Duration kTick = std::chrono::milliseconds(250);

  // TLS over the socket. Without a stream: none.
  struct Tls {
    std::unique_ptr<TlsStream> stream;
    TlsCounters* counters = nullptr;  // Of handshakes; outlive the connection.
    bool shaken = false;              // The handshake is done, and counted.
  };
  // Why a connection was closed that the peer has ended in good order.
  static constexpr char kPeerEnded[] = "the peer ended it";
  struct Options {
    // A peer from which nothing comes for so long is cut, also while much is sent to it. Counted in ticks, so that
    // after a pause of this process what the peer has sent meanwhile is read first.
    Duration silence_max;
    // After a pause of this process, what came on a connection that the peer has ended meanwhile is not given: the peer
    // has told others that it did not arrive, or says it again on the next connection.
    bool drops_what_ended = false;
    // The preface was exchanged before, by another Connection on this socket.
    bool greeted = false;
  };
  Connection(asio::ip::tcp::socket socket, const Options& options) : Connection(std::move(socket), options, Tls()) {}
  Connection(asio::ip::tcp::socket socket, const Options& options, Tls tls);

  // Loop thread, once: shakes hands for TLS, sends the preface, then what was written meanwhile, and begins to read.
  void Start(Events events);
  // Loop thread. Other hands take it over.
  void Become(Events events) { events_ = std::make_shared<Events>(std::move(events)); }
  // Loop thread, also in an event. What a connection on another loop needs. A descriptor of -1: a byte came that nobody
  // has taken.
  struct Released {
    int fd = -1;
    Tls tls;
  };
  Released Release();
  // Loop thread. One `woken` at the latest by then, however often it is asked.
  void WakeIn(Duration duration);
  // Any thread. `reset`: what the kernel holds of it is not to be delivered any more.
  void Close(const std::string& why, bool reset = false);
  // Loop thread. Nothing comes from it any more when this returns.
  void CloseNow(const std::string& why) { CloseOnLoop(why, false); }
  asio::any_io_executor executor() { return socket_.get_executor(); }

  // Whether the kernel takes more. Under the owner's lock.
  bool writable() const { return rest_.empty(); }
  // Under the owner's lock. Takes the whole message; what the kernel does not is kept, also behind what was kept
  // before.
  void Write(std::string_view message);
  // Under the owner's lock, when `writable` comes. True: nothing of it is left.
  bool WriteRest();

 private:
  void Shake();
  void Shaken();
  void Read();
  void ReadTls();
  // Gives what has come, up to a bound: then kDone. Nothing: it is closed, or in other hands.
  std::optional<TlsStream::Status> ReadSomeTls(std::string* why);
  void ReadTlsWhen(TlsStream::Status wants, const std::string& why);
  bool Give();
  void Tick();
  bool StoodStill();
  bool EndedByPeer();
  void GoOnWriting();
  bool WriteRestTls();
  void CloseOnceRead(const std::string& why);
  void AwaitWritable(asio::socket_base::wait_type what, int error);
  void CloseOnLoop(const std::string& why, bool reset);

  const Options options_;
  asio::ip::tcp::socket socket_;
  // Reading and writing are one state there, so the stream has a lock of its own, inside the owner's.
  Mutex tls_mu_;
  Tls tls_;
  asio::steady_timer ticker_, waker_;
  std::shared_ptr<Events> events_;  // Held by what calls them. Null once closed.
  MessageReader reader_;
  std::string rest_;  // What the kernel did not take, from `rest_sent_` on. Under the owner's lock.
  size_t rest_sent_ = 0;
  int silent_ticks_ = 0;
  MonoTime last_turn_{};
  bool waking_ = false;
  bool closed_ = false;
};

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_LINK_CONNECTION_H_
