// The library wants a Host, and an empty one is none to it. So one is put among the headers before it sees the end of a
// head that has none or an empty one; nobody reads it. What it has parsed is checked as soon as the head is complete,
// before its body is.
#include "common/process/incoming_request.h"

#include <algorithm>
#include <string>
#include <string_view>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"

namespace toolwire {
namespace {

constexpr char kNoHost[] = "-";

[[noreturn]] void Refuse(const char* why) {
  throw websocketpp::http::exception(why, websocketpp::http::status_code::bad_request);
}

void CheckVersion(const std::string& version) {
  const auto is_digit = [&](size_t at) { return absl::ascii_isdigit(static_cast<unsigned char>(version[at])); };
  if (version.size() != 8 || version.compare(0, 5, "HTTP/") != 0 || !is_digit(5) || version[6] != '.' || !is_digit(7)) {
    Refuse("Invalid version");
  }
  if (version != "HTTP/1.0" && version != "HTTP/1.1") {
    throw websocketpp::http::exception("Unsupported version",
                                       websocketpp::http::status_code::http_version_not_supported);
  }
}

// The library has joined several by commas, and reads the first.
void CheckLength(const std::string& lengths) {
  absl::string_view first;
  for (absl::string_view one : absl::StrSplit(lengths, ',')) {
    one = absl::StripAsciiWhitespace(one);
    if (one.empty() || !std::all_of(one.begin(), one.end(), absl::ascii_isdigit)) Refuse("Invalid length");
    if (first.empty()) first = one;
    if (one != first) Refuse("Different lengths");
  }
}

// `http://host/path?query` → `/path?query`.
std::string InOriginForm(const std::string& target) {
  for (const absl::string_view scheme : {"http://", "https://", "ws://", "wss://"}) {
    if (!absl::StartsWithIgnoreCase(target, scheme)) continue;
    const std::string place = target.substr(0, target.find('#'));
    const size_t path = place.find_first_of("/?", scheme.size());
    if (path == std::string::npos) return "/";
    return place[path] == '/' ? place.substr(path) : "/" + place.substr(path);
  }
  return target;
}

}  // namespace

size_t IncomingRequest::consume(const char* bytes, size_t size) {
  if (!head_.Take({bytes, size})) Refuse("Invalid header");
  if (head_.complete() && get_header("Host").empty()) append_header("Host", kNoHost);
  const size_t consumed = request::consume(bytes, size);
  if (head_.complete() && !checked_) CheckHead();
  return consumed;
}

void IncomingRequest::CheckHead() {
  checked_ = true;
  CheckVersion(get_version());
  if (get_version() != "HTTP/1.0" && !head_.has_host()) Refuse("Missing host");
  if (const std::string& lengths = get_header("Content-Length"); !lengths.empty()) CheckLength(lengths);
  set_uri(InOriginForm(get_uri()));
}

}  // namespace toolwire
