// The Authorization header decides by its scheme where the credentials are: Basic has both, Bearer the secret of a user
// id in the query; without either both are in the query. Queries are decoded as URLSearchParams decodes them.
#include "edge/login_request.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "common/base/percent.h"

namespace toolwire {
namespace {

// As URLSearchParams decodes: a percent sign that starts no escape stands for itself.
std::string DecodeQueryText(std::string_view text) {
  std::string spaced(text), plain;
  std::replace(spaced.begin(), spaced.end(), '+', ' ');
  PercentDecode(spaced, &plain);
  return plain;
}

// The first value of `name` in the query; empty if there is none.
std::string QueryValue(std::string_view target, std::string_view name) {
  // abseil's own string_view: Debian's abseil splits no other.
  using Pair = std::pair<absl::string_view, absl::string_view>;
  const auto view = [](absl::string_view text) { return std::string_view(text.data(), text.size()); };
  const Pair path_and_query = absl::StrSplit(absl::string_view(target.data(), target.size()), absl::MaxSplits('?', 1));
  const Pair query_and_fragment = absl::StrSplit(path_and_query.second, absl::MaxSplits('#', 1));
  for (const absl::string_view parameter : absl::StrSplit(query_and_fragment.first, '&')) {
    const Pair name_and_value = absl::StrSplit(parameter, absl::MaxSplits('=', 1));
    if (DecodeQueryText(view(name_and_value.first)) == name) return DecodeQueryText(view(name_and_value.second));
  }
  return "";
}

// The part after the scheme, if `header` has that scheme.
std::optional<std::string_view> AfterScheme(std::string_view header, std::string_view scheme) {
  if (header.size() <= scheme.size() || header[scheme.size()] != ' ') return std::nullopt;
  const absl::string_view begin(header.data(), scheme.size());
  if (!absl::EqualsIgnoreCase(begin, absl::string_view(scheme.data(), scheme.size()))) return std::nullopt;
  header.remove_prefix(scheme.size());
  while (!header.empty() && header.front() == ' ') header.remove_prefix(1);
  while (!header.empty() && absl::ascii_isspace(header.back())) header.remove_suffix(1);
  return header;
}

}  // namespace

std::optional<CredentialCheck> ParseLoginRequest(std::string_view target, std::string_view authorization) {
  CredentialCheck check;
  if (const auto bearer = AfterScheme(authorization, "Bearer")) {
    check.user_id = QueryValue(target, "userId");
    check.secret = std::string(*bearer);
  } else if (const auto basic = AfterScheme(authorization, "Basic")) {
    std::string pair;
    if (!absl::Base64Unescape(absl::string_view(basic->data(), basic->size()), &pair)) return std::nullopt;
    const size_t colon = pair.find(':');
    if (colon == std::string::npos) return std::nullopt;
    check.user_id = pair.substr(0, colon);
    check.secret = pair.substr(colon + 1);
  } else {
    check.user_id = QueryValue(target, "userId");
    check.secret = QueryValue(target, "secret");
  }
  if (check.user_id.empty() || check.secret.empty()) return std::nullopt;
  return check;
}

}  // namespace toolwire
