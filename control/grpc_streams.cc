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
#include <string_view>
#include <utility>

namespace toolwire {
namespace {

std::string Take(char* json) {
  std::string text = json == nullptr ? "" : json;
  gpr_free(json);
  return text;
}

// The text of a string's field from `*at` on, which moves behind it; empty if there is none. gRPC writes its JSON
// without spaces, and numbers of 64 bits as strings.
std::string_view Field(std::string_view json, std::string_view name, size_t* at) {
  const std::string key = "\"" + std::string(name) + "\":\"";
  const size_t found = json.find(key, *at);
  if (found == std::string_view::npos) return {};
  const size_t begin = found + key.size();
  *at = json.find('"', begin);
  return *at == std::string_view::npos ? std::string_view() : json.substr(begin, *at - begin);
}

int64_t Number(std::string_view json, std::string_view name, size_t at = 0) {
  return std::strtoll(std::string(Field(json, name, &at)).c_str(), nullptr, 10);
}

}  // namespace

int64_t GrpcStreams::Unfinished(const std::string& peer) {
  auto found = sockets_.find(peer);
  if (found == sockets_.end()) {
    ReadNewSockets();
    found = sockets_.find(peer);
    if (found == sockets_.end()) return 0;
  }
  const std::string json = Take(grpc_channelz_get_socket(found->second));
  return Number(json, "streamsStarted") - Number(json, "streamsSucceeded") - Number(json, "streamsFailed");
}

void GrpcStreams::ReadNewSockets() {
  // The process has one gRPC server.
  const int64_t server = Number(Take(grpc_channelz_get_servers(0)), "serverId");
  const std::string json = Take(grpc_channelz_get_server_sockets(server, next_socket_, 0));
  constexpr std::string_view kTransport = "chttp2 ";
  for (size_t at = 0;;) {
    std::string_view name = Field(json, "name", &at);
    if (name.empty()) return;
    const int64_t number = Number(json, "socketId", at);
    if (name.substr(0, kTransport.size()) == kTransport) name.remove_prefix(kTransport.size());
    sockets_[std::string(name)] = number;
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
