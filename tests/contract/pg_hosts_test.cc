// A database URL of several hosts: each gets its share of the time to connect, and a stop waits for none.
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <netdb.h>

#include <cstdlib>
#include <cstring>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tests/contract/pg_store_fixture.h"
#include "tests/support/free_port.h"
#include "tests/support/silent_host.h"

namespace {
constexpr char kSlowName[] = "slow-to-find.test";
constexpr std::chrono::seconds kLookUp{3};
}  // namespace

// In place of the system's: a name whose first name server is away, and the second knows it.
extern "C" int getaddrinfo(const char* name, const char* service, const addrinfo* hints, addrinfo** found) {
  static const auto systems = reinterpret_cast<decltype(&getaddrinfo)>(dlsym(RTLD_NEXT, "getaddrinfo"));
  if (name == nullptr || std::strcmp(name, kSlowName) != 0) return systems(name, service, hints, found);
  std::this_thread::sleep_for(kLookUp);
  return systems("127.0.0.1", service, hints, found);
}

namespace toolwire {
namespace {

class PgHostsTest : public PgStoreTest {
 protected:
  // A URL of these ports of 127.0.0.1, with the test's database.
  std::string UrlOf(const std::vector<int>& ports, const std::string& query = "") {
    std::vector<std::string> hosts;
    for (const int port : ports) hosts.push_back(absl::StrCat("127.0.0.1:", port));
    const std::string database = url_.substr(url_.rfind('/'));
    return absl::StrCat("postgresql://postgres:hunter2@", absl::StrJoin(hosts, ","), database, query);
  }
  int ServerPort() const { return std::stoi(url_.substr(url_.rfind(':') + 1)); }
};

TEST_F(PgHostsTest, HostsThatSayNothingLeaveTheLastItsShareOfTheTime) {
  OpenNew();
  const SilentHost first, second;
  options_.url = UrlOf({first.port(), second.port(), ServerPort()});
  options_.connect_timeout = std::chrono::minutes(10);
  auto store = Open();
  store->EndBy(std::chrono::steady_clock::now() + std::chrono::seconds(9));
  EXPECT_TRUE(IsRight(*store));
}

TEST_F(PgHostsTest, AtTheDeadlineOfAStopADialIsOverHoweverManyHostsAreLeft) {
  const SilentHost first, second, third;
  options_.url = UrlOf({first.port(), second.port(), third.port()});
  options_.connect_timeout = std::chrono::minutes(3);
  auto store = Open();
  auto asked = std::async(std::launch::async, [&] {
    return store->CheckCredentials({{"old_user", kSecret}}).status();
  });
  EXPECT_TRUE(Soon([&] { return first.IsDialled(); }));
  store->EndBy(std::chrono::steady_clock::now() + std::chrono::milliseconds(50));
  EXPECT_EQ(asked.wait_for(std::chrono::seconds(50)), std::future_status::ready);
  const absl::Status status = asked.get();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
}

TEST_F(PgHostsTest, LookingANameUpTakesNothingOfTheTimeToConnect) {
  OpenNew();
  options_.url = absl::StrCat("postgresql://postgres@", kSlowName, ":", ServerPort(), url_.substr(url_.rfind('/')));
  options_.connect_timeout = kLookUp;
  EXPECT_TRUE(IsRight(*Open()));
}

TEST_F(PgHostsTest, HostsOfTheEnvironmentShareTheTimeToo) {
  OpenNew();
  const SilentHost first;
  setenv("PGHOST", "127.0.0.1,127.0.0.1", 1);
  setenv("PGPORT", absl::StrCat(first.port(), ",", ServerPort()).c_str(), 1);
  options_.url = absl::StrCat("postgresql://postgres@", url_.substr(url_.rfind('/')));
  options_.connect_timeout = std::chrono::seconds(8);
  EXPECT_TRUE(IsRight(*Open()));
  unsetenv("PGHOST");
  unsetenv("PGPORT");
}

TEST_F(PgHostsTest, HostThatIsNotThereOrNotOfTheKindAskedForIsPassedOver) {
  OpenNew();
  const int closed = FreePort();
  for (const char* attributes : {"any", "read-write", "primary", "prefer-standby"}) {
    options_.url = UrlOf({closed, ServerPort()}, absl::StrCat("?target_session_attrs=", attributes));
    EXPECT_TRUE(IsRight(*Open())) << attributes;
  }
  options_.url = UrlOf({closed, ServerPort()}, "?target_session_attrs=standby");
  const absl::Status status = Open()->CheckCredentials({{"old_user", kSecret}}).status();
  EXPECT_TRUE(absl::IsUnavailable(status));
  const std::string message(status.message());
  EXPECT_NE(message.find(absl::StrCat("port ", closed, " failed: Connection refused; connection to server at")),
            std::string::npos) << message;
  EXPECT_NE(message.find("standby"), std::string::npos) << message;
  EXPECT_EQ(message.find("hunter2"), std::string::npos) << message;
}

}  // namespace
}  // namespace toolwire
