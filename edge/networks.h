// Networks of IP addresses, as options name them, and which addresses count as one.
#ifndef TOOLWIRE_EDGE_NETWORKS_H_
#define TOOLWIRE_EDGE_NETWORKS_H_

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace toolwire {

// Loopback, and the networks of a text such as "10.0.0.0/8,fd00::/8"; `all` is every address, `none` not even loopback.
class Networks {
 public:
  // INVALID_ARGUMENT: what is wrong with the text.
  static absl::StatusOr<Networks> Parse(std::string_view text);
  // False for what is no address.
  bool Contains(const std::string& address) const;

 private:
  struct Network {
    std::array<unsigned char, 16> bytes;  // An IPv4 address as the IPv6 address that is mapped to it.
    int bits;
  };
  std::vector<Network> networks_;
};

// What the limits on one address count it as: an IPv4 address itself, also if it is mapped into IPv6; of an IPv6
// address its /64, since whoever has one address has them all.
std::string AddressKey(const std::string& address);

}  // namespace toolwire

#endif  // TOOLWIRE_EDGE_NETWORKS_H_
