// libpq parses; what it would say of a wrong URL may quote a password, so it is not repeated. How a connection is
// protected follows from libpq's rules: without a CA `require` checks nothing, with one it is `verify-ca`; `allow` and
// `prefer` go on without TLS where there is none, or where its certificate is wrong; Unix sockets have no TLS.
#include "common/store/pg_url.h"

#include <libpq-fe.h>
#include <netdb.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string_view>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/base/host_port.h"

namespace toolwire {
namespace {

constexpr const char* kSslModes[] = {"disable", "allow", "prefer", "require", "verify-ca", "verify-full"};
constexpr size_t kKeyBytesMax = 64u << 10;  // Of a key file, looked at for the mark of an encrypted one.

// Whether a password with an unescaped @ or / has likely shifted the parts of a URI: what libpq then takes for a host
// or a database, and names in messages, is a piece of that password.
bool IsShifted(std::string_view url) {
  const size_t start = url.find("://");
  if (start == std::string_view::npos) return false;
  const std::string_view rest = url.substr(start + 3);
  const size_t slash = std::min(rest.find('/'), rest.size());
  const std::string_view path = rest.substr(slash, rest.find('?', slash) - slash);
  return std::count(rest.begin(), rest.begin() + slash, '@') > 1 || path.find('@') != std::string_view::npos;
}

// What Prisma, and backends beside it, write into the URL that they share with us. How many connections there are, and
// what is prepared on them, is ours to say; whose certificate is taken is sslmode's.
constexpr const char* kOthersParameters[] = {"pgbouncer",        "connection_limit",     "pool_timeout",
                                             "socket_timeout",   "statement_cache_size", "sslaccept",
                                             "sslidentity",      "uselibpqcompat",       "max_idle_connection_lifetime",
                                             "max_connection_lifetime", "supa",          "workaround"};

// What libpq itself finds only when it dials, where it would look as if the server was not there.
constexpr const char* kNumbers[] = {"connect_timeout",     "keepalives",       "keepalives_idle",
                                    "keepalives_interval", "keepalives_count", "tcp_user_timeout"};
struct Choices {
  const char* name;
  std::vector<const char*> values;
};
const Choices kChoices[] = {
    {"channel_binding", {"disable", "prefer", "require"}},
    {"gssencmode", {"disable", "prefer", "require"}},
    {"load_balance_hosts", {"disable", "random"}},
    {"target_session_attrs", {"any", "read-write", "read-only", "primary", "standby", "prefer-standby"}},
};

absl::Status InvalidPart(const std::string& what) { return absl::InvalidArgumentError("DATABASE_URL: " + what); }

bool IsName(std::string_view text) {
  return !text.empty() && text.size() <= 40 && std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return absl::ascii_isalnum(c) || c == '_' || c == '+' || c == ':';
  });
}

bool IsLibpqs(const std::string& name) {
  PQconninfoOption* const known = PQconndefaults();
  bool found = name == "ssl";
  for (const PQconninfoOption* one = known; one != nullptr && one->keyword != nullptr; ++one) {
    found = found || name == one->keyword;
  }
  PQconninfoFree(known);
  return found;
}

// The URI without what is others' alone. Behind a ? with an @ after it may be a password that is not encoded: that is
// left as it is.
absl::StatusOr<std::string> WithoutOthers(const std::string& url, std::vector<std::string>* passed_over) {
  const size_t scheme = url.find("://");
  if (scheme == std::string::npos) return url;
  if (const std::string name = url.substr(0, scheme); name != "postgresql" && name != "postgres" && IsName(name)) {
    return InvalidPart(absl::StrCat("it begins with ", name, ":// in place of postgresql://"));
  }
  const size_t question = url.find('?', scheme);
  if (question == std::string::npos || url.find('@', question) != std::string::npos) return url;
  std::vector<std::string> kept;
  for (const std::string& one : std::vector<std::string>(absl::StrSplit(url.substr(question + 1), '&'))) {
    const size_t equals = std::min(one.find('='), one.size());
    const std::string name = one.substr(0, equals), value = one.substr(std::min(equals + 1, one.size()));
    const bool is_schema = name == "schema" || name == "currentSchema";
    if (is_schema && !value.empty() && value != "public") {
      return InvalidPart(absl::StrCat(name, ": tables are where the user's search_path says; ",
                                      "ALTER ROLE ... SET search_path, and leave it out"));
    }
    const bool is_others = std::find(std::begin(kOthersParameters), std::end(kOthersParameters), name) !=
                           std::end(kOthersParameters);
    if (is_schema || is_others) {
      if (passed_over != nullptr) passed_over->push_back(name);
    } else if (IsName(name) && !IsLibpqs(name)) {
      return InvalidPart(absl::StrCat("libpq knows no parameter ", name));
    } else {
      kept.push_back(one);
    }
  }
  return kept.empty() ? url.substr(0, question) : absl::StrCat(url.substr(0, question), "?", absl::StrJoin(kept, "&"));
}

PgSettings TakeSettings(PQconninfoOption* options) {
  PgSettings settings;
  for (const PQconninfoOption* option = options; option != nullptr && option->keyword != nullptr; ++option) {
    if (option->val != nullptr) settings[option->keyword] = option->val;
  }
  PQconninfoFree(options);
  return settings;
}

std::string Get(const PgSettings& settings, const std::string& key, const std::string& missing = "") {
  const auto found = settings.find(key);
  return found == settings.end() || found->second.empty() ? missing : found->second;
}

std::vector<std::string> ListAt(const PgSettings& settings, const std::string& key) {
  const std::string list = Get(settings, key);
  if (list.empty()) return {};
  return absl::StrSplit(list, ',');
}

void Set(const std::string& key, const std::string& value, PgSettings* settings) {
  if (value.empty()) {
    settings->erase(key);
  } else {
    (*settings)[key] = value;
  }
}

// PEM says so in its text, in either of its two forms. A key that cannot be read is libpq's to report.
bool IsEncryptedKey(const std::string& file) {
  std::string text(kKeyBytesMax, '\0');
  std::ifstream in(file, std::ios::binary);
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(in.gcount()));
  return absl::StrContains(text, "BEGIN ENCRYPTED PRIVATE KEY") || absl::StrContains(text, "Proc-Type: 4,ENCRYPTED");
}

// As libpq looks for it. A file that is not there counts only for the modes that insist on it.
bool HasAuthority(const PgSettings& settings) {
  std::string file = Get(settings, "sslrootcert");
  const char* const home = std::getenv("HOME");
  if (file.empty() && home != nullptr) file = absl::StrCat(home, "/.postgresql/root.crt");
  struct stat found {};
  return !file.empty() && stat(file.c_str(), &found) == 0;
}

// As libpq sees it.
bool IsAddress(const std::string& text) {
  addrinfo hints{}, *found = nullptr;
  hints.ai_flags = AI_NUMERICHOST;
  if (getaddrinfo(text.c_str(), nullptr, &hints, &found) != 0) return false;
  freeaddrinfo(found);
  return true;
}

absl::Status CheckValues(const PgSettings& settings) {
  for (const auto& [name, value] : settings) {
    if (name == "password" || name == "sslpassword") continue;
    if (std::any_of(value.begin(), value.end(), [](unsigned char c) { return absl::ascii_iscntrl(c); })) {
      return InvalidPart(absl::StrCat(name, " has a control character in it"));
    }
  }
  for (const char* name : kNumbers) {
    int ignored = 0;
    if (const std::string value = Get(settings, name); !value.empty() && !absl::SimpleAtoi(value, &ignored)) {
      return InvalidPart(absl::StrCat(name, " is not a whole number"));
    }
  }
  for (const Choices& choices : kChoices) {
    const std::string value = Get(settings, choices.name);
    const auto is = [&value](const char* one) { return value == one; };
    if (value.empty() || std::any_of(choices.values.begin(), choices.values.end(), is)) continue;
    return InvalidPart(absl::StrCat(choices.name, " is none of ", absl::StrJoin(choices.values, ", ")));
  }
  for (const auto address : absl::StrSplit(Get(settings, "hostaddr"), ',', absl::SkipEmpty())) {
    if (!IsAddress(std::string(address))) return InvalidPart("hostaddr is no IP address");
  }
  return absl::OkStatus();
}

bool IsOnThisMachine(const PgSettings& settings) {
  // The address counts, if both are there; an empty host is libpq's default socket.
  const std::string address = Get(settings, "hostaddr");
  const std::vector<std::string> hosts = absl::StrSplit(address.empty() ? Get(settings, "host") : address, ',');
  for (const std::string& host : hosts) {
    const bool is_socket = address.empty() && (host.empty() || host.front() == '/' || host.front() == '@');
    if (!is_socket && !IsLoopback(host)) return false;
  }
  return true;
}

}  // namespace

absl::StatusOr<PgSettings> ReadPgUrl(const std::string& url, std::vector<std::string>* passed_over) {
  const absl::Status invalid = absl::InvalidArgumentError(
      "DATABASE_URL is not a PostgreSQL URL such as postgresql://user:password@host:5432/database "
      "(special characters in the password are written as %XX)");
  if (url.empty() || IsShifted(url)) return invalid;
  // libpq's own message quotes what it does not understand, which may be the password.
  const auto ours = WithoutOthers(url, passed_over);
  if (!ours.ok()) return ours.status();
  PQconninfoOption* parsed = PQconninfoParse(ours->c_str(), nullptr);
  if (parsed == nullptr) return invalid;
  PgSettings settings = TakeSettings(parsed);
  for (const auto port : absl::StrSplit(settings["port"], ',', absl::SkipEmpty())) {
    int number = 0;
    if (!absl::SimpleAtoi(port, &number) || number < 1 || number > 65535) return invalid;
  }
  if (settings["port"].empty()) settings.erase("port");
  if (const absl::Status status = CheckValues(settings); !status.ok()) return status;
  const std::string mode = Get(settings, "sslmode");
  if (!mode.empty() && std::find(std::begin(kSslModes), std::end(kSslModes), mode) == std::end(kSslModes)) {
    return absl::InvalidArgumentError(
        absl::StrCat("DATABASE_URL: sslmode is none of ", absl::StrJoin(kSslModes, ", ")));
  }
  const std::string key = Get(settings, "sslkey");
  if (Get(settings, "sslpassword").empty() && IsEncryptedKey(key)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "DATABASE_URL: ", key, ": the key is encrypted; one without a passphrase is needed, or sslpassword"));
  }
  return settings;
}

void AddHostsOfEnvironment(PgSettings* settings) {
  if (settings->count("service") > 0) return;  // It comes before the environment, and libpq alone reads it.
  const PgSettings defaults = TakeSettings(PQconndefaults());
  for (const char* name : {"host", "hostaddr", "port", "target_session_attrs", "load_balance_hosts"}) {
    const auto found = defaults.find(name);
    if (found != defaults.end()) settings->insert(*found);
  }
}

std::vector<PgSettings> PgHosts(const PgSettings& settings) {
  const std::vector<std::string> names = ListAt(settings, "host"), addresses = ListAt(settings, "hostaddr");
  std::vector<std::string> ports = ListAt(settings, "port");
  const size_t count = std::max(names.size(), addresses.size());
  if (ports.size() == 1) ports.resize(count, ports.front());
  const auto fits = [&](const std::vector<std::string>& list) { return list.empty() || list.size() == count; };
  if (count <= 1 || !fits(names) || !fits(addresses) || !fits(ports)) return {settings};
  std::vector<PgSettings> hosts(count, settings);
  for (size_t i = 0; i < count; ++i) {
    const auto at = [&](const std::vector<std::string>& list) { return list.empty() ? "" : list[i]; };
    Set("host", at(names), &hosts[i]);
    Set("hostaddr", at(addresses), &hosts[i]);
    Set("port", at(ports), &hosts[i]);
  }
  return hosts;
}

std::string PgAddress(const PgSettings& settings) {
  return absl::StrCat(Get(settings, "host", Get(settings, "hostaddr", "localhost")), ":", Get(settings, "port", "5432"),
                      "/", Get(settings, "dbname"));
}

bool PgHostsInAnyOrder(const PgSettings& settings) {
  const std::string wanted = Get(settings, "target_session_attrs");
  return wanted == "read-write" || wanted == "primary";
}

PgProtection ProtectionOf(const PgSettings& settings) {
  // As libpq does: the environment and its own defaults stand for what is not set.
  PgSettings all = settings;
  all.merge(TakeSettings(PQconndefaults()));
  PgProtection protection;
  protection.sslmode = Get(all, "sslmode", "prefer");
  protection.on_this_machine = IsOnThisMachine(all);
  const bool verifies = absl::StartsWith(protection.sslmode, "verify-");
  protection.encrypts = verifies || protection.sslmode == "require";
  if (protection.sslmode == "verify-full") {
    protection.server = PgProtection::Server::kNamedInUrl;
  } else if (protection.encrypts && (verifies || HasAuthority(all))) {
    protection.server = PgProtection::Server::kAuthority;
  }
  return protection;
}

std::string RisksOf(const PgProtection& protection) {
  const std::string mode = absl::StrCat("sslmode=", protection.sslmode);
  if (protection.on_this_machine || protection.server == PgProtection::Server::kNamedInUrl) return "";
  if (protection.server == PgProtection::Server::kAuthority) {
    return absl::StrCat(mode, ": any certificate of the CA is taken, whatever it names");
  }
  if (protection.encrypts) return absl::StrCat(mode, " without a CA: encrypted, but any server is taken for this one");
  if (protection.sslmode == "disable") return absl::StrCat(mode, ": nothing is encrypted");
  return absl::StrCat(mode, protection.sslmode == "prefer" ? ", which is libpq's default" : "",
                      ": any server is taken for this one, also one without encryption");
}

}  // namespace toolwire
