// Networks of IP addresses, as options name them.
#ifndef TOOLWIRE_EDGE_NETWORKS_H_
#define TOOLWIRE_EDGE_NETWORKS_H_

#include <asio/ip/network_v6.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace toolwire {

class Networks {
 public:
  // Loopback, and the networks of a text such as "10.0.0.0/8,fd00::/8"; `all` is every address, `none` not even
  // loopback. INVALID_ARGUMENT: what is wrong with the text.
  static absl::StatusOr<Networks> Parse(std::string_view text);
  // The named ones alone, not loopback; an empty text names none.
  static absl::StatusOr<Networks> ParseNamed(std::string_view text);
  // False for what is no address.
  bool Contains(const std::string& address) const;
  bool empty() const { return networks_.empty(); }

 private:
  absl::Status Add(std::string_view text);

  std::vector<asio::ip::network_v6> networks_;  // One of IPv4 as the IPv6 network that is mapped to it.
};

}  // namespace toolwire

#endif  // TOOLWIRE_EDGE_NETWORKS_H_
