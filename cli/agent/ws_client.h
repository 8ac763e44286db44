// websocketpp as the agents use it. Only agent_loop.cc includes this.
#ifndef TOOLWIRE_CLI_AGENT_WS_CLIENT_H_
#define TOOLWIRE_CLI_AGENT_WS_CLIENT_H_

// clang-format off: before websocketpp, as at the edge, which is in the same program.
#include "edge/ws_utf8.h"
// clang-format on

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <websocketpp/client.hpp>
#include <websocketpp/concurrency/none.hpp>
#include <websocketpp/config/core_client.hpp>
#include <websocketpp/logger/stub.hpp>

#include "cli/agent/masking_keys.h"
#include "edge/ws_transport.h"

namespace toolwire::agent_ws {

struct Agent;  // Its user's.

struct AgentOfConnection {
  Agent* agent = nullptr;  // Null once the agent has let go of it.
  size_t unwritten = 0;    // Bytes of frames that were handed to websocketpp and not yet to the kernel.
};

// websocketpp configured for little memory per connection: one thread, no locks, no log, a small read buffer.
struct ClientConfig : websocketpp::config::core_client {
  using type = ClientConfig;
  using base = websocketpp::config::core_client;
  using concurrency_type = websocketpp::concurrency::none;
  using alog_type = websocketpp::log::stub;
  using elog_type = websocketpp::log::stub;
  using rng_type = MaskingKeys;
  using connection_base = AgentOfConnection;  // websocketpp derives its connections from it.
  static const websocketpp::log::level alog_level = 0;
  static const websocketpp::log::level elog_level = 0;
  static const bool enable_multithreading = false;
  static const size_t connection_read_buffer_size = 1024;
  static const size_t max_http_body_size = 1 << 16;
  static const long timeout_open_handshake = 15'000;
  // enable_extensions stays true: without it the client role refuses every server. None is ever offered.

  struct transport_config {
    using concurrency_type = type::concurrency_type;
    using alog_type = type::alog_type;
    using elog_type = type::elog_type;
  };
  using transport_type = ws::Endpoint<transport_config>;
};
using Endpoint = websocketpp::client<ClientConfig>;
using ConnectionPtr = Endpoint::connection_ptr;
using Message = Endpoint::message_ptr::element_type;

// Sends a frame of text, masked with this key. False if the connection is not open. `written` runs when its bytes are
// in the kernel or lost, unless the agent has let go of the connection. (The library's own sending copies the text, and
// does not say when it is written.)
inline bool SendText(const ConnectionPtr& con, uint32_t masking_key, std::string text,
                     std::function<void(Agent*)> written) {
  if (con->get_state() != websocketpp::session::state::open) return false;
  AgentOfConnection* const peer = con.get();  // Still there when the last message is given back: its base.
  const size_t size = text.size();
  const Endpoint::message_ptr message(new Message(nullptr, websocketpp::frame::opcode::text, 0),
                                      [peer, size, written = std::move(written)](Message* sent) {
                                        delete sent;
                                        peer->unwritten -= size;
                                        if (peer->agent != nullptr) written(peer->agent);
                                      });
  peer->unwritten += size;
  websocketpp::frame::masking_key_type key;
  key.i = masking_key;
  websocketpp::frame::byte_mask(text.begin(), text.end(), key);
  const websocketpp::frame::basic_header basic(websocketpp::frame::opcode::text, size, /*fin=*/true, /*masked=*/true);
  const websocketpp::frame::extended_header extended(size, masking_key);
  message->set_header(websocketpp::frame::prepare_header(basic, extended));
  message->get_raw_payload() = std::move(text);
  message->set_prepared(true);
  return !con->send(message);
}

}  // namespace toolwire::agent_ws

#endif  // TOOLWIRE_CLI_AGENT_WS_CLIENT_H_
