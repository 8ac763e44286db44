// gRPC gives its statistics as JSON. Numbers of connections only grow, so that only newer ones are read.
#include "control/grpc_streams.h"

#include <grpc/grpc.h>
#include <grpc/support/alloc.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>

#include "control/caller_peer.h"

namespace toolwire {
namespace {

using asio::ip::tcp;
using nlohmann::json;

json Take(char* text) {
  json read = text == nullptr ? json() : json::parse(text, nullptr, false);
  gpr_free(text);
  return read.is_object() ? read : json::object();
}

// gRPC writes numbers of 64 bits as strings, and leaves those out that are 0.
int64_t Number(const json& object, const char* name) {
  return std::strtoll(object.value(name, "0").c_str(), nullptr, 10);
}

}  // namespace

void GrpcStreams::ReadNew(const std::function<void(const tcp::endpoint& peer, int64_t number)>& on_connection) {
  // The process has one gRPC server.
  const json servers = Take(grpc_channelz_get_servers(0));
  const int64_t server = Number(servers.value(json::json_pointer("/server/0/ref"), json::object()), "serverId");
  for (bool at_end = false; !at_end;) {
    const json page = Take(grpc_channelz_get_server_sockets(server, next_, 0));
    const json sockets = page.value("socketRef", json::array());
    at_end = page.value("end", false) || sockets.empty();
    for (const json& one : sockets) {
      const int64_t number = Number(one, "socketId");
      next_ = std::max(next_, number + 1);
      if (const auto peer = PeerInName(one.value("name", ""))) on_connection(*peer, number);
    }
  }
}

int64_t GrpcStreams::Unfinished(int64_t number) {
  const json data = Take(grpc_channelz_get_socket(number)).value(json::json_pointer("/socket/data"), json::object());
  return Number(data, "streamsStarted") - Number(data, "streamsSucceeded") - Number(data, "streamsFailed");
}

uint64_t BytesReceived(int fd) {
  // The kernel's tcp_info, of which glibc's is the beginning.
  struct {
    tcp_info known;
    uint64_t pacing_rate, max_pacing_rate, bytes_acked, bytes_received;
  } info{};
  static_assert(sizeof(tcp_info) == 104);
  socklen_t size = sizeof info;
  return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 ? info.bytes_received : 0;
}

}  // namespace toolwire
