#include "edge/networks.h"

#include <gtest/gtest.h>

#include "common/base/by_address.h"

namespace toolwire {
namespace {

bool Contains(const char* networks, const char* address) {
  const auto parsed = Networks::Parse(networks);
  EXPECT_TRUE(parsed.ok()) << parsed.status();
  return parsed.ok() && parsed->Contains(address);
}

TEST(NetworksTest, LoopbackIsAlwaysAmongThem) {
  EXPECT_TRUE(Contains("", "127.0.0.1"));
  EXPECT_TRUE(Contains("", "127.9.8.7"));
  EXPECT_TRUE(Contains("", "::1"));
  EXPECT_TRUE(Contains("10.0.0.0/8", "127.0.0.1"));
  EXPECT_FALSE(Contains("", "10.0.0.1"));
  EXPECT_FALSE(Contains("", "128.0.0.1"));
  EXPECT_FALSE(Contains("", "::2"));
}

TEST(NetworksTest, AllIsEveryAddressAndNoneNotEvenLoopback) {
  for (const char* address : {"127.0.0.1", "::1", "8.8.8.8", "2001:db8::1"}) {
    EXPECT_TRUE(Contains("all", address)) << address;
    EXPECT_FALSE(Contains("none", address)) << address;
  }
}

TEST(NetworksTest, NamedOnesAreThoseAlone) {
  const auto named = Networks::ParseNamed("10.0.0.0/8");
  ASSERT_TRUE(named.ok());
  EXPECT_TRUE(named->Contains("10.0.0.1"));
  EXPECT_FALSE(named->Contains("127.0.0.1"));
  EXPECT_FALSE(named->empty());
  EXPECT_TRUE(Networks::ParseNamed("")->empty());
  EXPECT_FALSE(Networks::ParseNamed("all").ok());
}

TEST(NetworksTest, AddressIsComparedToTheBitOfItsNetwork) {
  EXPECT_TRUE(Contains("10.0.0.0/8,192.168.4.0/22", "10.255.0.1"));
  EXPECT_TRUE(Contains("10.0.0.0/8,192.168.4.0/22", "192.168.7.255"));
  EXPECT_FALSE(Contains("10.0.0.0/8,192.168.4.0/22", "192.168.8.0"));
  EXPECT_FALSE(Contains("10.0.0.0/8,192.168.4.0/22", "11.0.0.0"));
  EXPECT_TRUE(Contains("10.1.2.3", "10.1.2.3")) << "a network of one";
  EXPECT_FALSE(Contains("10.1.2.3", "10.1.2.2"));
  EXPECT_TRUE(Contains("fd00::/8", "fdff::1"));
  EXPECT_FALSE(Contains("fd00::/8", "fe00::1"));
  EXPECT_TRUE(Contains("0.0.0.0/0", "8.8.8.8"));
  EXPECT_FALSE(Contains("0.0.0.0/0", "2001:db8::1"));
}

TEST(NetworksTest, Ipv4AddressThatIsMappedIntoIpv6IsTheSameAddress) {
  EXPECT_TRUE(Contains("10.0.0.0/8", "::ffff:10.1.1.1"));
  EXPECT_TRUE(Contains("", "::ffff:127.0.0.1"));
  EXPECT_FALSE(Contains("10.0.0.0/8", "::ffff:11.1.1.1"));
  EXPECT_EQ(AddressKey("::ffff:10.1.1.1"), AddressKey("10.1.1.1"));
}

TEST(NetworksTest, WhatIsNoNetworkIsRefusedAndWhatIsNoAddressIsInNone) {
  for (const char* text :
       {"10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/", "10.0.0/8", "::/129", "office", "10.0.0.0/8,", "10.0.0.0/8 ,::1"}) {
    EXPECT_FALSE(Networks::Parse(text).ok()) << text;
  }
  EXPECT_FALSE(Contains("all", ""));
  EXPECT_FALSE(Contains("all", "office"));
}

TEST(NetworksTest, Ipv6AddressCountsByItsNetworkOf64Bits) {
  EXPECT_EQ(AddressKey("2001:db8:0:1::1"), AddressKey("2001:db8:0:1:ffff::2"));
  EXPECT_NE(AddressKey("2001:db8:0:1::1"), AddressKey("2001:db8:0:2::1"));
  EXPECT_EQ(AddressKey("fe80::1%eth0"), AddressKey("fe80::2"));
  EXPECT_NE(AddressKey("10.0.0.1"), AddressKey("10.0.0.2"));
}

}  // namespace
}  // namespace toolwire
