// Any bytes as the URL of a Redis server: what is taken can be dialled, and what is not shows nothing of its password.
#include <cstdint>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/registry/redis_url.h"
#include "tests/fuzz/require.h"

namespace {

constexpr char kSecret[] = "s3cr3tpassw0rd";

void CheckServer(const toolwire::RedisUrl& url) {
  if (!url.sentinels.empty()) return;
  REQUIRE(!url.server.host.empty() && url.server.port >= 1 && url.server.port <= 65535);
  for (const char c : url.server.host) REQUIRE(c > ' ' && c < 127);
}

void CheckUrl(const std::string& text) {
  const auto url = toolwire::ParseRedisUrl(text);
  if (!url.ok()) {
    REQUIRE(!absl::StrContains(url.status().message(), kSecret));
    return;
  }
  REQUIRE(url->server.host.empty() != url->sentinels.empty() && url->sentinels.size() <= 16);
  REQUIRE(url->sentinels.empty() == url->master_name.empty() && url->db >= 0);
  CheckServer(*url);
  for (size_t i = 0; i < url->sentinels.size(); ++i) CheckServer(url->OfSentinel(i));
  REQUIRE(url->tls || url->sentinel_tls || (url->checks_name && url->tls_name.empty()));
  REQUIRE(url->tls_name.find('\0') == std::string::npos);
  REQUIRE(!toolwire::RisksOf(*url, false, false).empty() || (url->tls && !url->password.empty()));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  CheckUrl(text);
  for (const char* scheme : {"redis://", "rediss://", "redis+sentinel://", "rediss+sentinel://"}) {
    CheckUrl(absl::StrCat(scheme, text));
    // Whatever stands behind the login: it is no part of the host.
    const auto url = toolwire::ParseRedisUrl(absl::StrCat(scheme, "me:", kSecret, "@", text));
    if (!url.ok()) {
      REQUIRE(!absl::StrContains(url.status().message(), kSecret));
    } else {
      REQUIRE(!absl::StrContains(url->Address(), kSecret) && absl::StartsWith(url->password, kSecret));
    }
  }
  return 0;
}
