// `toolwire audit`: what was called, when, and how it ended.
#include <iostream>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "cli/admin_client.h"
#include "cli/commands.h"
#include "cli/json_line.h"
#include "common/base/shown_text.h"
#include "common/base/clock.h"
#include "common/base/flags.h"

namespace toolwire {
using flags::Footer;
using flags::Number;
using flags::OnChosen;
using flags::Subcommand;
using flags::Switch;
using flags::Text;
namespace {

constexpr char kAuditCommand[] = "audit";

struct AuditFlags {
  AdminFlags admin;
  std::string user, since, until;
  int limit = 50;
  bool json = false;
};

// Unix milliseconds of an RFC 3339 time, or of a time so long before now: 90s, 10m, 2h, 7d.
std::optional<int64_t> ReadTime(const std::string& text, int64_t now_ms) {
  absl::Time time;
  std::string error;
  if (absl::ParseTime(absl::RFC3339_full, text, &time, &error)) return absl::ToUnixMillis(time);
  if (text.empty()) return std::nullopt;
  const int64_t unit_ms = text.back() == 's'   ? 1000
                          : text.back() == 'm' ? 60 * 1000
                          : text.back() == 'h' ? 3600 * 1000
                          : text.back() == 'd' ? 24 * 3600 * 1000
                                               : 0;
  constexpr int64_t kMost = 10'000'000;  // So that no product overflows.
  int64_t count = 0;
  if (unit_ms == 0 || !ReadInt(std::string_view(text).substr(0, text.size() - 1), &count)) return std::nullopt;
  if (count < 0 || count > kMost) return std::nullopt;
  return std::max<int64_t>(now_ms - count * unit_ms, 0);
}

std::string CheckTime(const std::string& text) {
  if (ReadTime(text, 0)) return "";
  return "\"" + text + "\" is neither a time such as 2026-01-31T12:00:00Z nor one such as 90s, 10m, 2h or 7d ago";
}

void PrintRow(const AuditRow& row, bool json) {
  if (json) {
    nlohmann::ordered_json line = {{"at", row.created_at_ms},     {"userId", row.user_id},
                                   {"requestId", row.request_id}, {"tool", row.tool},
                                   {"success", row.success},      {"error", row.error},
                                   {"params", row.params_json},   {"result", row.result_json},
                                   {"executionTimeMs", nullptr},  {"caller", nullptr}};
    if (row.execution_time_ms) line["executionTimeMs"] = *row.execution_time_ms;
    if (!row.caller.empty()) line["caller"] = row.caller;
    std::cout << JsonLine(line);
    return;
  }
  std::cout << TimeText(row.created_at_ms) << "  " << ShownText(row.user_id) << "  " << ShownText(row.tool) << "  "
            << (row.success ? "ok" : "failed: " + ShownText(row.error));
  if (row.execution_time_ms) std::cout << "  " << *row.execution_time_ms << " ms";
  if (!row.caller.empty()) std::cout << "  called by " << ShownText(row.caller);
  std::cout << "\n";
}

int ListAudit(const AuditFlags& flags) {
  const int64_t now_ms = SystemClock().WallMs();
  AuditQuery query;
  query.user_id = flags.user;
  query.limit = flags.limit;
  if (!flags.since.empty()) query.from_ms = ReadTime(flags.since, now_ms);
  if (!flags.until.empty()) query.until_ms = ReadTime(flags.until, now_ms);
  if (query.from_ms && query.until_ms && *query.from_ms > *query.until_ms) {
    return FailAdmin(kAuditCommand, absl::InvalidArgumentError("--since must not be later than --until"));
  }
  const auto admin = OpenAdmin(flags.admin);
  if (!admin.ok()) return FailOpening(kAuditCommand, admin.status());
  const auto rows = (*admin)->ListAudit(query);
  if (!rows.ok()) return FailAdmin(kAuditCommand, rows.status());
  for (auto row = rows->rbegin(); row != rows->rend(); ++row) PrintRow(*row, flags.json);
  return 0;
}

}  // namespace

void AddAuditCommand(CLI::App* app, Command* chosen) {
  auto flags = std::make_shared<AuditFlags>();
  CLI::App* audit = Subcommand(app, "audit", "The newest rows of the audit log, oldest first");
  Text(audit, "user", &flags->user, "Only this user's").Utf8();
  Text(audit, "--since", &flags->since, "Only calls that settled at this time or later: 2026-01-31T12:00:00Z, 10m")
      .Check(CheckTime);
  Text(audit, "--until", &flags->until, "Only calls that settled before this time").Check(CheckTime);
  Number(audit, "--limit", &flags->limit, 1, 1000000, "How many at most");
  AddAdminFlags(audit, &flags->admin);
  Switch(audit, "--json", &flags->json, "One JSON object a line, for programs");
  Footer(audit, std::string(
                    "With --json: {\"at\":1767225600000,\"userId\":\"u1\",\"requestId\":\"r1\",\"tool\":\"read_file\","
                    "\"success\":true,\n\"error\":\"\",\"params\":\"{}\",\"result\":\"null\",\"executionTimeMs\":3,"
                    "\"caller\":\"shop\"},\n"
                    "where params and result are JSON as text, and caller is the name of the caller's token, or null.\n"
                    "Example: toolwire audit user_1 --since 10m\n") +
                    kAdminExitStatus);
  OnChosen(audit, [flags, chosen] { *chosen = [flags] { return ListAudit(*flags); }; });
}

}  // namespace toolwire
