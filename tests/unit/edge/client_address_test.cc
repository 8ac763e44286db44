#include "edge/client_address.h"

#include <gtest/gtest.h>

#include <string>

namespace toolwire {
namespace {

TrustedProxies Trusting(const char* networks, ProxyHeader header = ProxyHeader::kXForwardedFor) {
  auto parsed = Networks::ParseNamed(networks);
  EXPECT_TRUE(parsed.ok()) << parsed.status();
  return {*std::move(parsed), header, /*protocol=*/false};
}

const TrustedProxies kXff = Trusting("10.0.0.0/8,fd00::/8");
const TrustedProxies kForwarded = Trusting("10.0.0.0/8,fd00::/8", ProxyHeader::kForwarded);
constexpr char kProxy[] = "10.0.0.1";

TEST(ClientAddressTest, HeaderToReadIsTheOneThatProxiesSet) {
  EXPECT_EQ(kXff.header_name(), "X-Forwarded-For");
  EXPECT_EQ(kForwarded.header_name(), "Forwarded");
  EXPECT_EQ(Trusting("").header_name(), "");
}

TEST(ClientAddressTest, WhoIsNoTrustedProxyIsNotBelieved) {
  EXPECT_EQ(ClientAddress("192.0.2.9", "192.0.2.1", kXff), "192.0.2.9");
  EXPECT_EQ(ClientAddress("127.0.0.1", "192.0.2.1", kXff), "127.0.0.1") << "loopback only if it is named";
  EXPECT_EQ(ClientAddress(kProxy, "192.0.2.1", Trusting("")), kProxy);
  EXPECT_EQ(ClientAddress("127.0.0.1", "192.0.2.1", Trusting("127.0.0.0/8")), "192.0.2.1");
}

TEST(ClientAddressTest, FirstFromTheRightThatIsNoTrustedProxyIsTheClient) {
  EXPECT_EQ(ClientAddress(kProxy, "192.0.2.1", kXff), "192.0.2.1");
  EXPECT_EQ(ClientAddress(kProxy, "127.0.0.1, 8.8.8.8, 192.0.2.1", kXff), "192.0.2.1") << "the client wrote the rest";
  EXPECT_EQ(ClientAddress(kProxy, "8.8.8.8, 192.0.2.1 , 10.9.9.9,\tfd00::2", kXff), "192.0.2.1");
  EXPECT_EQ(ClientAddress(kProxy, "10.1.1.1, 10.2.2.2", kXff), "10.1.1.1") << "all are proxies";
  EXPECT_EQ(ClientAddress("::ffff:10.0.0.1", "192.0.2.1", kXff), "192.0.2.1") << "as a dual-stack socket sees it";
}

TEST(ClientAddressTest, WhatIsNoAddressCountsAsTheProxyThatWroteIt) {
  for (const char* header : {"", " ", ",", "unknown", "8.8.8.8, unknown", "8.8.8.8, 999.1.1.1", "8.8.8.8, ",
                             "8.8.8.8, localhost", "8.8.8.8, [::1", "8.8.8.8, [::1]x", "8.8.8.8, 1.2.3.4:5:6"}) {
    EXPECT_EQ(ClientAddress(kProxy, header, kXff), kProxy) << header;
  }
  EXPECT_EQ(ClientAddress(kProxy, std::string(100'000, '1'), kXff), kProxy);
  EXPECT_EQ(ClientAddress(kProxy, "8.8.8.8, junk, 10.3.3.3", kXff), "10.3.3.3");
}

TEST(ClientAddressTest, PortsAndBracketsAreNoPartOfTheAddress) {
  EXPECT_EQ(ClientAddress(kProxy, "192.0.2.1:4711", kXff), "192.0.2.1");
  EXPECT_EQ(ClientAddress(kProxy, "2001:db8::1", kXff), "2001:db8::1");
  EXPECT_EQ(ClientAddress(kProxy, "[2001:DB8::1]", kXff), "2001:db8::1");
  EXPECT_EQ(ClientAddress(kProxy, "[2001:db8:0::1]:4711", kXff), "2001:db8::1");
  EXPECT_EQ(ClientAddress(kProxy, "::ffff:192.0.2.1", kXff), "192.0.2.1");
}

TEST(ClientAddressTest, ForwardedNamesItInForWithOrWithoutQuotes) {
  EXPECT_EQ(ClientAddress(kProxy, "for=192.0.2.1", kForwarded), "192.0.2.1");
  EXPECT_EQ(ClientAddress(kProxy, "For=\"[2001:db8:cafe::17]:4711\"", kForwarded), "2001:db8:cafe::17");
  EXPECT_EQ(ClientAddress(kProxy, "for=8.8.8.8, proto=http; FOR = 192.0.2.1 ;by=10.0.0.1", kForwarded), "192.0.2.1");
  EXPECT_EQ(ClientAddress(kProxy, "for=\"192.0.2.1:80\";host=\"a;b\", for=10.2.3.4", kForwarded), "192.0.2.1");
}

TEST(ClientAddressTest, ForwardedThatNamesNobodyCountsAsTheProxyThatWroteIt) {
  for (const char* header :
       {"", "192.0.2.1", "for=", "for=\"", "for=\"\"", "for=_hidden", "for=unknown", "by=192.0.2.1",
        "for=8.8.8.8, proto=http", "for=8.8.8.8, for=\"_x\"", "xfor=8.8.8.8", "for=8.8.8.8,"}) {
    EXPECT_EQ(ClientAddress(kProxy, header, kForwarded), kProxy) << header;
  }
  EXPECT_EQ(ClientAddress(kProxy, "for=\"8.8.8.8, for=192.0.2.1", kForwarded), "192.0.2.1")
      << "a quote that the client has left open hides nothing";
}

// Proxies write the Host there, which is the client's, and in which RFC 3986 allows commas, semicolons and `=`.
TEST(ClientAddressTest, QuotedTextOfForwardedNamesNobodyAndSeparatesNothing) {
  for (const char* header : {
           "for=192.0.2.1;host=\"x,for=8.8.8.8;a=\"",
           "for=192.0.2.1;host=\"x;for=8.8.8.8;a=\";proto=http",
           "for=8.8.4.4, for=192.0.2.1;host=\"a,b\", for=10.0.0.2;host=\"x,for=8.8.8.8\"",
           "for=192.0.2.1;host=\"\\\"x,for=8.8.8.8;a=\\\\\"",
           "x=\", for=192.0.2.1;host=\"x,for=8.8.8.8;a=\"",
       }) {
    EXPECT_EQ(ClientAddress(kProxy, header, kForwarded), "192.0.2.1") << header;
  }
  EXPECT_EQ(ClientAddress(kProxy, "for=8.8.8.8;x=\"", kForwarded), kProxy) << "a proxy leaves no quote open";
}

TEST(ClientAddressTest, ElementThatNamesTwoClientsNamesNobody) {
  EXPECT_EQ(ClientAddress(kProxy, "for=192.0.2.1;host=x;for=8.8.8.8", kForwarded), kProxy);
  EXPECT_EQ(ClientAddress(kProxy, "for=192.0.2.1, for=10.0.0.2;for=8.8.8.8", kForwarded), kProxy);
}

TEST(ClientAddressTest, OtherHeaderIsNotRead) {
  EXPECT_EQ(ClientAddress(kProxy, "for=192.0.2.1", kXff), kProxy);
  EXPECT_EQ(ClientAddress(kProxy, "192.0.2.1", kForwarded), kProxy);
}

TEST(ClientAddressTest, WithoutAHeaderToReadThePeerCounts) {
  const TrustedProxies none = Trusting("10.0.0.0/8", ProxyHeader::kNone);
  EXPECT_EQ(none.header_name(), "");
  EXPECT_EQ(ClientAddress(kProxy, "192.0.2.1", none), kProxy);
  EXPECT_EQ(ClientAddress(kProxy, "for=192.0.2.1", none), kProxy);
}

TEST(ClientAddressTest, OfAChainOfProxiesTheLastOnesAreLookedAt) {
  const auto chain = [](size_t proxies) {
    std::string header = "192.0.2.1";
    for (size_t i = 0; i < proxies; ++i) header += ", 10.0.1." + std::to_string(i);
    return header;
  };
  EXPECT_EQ(ClientAddress(kProxy, chain(kProxiesMax - 1), kXff), "192.0.2.1");
  EXPECT_EQ(ClientAddress(kProxy, chain(kProxiesMax), kXff), "10.0.1.0");
}

}  // namespace
}  // namespace toolwire
