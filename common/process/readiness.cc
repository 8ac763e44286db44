#include "common/process/readiness.h"

#include <ctime>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/json_text.h"

namespace toolwire {
namespace {

std::string UtcText(int64_t unix_ms) {
  const std::time_t seconds = unix_ms / 1000;
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[32];
  return std::string(text, std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts));
}

}  // namespace

void Readiness::Add(std::string name, Why why) {
  MutexLock lock(mu_);
  checks_.push_back({std::move(name), std::move(why)});
}

Readiness::Report Readiness::Ask() {
  std::vector<std::pair<std::string, Why>> asked;
  {
    MutexLock lock(mu_);
    for (const Check& check : checks_) asked.emplace_back(check.name, check.why);
  }
  std::vector<std::string> reasons;
  reasons.reserve(asked.size());
  for (const auto& [name, why] : asked) reasons.push_back(why());  // Other modules: without the lock.

  Report report;
  std::string list;
  MutexLock lock(mu_);
  for (size_t i = 0; i < reasons.size(); ++i) {
    Check& check = checks_[i];
    const bool well = reasons[i].empty();
    if (well) {
      check.since_ms = 0;
    } else if (check.since_ms == 0) {
      check.since_ms = clock_.WallMs();
    }
    report.ready &= well;
    absl::StrAppend(&list, list.empty() ? "" : ",", "{\"name\":");
    json::AppendQuoted(check.name, &list);
    absl::StrAppend(&list, ",\"ready\":", well ? "true" : "false");
    if (!well) {
      absl::StrAppend(&list, ",\"why\":");
      json::AppendQuoted(json::IsUtf8(reasons[i]) ? reasons[i] : "in a text that is no UTF-8; see the log", &list);
      absl::StrAppend(&list, ",\"since\":\"", UtcText(check.since_ms), "\"");
    }
    list += "}";
  }
  report.json = absl::StrCat("{\"ready\":", report.ready ? "true" : "false", ",\"checks\":[", list, "]}\n");
  return report;
}

}  // namespace toolwire
