#include "common/base/request_head.h"

#include <gtest/gtest.h>

#include <string>

namespace toolwire {
namespace {

// Whole, and byte by byte.
bool IsTaken(const std::string& request) {
  RequestHead whole, in_bytes;
  bool taken = true;
  for (const char& byte : request) taken = taken && in_bytes.Take({&byte, 1});
  EXPECT_EQ(whole.Take(request), taken) << request;
  return taken;
}
bool HeaderIsTaken(const std::string& line) { return IsTaken("GET / HTTP/1.1\r\nHost: x\r\n" + line + "\r\n\r\n"); }

TEST(RequestHeadTest, WhatClientsSendIsTaken) {
  EXPECT_TRUE(IsTaken("GET /?userId=\xc3\xbc&secret=x HTTP/1.1\r\nHost: x\r\n\r\n"));
  EXPECT_TRUE(HeaderIsTaken("X-Forwarded-For: 192.0.2.1, 192.0.2.2"));
  EXPECT_TRUE(HeaderIsTaken("A:b"));
  EXPECT_TRUE(HeaderIsTaken("A:"));
  EXPECT_TRUE(HeaderIsTaken("A: \tb:c\td \xff\t"));
  EXPECT_TRUE(IsTaken("GET / HT"));
}

TEST(RequestHeadTest, NothingIsBetweenANameAndItsColon) {
  for (const char* line :
       {"X-Forwarded-For : a", "X-Forwarded-For\t: a", "X-Forwarded\x01-For: a", "X Forwarded-For: a", ": a"}) {
    EXPECT_FALSE(HeaderIsTaken(line)) << line;
  }
}

TEST(RequestHeadTest, LinesAreNotFoldedAndEndWithBothOfTheirCharacters) {
  for (const char* line :
       {"A: b\r\n c: d", "A: b\r\n\tc: d", "A: b\nC: d", "A: b\rC: d", "A: b\r\rC: d", "A\r\nC: d", "A: b\r\n\rC"}) {
    EXPECT_FALSE(HeaderIsTaken(line)) << line;
  }
  EXPECT_FALSE(IsTaken("GET / HTTP/1.1\nHost: x\n\n"));
  EXPECT_FALSE(IsTaken("\r\n\nGET / HTTP/1.1\r\nHost: x\r\n\r\n"));
}

TEST(RequestHeadTest, ControlCharactersAreInNoLine) {
  for (const char byte : {'\0', '\x01', '\x1b', '\x7f'}) {
    EXPECT_FALSE(HeaderIsTaken(std::string("A: b") + byte + "c")) << int{byte};
    EXPECT_FALSE(HeaderIsTaken(std::string("A") + byte + "c: d")) << int{byte};
    EXPECT_FALSE(IsTaken(std::string("GET /") + byte + " HTTP/1.1\r\n")) << int{byte};
  }
}

TEST(RequestHeadTest, HeadersOfWhichThereIsOneComeOnce) {
  for (const char* line : {"Host: y", "HOST:", "host: x", "Sec-WebSocket-Key: a\r\nSec-WebSocket-Key: a",
                           "Sec-WebSocket-Version: 13\r\nsec-websocket-version: 13"}) {
    EXPECT_FALSE(HeaderIsTaken(line)) << line;
  }
  for (const char* line : {"X-Host: y", "Hosts: y",
                           "Sec-WebSocket-Version-And-More: 1\r\nSec-WebSocket-Version-And-More: 2",
                           "Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: b", "Cookie: a\r\nCookie: b"}) {
    EXPECT_TRUE(HeaderIsTaken(line)) << line;
  }
}

TEST(RequestHeadTest, HostIsOneNameOrAddress) {
  const auto host_is_taken = [](const std::string& host) {
      return IsTaken("GET / HTTP/1.1\r\nHost:" + host + "\r\n\r\n"); };
  for (const char* host : {"", " ", " x", " x:80 ", "\t[::1]:8082", " edge_1.example.", " xn--bcher-kva.example",
      " b\xc3\xbc.example"}) {
    EXPECT_TRUE(host_is_taken(host)) << host;
  }
  for (const char* host : {" a, b", " a b", " a,b", " a/b", " u@a", " a?b", " a#b", " \"a\"", " a\\b", " <a>"}) {
    EXPECT_FALSE(host_is_taken(host)) << host;
  }
}

TEST(RequestHeadTest, LengthIsOfDigitsAndAlone) {
  for (const char* line : {"Content-Length: 0", "content-length:5 ", "Content-Length: 5, 5",
      "Transfer-Encoding: chunked"}) {
    EXPECT_TRUE(HeaderIsTaken(line)) << line;
  }
  for (const char* line : {"Content-Length: -1", "Content-Length:", "Content-Length: ", "Content-Length: +1",
      "Content-Length: 0x5",
                           "Content-Length: 5\r\nTransfer-Encoding: chunked",
                               "Transfer-Encoding: chunked\r\nContent-Length: 5"}) {
    EXPECT_FALSE(HeaderIsTaken(line)) << line;
  }
}

TEST(RequestHeadTest, ItsEndIsKnown) {
  RequestHead head;
  EXPECT_TRUE(head.Take("GET / HTTP/1.0\r\nA: b\r\n\r"));
  EXPECT_FALSE(head.complete());
  EXPECT_FALSE(head.has_host());
  EXPECT_TRUE(head.Take("\nHost: x\r\n"));
  EXPECT_TRUE(head.complete());
  EXPECT_FALSE(head.has_host()) << "that is the body";
}

TEST(RequestHeadTest, OfWhatFollowsTheHeadNothingIsAsked) {
  EXPECT_TRUE(HeaderIsTaken(std::string("A: b\r\n\r\n\x81\x81\n : \0\r", 16)));
}

}  // namespace
}  // namespace toolwire
