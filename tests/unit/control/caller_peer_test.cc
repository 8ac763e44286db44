#include "control/caller_peer.h"

#include <gtest/gtest.h>

#include <string>

namespace toolwire {
namespace {

using asio::ip::tcp;

tcp::endpoint At(const char* address, unsigned short port) { return {asio::ip::make_address(address), port}; }

TEST(CallerPeerTest, NamesOfGrpcHaveTheirAddress) {
  EXPECT_EQ(PeerInName("ipv4:127.0.0.1:80"), At("127.0.0.1", 80));
  EXPECT_EQ(PeerInName("chttp2 ipv4:127.0.0.1:80"), At("127.0.0.1", 80));
  EXPECT_EQ(PeerInName("ipv6:%5B2001:db8::1%5D:80"), At("2001:db8::1", 80));
  EXPECT_EQ(PeerInName("chttp2 ipv6:%5B::1%5D:65535"), At("::1", 65535));
}

TEST(CallerPeerTest, NameOfALocalSocketHasTheCallerBehindIt) {
  for (const tcp::endpoint& peer : {At("127.0.0.1", 80), At("2001:db8::1", 65535)}) {
    const std::string name = CallerSocketName("tw-0a1b-7", peer);
    EXPECT_EQ(PeerInName("unix-abstract:" + name), peer) << name;
    EXPECT_EQ(PeerInName("chttp2 unix-abstract:" + name), peer) << name;
  }
  EXPECT_EQ(PeerInName("unix-abstract:tw-0a1b-7/ipv6:%5B::1%5D:80"), At("::1", 80)) << "as gRPC escapes it";
  EXPECT_EQ(CallerInName("chttp2 unix-abstract:tw-0a1b-7/ipv4:127.0.0.1:80"), "ipv4:127.0.0.1:80");
}

TEST(CallerPeerTest, LongestNameFitsIntoASocketsAddress) {
  const std::string name =
      CallerSocketName("tw-01234567-0123456789ab", At("2001:db88:ffff:ffff:ffff:ffff:ffff:ffff%1234567890", 65535));
  EXPECT_LE(name.size(), 107u);
}

TEST(CallerPeerTest, NamesWithoutAnAddressHaveNone) {
  for (const char* name : {"", "unix:", "unix-abstract:", "unix-abstract:tw-0a1b-7/", "ipv4:", "ipv4:nowhere:80",
                           "ipv4:127.0.0.1", "ipv6:%5B::1:80", "ipv4:127.0.0.1:70000", "fd:3"}) {
    EXPECT_FALSE(PeerInName(name)) << name;
  }
}

TEST(CallerPeerTest, AddressIsShownAsPeopleReadItAndForItsWholeNetwork) {
  EXPECT_EQ(AddressTextOfPeer("ipv4:127.0.0.1:80"), "ipv4:127.0.0.1");
  EXPECT_EQ(AddressTextOfPeer("ipv6:%5B2001:db8:1:2:3:4:5:6%5D:80"), "ipv6:2001:db8:1:2::/64");
  EXPECT_EQ(AddressTextOfPeer("ipv6:%5B2001:db8:1:2::9%5D:81"), "ipv6:2001:db8:1:2::/64");
  EXPECT_EQ(AddressTextOfPeer("ipv6:%5B::ffff:10.0.0.1%5D:80"), "ipv4:10.0.0.1");
  EXPECT_EQ(AddressTextOfPeer("unix-abstract:tw-1/ipv4:127.0.0.1:80"), "ipv4:127.0.0.1");
}

}  // namespace
}  // namespace toolwire
