#include "edge/proxy_protocol.h"

#include <gtest/gtest.h>

#include <string>

namespace toolwire {
namespace {

using ProxyState = ProxyProtocolHeader::State;

const std::string kProxySignature("\r\n\r\n\0\r\nQUIT\n", 12);

// Of version 2: four bytes behind the signature, and the rest.
std::string Binary(int version_command, int family, const std::string& rest) {
  std::string header = kProxySignature;
  for (const size_t byte : {size_t(version_command), size_t(family), rest.size() / 256, rest.size() % 256}) {
    header += static_cast<char>(byte);
  }
  return header + rest;
}
const std::string kTcp4Addresses("\xc0\x00\x02\x01\x0a\x00\x00\x01\xd4\x31\x01\xbb", 12);
const std::string kTcp6Addresses = std::string("\x20\x01\x0d\xb8", 4) + std::string(11, '\0') + "\x01" +
                                   std::string(16, '\x11') + std::string("\xd4\x31\x01\xbb", 4);

// "192.0.2.1 of 46 bytes", "needs 16", or why not.
std::string Said(const std::string& bytes) {
  const ProxyProtocolHeader header = ReadProxyProtocol(bytes);
  switch (header.state) {
    case ProxyState::kPartial:
      return "needs " + std::to_string(header.bytes);
    case ProxyState::kComplete:
      return (header.client.empty() ? "nobody" : header.client) + " of " + std::to_string(header.bytes) + " bytes";
    case ProxyState::kMissing:
      return "missing";
    case ProxyState::kInvalid:
      return header.error;
  }
  return "";
}
// The client of a line of version 1 that is complete; else what is wrong.
std::string ClientOfLine(const std::string& line) {
  const std::string said = Said("PROXY " + line + "\r\n");
  return said.substr(0, said.find(" of "));
}

TEST(ProxyProtocolTest, LineOfVersion1NamesTheClient) {
  const std::string line = "PROXY TCP4 192.0.2.1 10.0.0.1 54321 443\r\n";
  EXPECT_EQ(Said(line), "192.0.2.1 of 41 bytes");
  EXPECT_EQ(Said(line + "GET / HTTP/1.1\r\n"), "192.0.2.1 of 41 bytes") << "what follows is not the header's";
  EXPECT_EQ(ClientOfLine("TCP6 2001:DB8::1 ::1 0 65535"), "2001:db8::1");
  EXPECT_EQ(ClientOfLine("TCP6 ::ffff:192.0.2.1 ::1 1 2"), "192.0.2.1") << "as the same client counts elsewhere";
}

TEST(ProxyProtocolTest, UnknownNamesNobodyWhateverFollows) {
  EXPECT_EQ(Said("PROXY UNKNOWN\r\n"), "nobody of 15 bytes");
  EXPECT_EQ(Said("PROXY UNKNOWN ffff:f...f 1 \t\r x\r\n"), "nobody of 33 bytes");
  EXPECT_NE(ClientOfLine("UNKNOWNS"), "nobody");
}

TEST(ProxyProtocolTest, LineIsTakenOnlyAsItIsSpecified) {
  for (const char* line : {
           "",
           "TCP4",
           "TCP4 192.0.2.1 10.0.0.1 1",
           "TCP4 192.0.2.1 10.0.0.1 1 ",
           "TCP4 192.0.2.1 10.0.0.1 1 2 ",
           "TCP4 192.0.2.1 10.0.0.1 1 2 3",
           "TCP4  192.0.2.1 10.0.0.1 1 2",
           " TCP4 192.0.2.1 10.0.0.1 1 2",
           "tcp4 192.0.2.1 10.0.0.1 1 2",
           "TCP5 192.0.2.1 10.0.0.1 1 2",
           "TCP4\t192.0.2.1 10.0.0.1 1 2",
           "TCP4 2001:db8::1 ::1 1 2",
           "TCP6 192.0.2.1 10.0.0.1 1 2",
           "TCP4 192.0.2.01 10.0.0.1 1 2",
           "TCP4 192.0.2 10.0.0.1 1 2",
           "TCP4 192.0.2.256 10.0.0.1 1 2",
           "TCP4 192.0.2.1 localhost 1 2",
           "TCP6 fe80::1%lo ::1 1 2",
           "TCP4 192.0.2.1 10.0.0.1 65536 2",
           "TCP4 192.0.2.1 10.0.0.1 1 100000",
           "TCP4 192.0.2.1 10.0.0.1 01 2",
           "TCP4 192.0.2.1 10.0.0.1 -1 2",
           "TCP4 192.0.2.1 10.0.0.1 +1 2",
           "TCP4 192.0.2.1 10.0.0.1 1 0x2",
       }) {
    EXPECT_EQ(ReadProxyProtocol("PROXY " + std::string(line) + "\r\n").state, ProxyState::kInvalid) << line;
  }
  EXPECT_EQ(ReadProxyProtocol("PROXY TCP4 192.0.2.1 10.0.0.1 1 2\n").state, ProxyState::kInvalid);
  const std::string zero("PROXY TCP4 192.0.2.1\0 10.0.0.1 1 2\r\n", 36);
  EXPECT_EQ(ReadProxyProtocol(zero).state, ProxyState::kInvalid) << "no address ends in a zero byte";
}

TEST(ProxyProtocolTest, LineHas107BytesAtMost) {
  const std::string begin = "PROXY UNKNOWN ";
  const std::string most = begin + std::string(107 - begin.size() - 2, 'x') + "\r\n";
  EXPECT_EQ(Said(most), "nobody of 107 bytes");
  EXPECT_EQ(ReadProxyProtocol(begin + std::string(107 - begin.size() - 1, 'x') + "\r\n").state, ProxyState::kInvalid);
  EXPECT_EQ(Said(begin + std::string(106 - begin.size(), 'x')), "needs 107");
  EXPECT_EQ(ReadProxyProtocol(begin + std::string(107 - begin.size(), 'x')).state, ProxyState::kInvalid);
}

TEST(ProxyProtocolTest, Version2NamesTheClient) {
  EXPECT_EQ(Said(Binary(0x21, 0x11, kTcp4Addresses)), "192.0.2.1 of 28 bytes");
  EXPECT_EQ(Said(Binary(0x21, 0x21, kTcp6Addresses)), "2001:db8::1 of 52 bytes");
  EXPECT_EQ(Said(Binary(0x21, 0x11, kTcp4Addresses) + "\x16\x03\x01"), "192.0.2.1 of 28 bytes");
  const std::string mapped =
      std::string(10, '\0') + "\xff\xff\xc0" + std::string("\0\x02\x01", 3) + std::string(20, '\1');
  EXPECT_EQ(Said(Binary(0x21, 0x21, mapped)), "192.0.2.1 of 52 bytes");
}

TEST(ProxyProtocolTest, WhatVersion2AddsBehindTheAddressesIsSkipped) {
  const std::string added(300, '\xee');
  EXPECT_EQ(Said(Binary(0x21, 0x11, kTcp4Addresses + added)), "192.0.2.1 of 328 bytes");
  EXPECT_EQ(Said(Binary(0x21, 0x00, added)), "nobody of 316 bytes");
}

TEST(ProxyProtocolTest, Version2NamesNobodyForTheProxysOwnConnectionAndForWhatHasNoAddressOfIp) {
  EXPECT_EQ(Said(Binary(0x20, 0x11, kTcp4Addresses)), "nobody of 28 bytes") << "LOCAL";
  EXPECT_EQ(Said(Binary(0x20, 0x00, "")), "nobody of 16 bytes");
  EXPECT_EQ(Said(Binary(0x20, 0xff, "x")), "nobody of 17 bytes") << "of LOCAL nothing else is read";
  EXPECT_EQ(Said(Binary(0x21, 0x00, "")), "nobody of 16 bytes") << "UNSPEC";
  EXPECT_EQ(Said(Binary(0x21, 0x31, std::string(216, '/'))), "nobody of 232 bytes") << "AF_UNIX";
}

TEST(ProxyProtocolTest, Version2IsTakenOnlyAsItIsSpecified) {
  for (const int version_command : {0x11, 0x31, 0x22, 0x2f, 0x01}) {
    EXPECT_EQ(ReadProxyProtocol(Binary(version_command, 0x11, kTcp4Addresses)).state, ProxyState::kInvalid)
        << version_command;
  }
  for (const int family : {0x01, 0x02, 0x10, 0x12, 0x13, 0x20, 0x22, 0x30, 0x32, 0x41, 0xff}) {
    EXPECT_EQ(ReadProxyProtocol(Binary(0x21, family, std::string(300, 'x'))).state, ProxyState::kInvalid) << family;
  }
  EXPECT_EQ(Said(Binary(0x21, 0x11, std::string(11, 'x'))), "version 2 that ends within its addresses");
  EXPECT_EQ(Said(Binary(0x21, 0x21, std::string(35, 'x'))), "version 2 that ends within its addresses");
}

TEST(ProxyProtocolTest, Version2Has4096BytesAtMost) {
  EXPECT_EQ(Said(Binary(0x21, 0x11, kTcp4Addresses + std::string(4096 - 28, 'x'))), "192.0.2.1 of 4096 bytes");
  const std::string longer = Binary(0x21, 0x11, kTcp4Addresses + std::string(4097 - 28, 'x'));
  EXPECT_EQ(Said(longer.substr(0, 16)), "version 2 with more than 4096 bytes") << "before they come";
}

TEST(ProxyProtocolTest, HeaderThatHasComeInPartNeedsMore) {
  for (const std::string& whole :
       {std::string("PROXY TCP4 192.0.2.1 10.0.0.1 54321 443\r\n"), std::string("PROXY UNKNOWN\r\n"),
        Binary(0x21, 0x11, kTcp4Addresses + "more"), Binary(0x20, 0x00, "")}) {
    for (size_t size = 0; size < whole.size(); ++size) {
      const ProxyProtocolHeader header = ReadProxyProtocol(whole.substr(0, size));
      EXPECT_EQ(header.state, ProxyState::kPartial) << size << " of " << whole;
      EXPECT_GT(header.bytes, size);
      EXPECT_LE(header.bytes, whole.size()) << "else it would wait for what does not come";
    }
    EXPECT_EQ(ReadProxyProtocol(whole).state, ProxyState::kComplete);
  }
}

TEST(ProxyProtocolTest, OtherProtocolsBeginWithNoHeader) {
  for (const char* begin : {"G", "GET / HTTP/1.1\r\n\r\n", "POST / HTTP/1.1", "PROXY\r\n", "proxy TCP4", "\x16\x03\x01",
                            "\r\n\r\nGET", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"}) {
    EXPECT_EQ(Said(begin), "missing") << begin;
  }
}

}  // namespace
}  // namespace toolwire
