// The Prometheus port against peers that send half a request, too much, or nothing, and that do not read.
#include "common/process/metrics_endpoint.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "tests/fakes/fake_clock.h"
#include "tests/support/await.h"
#include "tests/support/peer.h"

namespace toolwire {
namespace {

std::unique_ptr<MetricsEndpoint> Started(Duration request_time = kScrapeTime) {
  const auto source = [](std::vector<Sample>* out) {
    AddGauge(out, "one", "One.", 1);
    out->back().labels.emplace_back("label", "x");
  };
  auto endpoint = MetricsEndpoint::Start(MetricsPort(), source, request_time);
  EXPECT_TRUE(endpoint.ok()) << endpoint.status();
  return *std::move(endpoint);
}

double Hits(int port, const std::string& limit) {
  return Scraped(port, "toolwire_metrics_limit_hits_total{limit=\"" + limit + "\"}");
}

bool Begins(const std::string& text, const std::string& with) { return text.rfind(with, 0) == 0; }

TEST(MetricsEndpointTest, ReadyzSaysInOneLineWhatIsNotReadyWhyAndSinceWhen) {
  FakeClock clock;
  Readiness readiness(clock);
  std::string why;
  readiness.Add("agents", [] { return ""; });
  readiness.Add("store", [&] { return why; });
  const auto endpoint =
      *MetricsEndpoint::Start(MetricsPort(), [](std::vector<Sample>*) {}, kScrapeTime, &readiness);
  const auto ask = [&] {
    return Ask(endpoint->port(), "GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  };
  const auto ends = [](const std::string& text, const std::string& with) {
    return text.size() >= with.size() && text.substr(text.size() - with.size()) == with;
  };
  std::string answer = ask();
  EXPECT_TRUE(Begins(answer, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")) << answer;
  EXPECT_TRUE(ends(answer, "\r\n\r\n{\"ready\":true,\"checks\":[{\"name\":\"agents\",\"ready\":true},"
                           "{\"name\":\"store\",\"ready\":true}]}\n"))
      << answer;
  why = "SQLSTATE 25006, \"read-only\"";
  std::string first;
  for (int i = 0; i < 2; ++i) {
    answer = ask();
    EXPECT_TRUE(Begins(answer, "HTTP/1.1 503 Service Unavailable\r\n")) << answer;
    EXPECT_NE(answer.find("\"why\":\"SQLSTATE 25006, \\\"read-only\\\"\",\"since\":\"2023-11-14T22:13:20Z\"}"),
              std::string::npos)
        << answer;
    if (i == 0) first = answer;
    clock.Advance(std::chrono::hours(1));
  }
  EXPECT_EQ(answer, first) << "since it began";
  why = "";
  EXPECT_TRUE(Begins(ask(), "HTTP/1.1 200 OK\r\n"));
  why = "again";
  EXPECT_NE(ask(), first);
}

TEST(MetricsEndpointTest, ProxysCheckByOptionsIsAnsweredWithoutAPageAndTellsOfReadyzWhetherItIs) {
  FakeClock clock;
  Readiness readiness(clock);
  std::string why;
  readiness.Add("store", [&] { return why; });
  int samples = 0;
  const auto endpoint = *MetricsEndpoint::Start(
      MetricsPort(), [&](std::vector<Sample>*) { ++samples; }, kScrapeTime, &readiness);
  const auto ask = [&](const std::string& path) {
    return Ask(endpoint->port(), "OPTIONS " + path + " HTTP/1.0\r\n\r\n");
  };
  for (const char* path : {"/", "*", "/metrics", "/readyz"}) {
    const std::string answer = ask(path);
    EXPECT_TRUE(Begins(answer, "HTTP/1.1 200 OK\r\n")) << answer;
    EXPECT_NE(answer.find("\r\nContent-Length: 0\r\n"), std::string::npos) << answer;
  }
  EXPECT_EQ(samples, 0);
  why = "away";
  EXPECT_TRUE(Begins(ask("/readyz"), "HTTP/1.1 503 Service Unavailable\r\n"));
  EXPECT_TRUE(Begins(ask("/metrics"), "HTTP/1.1 200 OK\r\n"));
  EXPECT_TRUE(Begins(ask("/other"), "HTTP/1.1 404 Not Found\r\n"));
}

TEST(MetricsEndpointTest, PortWithoutReadinessHasNoReadyz) {
  const auto endpoint = Started();
  EXPECT_TRUE(Begins(Ask(endpoint->port(), "GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
                     "HTTP/1.1 404 Not Found\r\n"));
}

TEST(MetricsEndpointTest, HalfRequestsKeepNobodyElseFromScraping) {
  const auto endpoint = Started();
  std::vector<std::unique_ptr<Peer>> halves;
  for (int i = 0; i < 200; ++i) {
    halves.push_back(std::make_unique<Peer>(endpoint->port()));
    halves.back()->Send("GET /metrics HTTP/1.1\r\nHost: x\r\n");
  }
  const std::string answer = Ask(endpoint->port(), kScrape);
  EXPECT_TRUE(Begins(answer, "HTTP/1.1 200 OK\r\n")) << answer;
  EXPECT_NE(answer.find("\none{label=\"x\"} 1\n"), std::string::npos) << answer;
}

TEST(MetricsEndpointTest, SixtyFourConnectionsAreHeldAndThenTheOldestGoes) {
  const auto endpoint = Started();
  std::vector<std::unique_ptr<Peer>> peers;
  for (int i = 0; i < 64; ++i) peers.push_back(std::make_unique<Peer>(endpoint->port()));
  // One that gets a response is not the oldest any more.
  peers[0]->Send("HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
  char byte = 0;
  ASSERT_EQ(peers[0]->ReadSome(&byte, 1), 1);
  EXPECT_EQ(Hits(endpoint->port(), "scrape_connections"), 1);
  EXPECT_TRUE(Await([&] { return peers[1]->IsClosed(); }));
  peers[0]->Send(kScrape);
  EXPECT_NE(peers[0]->Read().find("200 OK"), std::string::npos);
}

TEST(MetricsEndpointTest, AFloodOfConnectsFromOneAddressEndsNoScrapeOfAnother) {
  const auto endpoint = Started();
  const Peer scraper(endpoint->port(), 2);
  scraper.Send("GET /metrics HTTP/1.1\r\n");
  std::vector<std::unique_ptr<Peer>> flood;
  for (int i = 0; i < 200; ++i) flood.push_back(std::make_unique<Peer>(endpoint->port()));
  ASSERT_TRUE(Await([&] { return flood[100]->IsClosed(); }));
  EXPECT_FALSE(scraper.IsClosed());
  scraper.Send("Host: x\r\nConnection: close\r\n\r\n");
  EXPECT_TRUE(Begins(scraper.Read(), "HTTP/1.1 200 OK\r\n"));
}

// The oldest is answered, and one makes room, in one turn of the loop: a scrape holds it up until both have come.
TEST(MetricsEndpointTest, AConnectionThatMakesRoomWhileItIsAnsweredIsGone) {
  std::atomic<int> held{0}, go{0};
  const auto source = [&](std::vector<Sample>* out) {
    AddGauge(out, "one", "One.", 1);
    if (held++ == 0) Await([&] { return go == 1; });
  };
  const auto endpoint = *MetricsEndpoint::Start(MetricsPort(), source, kScrapeTime);
  std::vector<std::unique_ptr<Peer>> peers;
  for (int i = 0; i < 64; ++i) peers.push_back(std::make_unique<Peer>(endpoint->port()));
  peers[1]->Send("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
  ASSERT_TRUE(Await([&] { return held == 1; }));
  peers[0]->Send("HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
  const Peer newer(endpoint->port());
  go = 1;
  const auto is_closed = [](const auto& peer) { return peer->IsClosed(); };
  EXPECT_TRUE(Await([&] { return std::any_of(peers.begin(), peers.end(), is_closed); }));
  EXPECT_GE(Hits(endpoint->port(), "scrape_connections"), 1);
}

TEST(MetricsEndpointTest, ARequestThatIsNotThereInTimeIsGivenUp) {
  const auto endpoint = Started(std::chrono::milliseconds(50));
  const Peer half(endpoint->port()), silent(endpoint->port());
  half.Send("GET /metr");
  EXPECT_EQ(half.Read(), "");
  EXPECT_EQ(silent.Read(), "");
  EXPECT_EQ(Hits(endpoint->port(), "scrape_time"), 2);
}

TEST(MetricsEndpointTest, AConnectionThatWaitsForItsNextRequestEndsUncounted) {
  const auto endpoint = Started(std::chrono::milliseconds(50));
  const std::string answer = Ask(endpoint->port(), "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_TRUE(Begins(answer, "HTTP/1.1 200 OK\r\n")) << answer;
  EXPECT_EQ(Hits(endpoint->port(), "scrape_time"), 0);
}

TEST(MetricsEndpointTest, APeerThatDoesNotReadItsResponseCostsItsOwnConnection) {
  std::atomic<size_t> bytes{32u << 20};  // More than sockets buffer.
  std::atomic<int> scrapes{0};
  const auto source = [&](std::vector<Sample>* out) {
    AddGauge(out, "one", "One.", 1);
    out->back().labels.emplace_back("label", std::string(bytes, 'x'));
    ++scrapes;
  };
  const auto endpoint = *MetricsEndpoint::Start(MetricsPort(), source, std::chrono::milliseconds(500));
  const Peer unread(endpoint->port());
  unread.Send(kScrape);
  ASSERT_TRUE(Await([&] { return scrapes == 1; }));
  bytes = 1;
  EXPECT_TRUE(Begins(Ask(endpoint->port(), kScrape), "HTTP/1.1 200 "));
  EXPECT_TRUE(Await([&] { return Hits(endpoint->port(), "scrape_time") == 1; }));
}

TEST(MetricsEndpointTest, ARequestOfEightKibibytesIsReadAndAByteMoreIsNot) {
  const auto endpoint = Started();
  const std::string begin = "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX: ", end = "\r\n\r\n";
  const std::string fits(8192 - begin.size() - end.size(), 'x');
  EXPECT_TRUE(Begins(Ask(endpoint->port(), begin + fits + end), "HTTP/1.1 200 "));
  EXPECT_TRUE(Begins(Ask(endpoint->port(), begin + fits + "x" + end), "HTTP/1.1 431 "));
  EXPECT_TRUE(Begins(Ask(endpoint->port(), begin + std::string(1u << 20, 'x')), "HTTP/1.1 431 "));
  EXPECT_TRUE(Begins(Ask(endpoint->port(), "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" +
                                               std::string(100000, 'x')),
                     "HTTP/1.1 431 "));
  EXPECT_EQ(Hits(endpoint->port(), "scrape_bytes"), 3);
}

TEST(MetricsEndpointTest, AnswersWhatIsAskedAndInOrder) {
  const auto endpoint = Started();
  const auto ask = [&](const std::string& line) {
    return Ask(endpoint->port(), line + "\r\nHost: x\r\nConnection: Close\r\n\r\n");
  };
  EXPECT_TRUE(Begins(ask("GET /metrics?name[]=one HTTP/1.1"), "HTTP/1.1 200 "));
  EXPECT_TRUE(Begins(ask("GET /metrics HTTP/1.0"), "HTTP/1.1 200 "));
  EXPECT_TRUE(Begins(ask("GET / HTTP/1.1"), "HTTP/1.1 404 "));
  EXPECT_TRUE(Begins(ask("POST /metrics HTTP/1.1"), "HTTP/1.1 405 "));
  EXPECT_TRUE(Begins(ask("no HTTP"), "HTTP/1.1 400 "));
  EXPECT_TRUE(Begins(ask("GET /metrics HTTP/1.1\r\nContent-Length: 99999999999"), "HTTP/1.1 400 "));
  const std::string head = ask("HEAD /metrics HTTP/1.1");
  EXPECT_EQ(head.find("\r\n\r\n"), head.size() - 4) << head;
  // Two requests at once on one connection.
  const std::string two = Ask(endpoint->port(), std::string("GET /a HTTP/1.1\r\nHost: x\r\n\r\n") + kScrape);
  EXPECT_TRUE(Begins(two, "HTTP/1.1 404 ")) << two;
  EXPECT_NE(two.find("HTTP/1.1 200 "), std::string::npos) << two;
}

}  // namespace
}  // namespace toolwire
