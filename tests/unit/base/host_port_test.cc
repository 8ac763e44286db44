#include "common/base/host_port.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"

namespace toolwire {
namespace {

// "host|port", or what is wrong.
std::string Parsed(const std::string& text) {
  const auto parsed = ParseHostPort(text);
  if (!parsed.ok()) return std::string(parsed.status().message());
  return absl::StrCat(parsed->host, "|", parsed->port ? std::to_string(*parsed->port) : "");
}

TEST(HostPortTest, HostsHaveAPortOrNone) {
  EXPECT_EQ(Parsed("host"), "host|");
  EXPECT_EQ(Parsed("edge-0.edges:50052"), "edge-0.edges|50052");
  EXPECT_EQ(Parsed("127.0.0.1:0"), "127.0.0.1|0");
  EXPECT_EQ(Parsed("h:65535"), "h|65535");
}

TEST(HostPortTest, Ipv6AddressesAreInBrackets) {
  EXPECT_EQ(Parsed("[::1]"), "::1|");
  EXPECT_EQ(Parsed("[::1]:7000"), "::1|7000");
  EXPECT_EQ(Parsed("::1:7000"), "an IPv6 address needs brackets");
  EXPECT_EQ(Parsed("[::1"), "the bracket of an IPv6 address is not closed");
}

TEST(HostPortTest, WhatIsNeitherIsRefusedWithAReason) {
  for (const char* text : {"", ":1", "[]", "[]:1"}) EXPECT_EQ(Parsed(text), "the host is missing") << text;
  for (const char* text :
       {"h:", "h:x", "h:1x", "h: 1", "h:+1", "h:-1", "h:65536", "h:99999999999", "[::1]x", "[::1]:"}) {
    EXPECT_EQ(Parsed(text), "the port is not a number from 1 to 65535") << text;
  }
}

TEST(HostPortTest, AUrlAndWhatIsNoHostAreRefused) {
  for (const char* text : {"tcp://10.0.0.1:50052", "http://edge", "rediss://h"}) {
    EXPECT_EQ(Parsed(text), "it is a URL, and should be host:port alone") << text;
  }
  for (const char* text : {"a b:1", "edge/path", "user@host:1", "[fe80::1 ]:1"}) {
    EXPECT_EQ(Parsed(text), "the host is no name and no address") << text;
  }
  EXPECT_EQ(Parsed("[fe80::1%eth0]:1"), "fe80::1%eth0|1");
}

TEST(HostPortTest, WhereOneListensIsNowhereToDial) {
  for (const std::string text : {"0.0.0.0:1", "[::]:1"}) {
    EXPECT_EQ(CheckDialAddress("--relay-address", text).message(),
              "--relay-address=" + text + ": it is where one listens; others need a name or an address of this host");
  }
}

TEST(HostPortTest, JoiningIsTheReverse) {
  for (const char* text : {"host:1", "10.1.2.3:65535", "[::1]:7000"}) {
    const auto parsed = ParseHostPort(text);
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(JoinHostPort(parsed->host, *parsed->port), text);
  }
}

TEST(HostPortTest, AnAddressToDialHasAPortFromOneOn) {
  for (const char* text : {"h:1", "h:65535", "[::1]:1"}) EXPECT_TRUE(CheckDialAddress("--edge", text).ok()) << text;
  for (const std::string text : {"h", "h:0", "[::1]", "[::1]:0"}) {
    EXPECT_EQ(CheckDialAddress("--edge", text).message(), "--edge=" + text + ": a port from 1 to 65535 is missing");
  }
  EXPECT_EQ(CheckDialAddress("--edge", "::1:1").message(), "--edge=::1:1: an IPv6 address needs brackets");
}

TEST(HostPortTest, LoopbackIsThisMachineAlone) {
  for (const char* host : {"127.0.0.1", "127.255.255.254", "::1", "0:0:0:0:0:0:0:1", "::1%lo", "localhost",
                           "::ffff:127.0.0.1", "::ffff:7f00:1", "::FFFF:127.9.9.9"}) {
    EXPECT_TRUE(IsLoopback(host)) << host;
  }
  for (const char* host :
       {"0.0.0.0", "::", "128.0.0.1", "126.255.255.255", "10.0.0.1", "192.168.1.5", "fe80::1", "fe80::1%lo", "::2",
        "::ffff:0.0.0.0", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::127.0.0.1", "127.1", "127.0.0.1.example.com",
        "localhost.example.com", "edge", ""}) {
    EXPECT_FALSE(IsLoopback(host)) << host;
  }
}

TEST(HostPortTest, AnAddressToDialHasNoVariableLeftInIt) {
  for (const std::string text : {"[$(POD_IP)]:1", "$(POD_IP):1", "$(POD_IP", "${POD_IP}:1"}) {
    EXPECT_EQ(CheckDialAddress("--relay-address", text).message(),
              "--relay-address=" + text + ": the variable in it was not replaced by its value");
  }
}

}  // namespace
}  // namespace toolwire
