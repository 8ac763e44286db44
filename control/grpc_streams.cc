// gRPC keeps statistics of each connection and gives them as JSON. A connection's number there is looked up by its
// peer once; numbers only grow, so that only those of newer connections are read.
#include "control/grpc_streams.h"

#include <grpc/grpc.h>
#include <grpc/support/alloc.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

namespace toolwire {
namespace {

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

int64_t GrpcStreams::Unfinished(const std::string& peer) {
  auto found = sockets_.find(peer);
  if (found == sockets_.end()) {
    ReadNewSockets();
    found = sockets_.find(peer);
    if (found == sockets_.end()) return 0;
  }
  const json data =
      Take(grpc_channelz_get_socket(found->second)).value(json::json_pointer("/socket/data"), json::object());
  return Number(data, "streamsStarted") - Number(data, "streamsSucceeded") - Number(data, "streamsFailed");
}

void GrpcStreams::ReadNewSockets() {
  // The process has one gRPC server.
  const json servers = Take(grpc_channelz_get_servers(0));
  const int64_t server = Number(servers.value(json::json_pointer("/server/0/ref"), json::object()), "serverId");
  const json sockets = Take(grpc_channelz_get_server_sockets(server, next_socket_, 0));
  constexpr std::string_view kTransport = "chttp2 ";
  for (const json& one : sockets.value("socketRef", json::array())) {
    std::string name = one.value("name", "");
    if (name.compare(0, kTransport.size(), kTransport) == 0) name.erase(0, kTransport.size());
    const int64_t number = Number(one, "socketId");
    sockets_[std::move(name)] = number;
    next_socket_ = std::max(next_socket_, number + 1);
  }
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
