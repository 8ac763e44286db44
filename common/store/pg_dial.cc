// libpq's own way to connect gives each address the whole time, in whole seconds and at least two, and none of its
// calls moves on to the next host. So each address is a conversation of its own here, whose steps libpq takes whenever
// its socket is ready. pqxx gets what was connected.

#include "common/store/pg_dial.h"

#include <libpq-fe.h>
#include <netdb.h>
#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <random>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace toolwire {
namespace {

using std::chrono::milliseconds;

constexpr Duration kAskDeadlineEvery = milliseconds(100);

struct Finish {
  void operator()(PGconn* connection) const { PQfinish(connection); }
};
using Conversation = std::unique_ptr<PGconn, Finish>;

// Hands over what is connected, once. When a connection breaks, pqxx would have libpq connect again: for any time, and
// to a session that lacks what was set in it.
class Connected final : public pqxx::connectionpolicy {
 public:
  explicit Connected(Conversation conversation) : connectionpolicy(""), conversation_(std::move(conversation)) {}
  handle do_startconnect(handle connection) override {
    if (connection != nullptr) return connection;
    if (conversation_ == nullptr) throw pqxx::broken_connection("the connection broke");
    return conversation_.release();
  }

 private:
  Conversation conversation_;
};

class DialledConnection final : public PgConnection {
 public:
  explicit DialledConnection(Conversation conversation)
      : PgConnection(policy_), raw_(conversation.get()), policy_(std::move(conversation)) {
    init();
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"  // Going, as what it forbids is.
    inhibit_reactivation(true);
#pragma GCC diagnostic pop
  }
  ~DialledConnection() override { close(); }
  std::string Failure() const override { return PQerrorMessage(raw_); }

 private:
  PGconn* const raw_;  // Until `close`.
  Connected policy_;
};

// What one may take of the time that is left, when so many wait for theirs, itself included.
Duration Share(Duration left, size_t waiting) { return left / static_cast<Duration::rep>(waiting); }

std::string Setting(const PgSettings& settings, const std::string& key) {
  const auto found = settings.find(key);
  return found == settings.end() ? "" : found->second;
}

// The settings for each address of the host, in the system's order; as they are if it is no name, or has none.
std::vector<PgSettings> Addresses(const PgSettings& settings) {
  const std::string host = Setting(settings, "host"), port = Setting(settings, "port");
  const bool is_socket = host.empty() || host.front() == '/' || host.front() == '@';
  if (is_socket || !Setting(settings, "hostaddr").empty()) return {settings};
  addrinfo hints{}, *found = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  if (getaddrinfo(host.c_str(), port.empty() ? nullptr : port.c_str(), &hints, &found) != 0) return {settings};
  std::vector<PgSettings> all;
  for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
    char text[NI_MAXHOST];
    if (getnameinfo(one->ai_addr, one->ai_addrlen, text, sizeof(text), nullptr, 0, NI_NUMERICHOST) != 0) continue;
    all.push_back(settings);
    all.back()["hostaddr"] = text;
  }
  freeaddrinfo(found);
  return all.empty() ? std::vector<PgSettings>{settings} : all;
}

// As libpq reads it. What is empty stays so: libpq would take a variable of the environment for what is not named.
std::string ConnInfo(const PgSettings& settings) {
  std::string conninfo;
  for (const auto& [key, value] : settings) {
    absl::StrAppend(&conninfo, key, "='");
    for (const char c : value) {
      if (c == '\'' || c == '\\') conninfo.push_back('\\');
      conninfo.push_back(c);
    }
    conninfo.append("' ");
  }
  return conninfo;
}

// As libpq says it of one that it waited for.
std::string TimeoutText(PGconn* connection, const PgSettings& settings) {
  const std::string host = Setting(settings, "host"), address = Setting(settings, "hostaddr");
  const std::string shown = host.empty() ? address : host;
  if (shown.empty() || shown.front() == '/' || shown.front() == '@') {
    return absl::StrCat("connection to server on socket \"", shown, "\" failed: timeout expired\n");
  }
  const std::string also = address.empty() || address == shown ? "" : absl::StrCat(" (", address, ")");
  return absl::StrCat("connection to server at \"", shown, "\"", also, ", port ", PQport(connection),
                      " failed: timeout expired\n");
}

// Takes the steps of one conversation, within `share` and until the deadline. What libpq says, if they fail.
std::string Converse(PGconn* connection, const PgSettings& settings, Duration share,
                     const std::function<MonoTime()>& deadline) {
  if (connection == nullptr) return "out of memory";
  const MonoTime end = std::chrono::steady_clock::now() + share;
  const bool has_begun = PQstatus(connection) != CONNECTION_BAD;
  PostgresPollingStatusType next = has_begun ? PGRES_POLLING_WRITING : PGRES_POLLING_FAILED;
  while (next == PGRES_POLLING_READING || next == PGRES_POLLING_WRITING) {
    const Duration left = std::min(end, deadline()) - std::chrono::steady_clock::now();
    if (left <= Duration::zero()) return TimeoutText(connection, settings);
    pollfd watched{PQsocket(connection), static_cast<short>(next == PGRES_POLLING_READING ? POLLIN : POLLOUT), 0};
    const auto wait = std::chrono::ceil<milliseconds>(std::min(left, kAskDeadlineEvery));
    if (poll(&watched, 1, static_cast<int>(wait.count())) <= 0) continue;
    next = PQconnectPoll(connection);
  }
  return next == PGRES_POLLING_OK ? "" : PQerrorMessage(connection);
}

// The first host that can be reached, and which it is; else null, and the lines about them are added.
Conversation DialAny(const std::vector<PgSettings>& hosts, Duration timeout, const std::function<MonoTime()>& end,
                     size_t* reached, std::string* lines) {
  MonoTime limit = std::chrono::steady_clock::now() + timeout;
  for (size_t i = 0; i < hosts.size(); ++i) {
    const MonoTime asked_at = std::chrono::steady_clock::now();
    if (i > 0 && asked_at >= std::min(limit, end())) break;
    const std::vector<PgSettings> addresses = Addresses(hosts[i]);
    // A name server that is away takes as long as all hosts may, or longer, and the next one knows the name.
    const MonoTime now = std::chrono::steady_clock::now();
    limit += now - asked_at;
    const MonoTime host_end = now + Share(std::min(limit, end()) - now, hosts.size() - i);
    const auto host_deadline = [&] { return std::min(host_end, end()); };
    for (size_t k = 0; k < addresses.size(); ++k) {
      const Duration left = host_deadline() - std::chrono::steady_clock::now();
      Conversation conversation(PQconnectStart(ConnInfo(addresses[k]).c_str()));
      const std::string failure =
          Converse(conversation.get(), addresses[k], Share(left, addresses.size() - k), host_deadline);
      if (failure.empty()) {
        *reached = i;
        return conversation;
      }
      absl::StrAppend(lines, failure, absl::EndsWith(failure, "\n") ? "" : "\n");
    }
  }
  return nullptr;
}

}  // namespace

std::shared_ptr<PgConnection> DialPg(const PgSettings& settings, Duration timeout,
                                     const std::function<MonoTime()>& end, size_t* host) {
  std::vector<PgSettings> hosts = PgHosts(settings);
  const size_t count = hosts.size();
  const size_t first = PgHostsInAnyOrder(settings) ? *host % count : 0;
  std::rotate(hosts.begin(), hosts.begin() + static_cast<ptrdiff_t>(first), hosts.end());
  if (Setting(settings, "load_balance_hosts") == "random") {
    std::shuffle(hosts.begin(), hosts.end(), std::mt19937(std::random_device()()));
  }
  // Of several hosts, a standby first, and whichever there is then: libpq would be content with the first host.
  if (Setting(settings, "target_session_attrs") == "prefer-standby" && hosts.size() > 1) {
    std::vector<PgSettings> all = hosts;
    for (PgSettings& host : all) host["target_session_attrs"] = "standby";
    for (PgSettings& host : hosts) host["target_session_attrs"] = "any";
    all.insert(all.end(), hosts.begin(), hosts.end());
    hosts = std::move(all);
  }
  std::string lines;
  size_t reached = 0;
  Conversation conversation = DialAny(hosts, timeout, end, &reached, &lines);
  if (conversation == nullptr) throw pqxx::broken_connection(lines);
  *host = (first + reached) % count;
  return std::make_shared<DialledConnection>(std::move(conversation));
}

}  // namespace toolwire
