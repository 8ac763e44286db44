// The WebSockets of one loop: handshakes, frames, closing. Of the edge, only this and its ws_*.h know websocketpp.
#ifndef TOOLWIRE_EDGE_WS_SERVER_H_
#define TOOLWIRE_EDGE_WS_SERVER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "edge/close_reason.h"

namespace asio {
class io_context;
}

namespace toolwire {

class TlsHandshakes;
struct ProxyHeaderCounters;

// Loop thread only. Knows sockets by the ids that its owner gives them, and nothing of users. Exceptions of the library
// end in the loop's `run`.
class WsServer {
 public:
  struct HttpReply {
    int status = 404;
    std::string body;
  };

  // What happens to sockets. Each may call the server again.
  class Handler {
   public:
    // The proxy that the socket comes through names this client; empty: nobody but itself; nullopt: there is no header.
    // Before everything else.
    virtual void OnProxyHeader(uint64_t id, const std::optional<std::string>& client) = 0;
    // A request was read completely; nothing of its response is written yet. `proxied`: its Options::proxy_header.
    virtual void OnRequest(uint64_t id, const std::string& proxied) = 0;
    // A request that is no upgrade to a WebSocket. Nothing: Reply will be called.
    virtual std::optional<HttpReply> OnHttp(uint64_t id, const std::string& path) = 0;
    // The WebSocket is open; `target` and `authorization` are those of its request.
    virtual void OnOpen(uint64_t id, const std::string& target, const std::string& authorization) = 0;
    // A frame came; its text is not checked for UTF-8. The handler may take it.
    virtual void OnFrame(uint64_t id, std::string& text) = 0;
    // The text of the next frame to send, which counts as sent from now on. False if there is none.
    virtual bool NextFrame(uint64_t id, std::string* text) = 0;
    // The kernel has taken a frame: WriteFrames may go on.
    virtual void OnWritable(uint64_t id) = 0;
    // The peer ended the WebSocket, it was lost, or the peer broke the protocol, if `too_big` by a frame over the
    // limit; also after a request that is no upgrade, or a handshake that failed. Not called if Close was. No other
    // event but OnClosed follows.
    virtual void OnEnd(uint64_t id, bool too_big) = 0;
    // The descriptor is closed. The last event of every adopted socket.
    virtual void OnClosed(uint64_t id) = 0;

   protected:
    ~Handler() = default;
  };

  struct Options {
    size_t frame_bytes_max = 0;
    size_t early_bytes_max = 0;                    // What is read of a socket before TrustPeer.
    std::string proxy_header;                      // In which proxies name the client. Empty: none is read.
    ProxyHeaderCounters* proxy_headers = nullptr;  // Of the PROXY protocol; needed if a socket begins with one.
  };
  // How a socket begins.
  struct Arrival {
    std::string address;           // Where its peer is.
    bool proxy_header = false;     // First comes the header of the PROXY protocol. With a wrong one it is closed.
    TlsHandshakes* tls = nullptr;  // Then a handshake of TLS, in a turn of the client's address.
  };

  WsServer(asio::io_context& io, const Options& options, Handler& handler);
  // The loop must have stopped. No event comes any more, not even OnClosed.
  ~WsServer();

  // Takes over a connected socket; `id` is new.
  void Adopt(uint64_t id, int fd, const Arrival& arrival);
  // Its frames may be as large as `frame_bytes_max` from now on.
  void TrustPeer(uint64_t id);
  // After what was read already no more frames come until ReadOn; the rest waits in the kernel.
  void HoldReads(uint64_t id);
  void ReadOn(uint64_t id);
  // Answers a request of OnHttp that has no reply yet, if its socket is still there.
  void Reply(uint64_t id, const HttpReply& reply);
  // Sends the handler's next frames, as far as the kernel keeps up.
  void WriteFrames(uint64_t id);
  // Nothing is sent or received any more but the closing handshake. Without a WebSocket yet, the socket is just closed.
  void Close(uint64_t id, const CloseReason& reason);
  // Ends by a reset what Close or OnEnd has left to do; nothing if neither was called.
  void Cut(uint64_t id);
  // How long ago bytes of the socket came, read or not.
  Duration SinceHeard(uint64_t id) const;
  // Whether bytes of the socket wait in the kernel, to be read soon.
  bool HasUnread(uint64_t id) const;
  // Every socket, from Adopt to OnClosed.
  std::vector<uint64_t> Sockets() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace toolwire

#endif  // TOOLWIRE_EDGE_WS_SERVER_H_
