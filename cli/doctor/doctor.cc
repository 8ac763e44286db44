// `toolwire doctor`: what an operator needs to know, and what to do about it. Changes nothing.
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <iomanip>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "cli/commands.h"
#include "cli/control_channel.h"
#include "cli/doctor/doctor_environment.h"
#include "cli/doctor/doctor_judge.h"
#include "cli/doctor/doctor_network.h"
#include "cli/doctor/side_by_side.h"
#include "cli/json_line.h"
#include "common/base/flags.h"
#include "common/base/log.h"
#include "common/base/shown_text.h"
#include "common/link/link_tls.h"
#include "common/registry/registry_options.h"
#include "common/store/store_options.h"

namespace toolwire {
using flags::Footer;
using flags::Number;
using flags::OnChosen;
using flags::Subcommand;
using flags::Switch;
using flags::Text;
namespace {

// What checks may take longer than the time they are given, before they count as hanging.
constexpr Duration kGrace = std::chrono::milliseconds(500);
constexpr char kDefaultEdgeUrl[] = "ws://127.0.0.1:8082";

struct DoctorFlags {
  LinkTlsOptions link_tls;
  ControlTarget control;
  std::string edge_url;
  std::string relay_address;
  RedisRegistry::Options registry;
  StoreOptions store;
  int timeout_ms = 3000;
  bool json = false;

  Duration timeout() const { return std::chrono::milliseconds(timeout_ms); }
};

// What one check found, and the edges for further checks.
struct CheckResult {
  Findings findings;
  std::vector<EdgeAddress> edges;
};

struct Check {
  std::string name;
  std::function<CheckResult()> run;
};

// Runs checks side by side, and adds what they find to `findings` in their order. Returns the edges they found.
std::vector<EdgeAddress> RunChecks(const std::vector<Check>& checks, const DoctorFlags& flags, Findings* findings,
                                   bool* hanging) {
  std::vector<std::function<CheckResult()>> tasks;
  for (const Check& check : checks) tasks.push_back(check.run);
  const auto results = RunSideBySide<CheckResult>(tasks, flags.timeout() + kGrace);
  std::vector<EdgeAddress> edges;
  for (size_t i = 0; i < checks.size(); ++i) {
    if (!results[i]) {
      *hanging = true;
      findings->push_back(Fail(checks[i].name, absl::StrCat("no answer within ", flags.timeout_ms, " ms"),
                               "look whether names resolve, and whether a firewall or a frozen server is in the way"));
      continue;
    }
    findings->insert(findings->end(), results[i]->findings.begin(), results[i]->findings.end());
    edges.insert(edges.end(), results[i]->edges.begin(), results[i]->edges.end());
  }
  return edges;
}

const char* AdviceOnRedis(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
      return "correct REDIS_URL, or the files of --redis-ca, --redis-cert and --redis-key";
    case absl::StatusCode::kPermissionDenied:
      return "correct user and password in REDIS_URL, or the rights of that user";
    case absl::StatusCode::kFailedPrecondition:
      return "let REDIS_URL begin with rediss:// for TLS, redis:// for none; correct --redis-ca, or Redis's "
             "certificate";
    default:
      return "start Redis, or correct REDIS_URL; a firewall may be in the way too";
  }
}

CheckResult CheckRedis(const DoctorFlags& flags) {
  if (flags.registry.url.empty()) return {{Skipped("redis", "no REDIS_URL"), Skipped("edges", "no REDIS_URL")}, {}};
  const auto redis = InspectRedis(flags.registry.url, flags.registry.tls, flags.timeout());
  if (redis.ok()) return {JudgeRedis(*redis), redis->edges};
  return {{Fail("redis", std::string(redis.status().message()), AdviceOnRedis(redis.status().code()))}, {}};
}

CheckResult CheckPostgres(const DoctorFlags& flags) {
  if (flags.store.database.url.empty()) return {{Skipped("postgres", "no DATABASE_URL")}, {}};
  const auto database = InspectPg(flags.store.database.url, flags.timeout());
  if (database.ok()) return {JudgePostgres(*database), {}};
  return {{JudgePostgresError(database.status())}, {}};
}

// The directory that is there on the way to the data directory, looked at as the servers will use it.
Finding CheckDataDir(const DoctorFlags& flags) {
  namespace fs = std::filesystem;
  std::error_code ec;
  const fs::path data_dir = fs::absolute(flags.store.data_dir, ec);
  const fs::path spool = data_dir / "spool";
  fs::path there = fs::exists(spool, ec) ? spool : data_dir;
  while (!fs::exists(there, ec) && there.has_relative_path()) there = there.parent_path();
  const std::string shown = there.string();
  if (!fs::is_directory(there, ec)) return Fail("data dir", shown + " is no directory", "name another with --data-dir");
  for (const fs::path& one : {there, data_dir}) {
    if (!fs::exists(one, ec) || access(one.c_str(), W_OK | X_OK) == 0) continue;
    return Fail("data dir", one.string() + " cannot be written by this user",
                "chown it to the user of the servers, and run the doctor as that user");
  }
  struct statvfs space {};
  if (statvfs(there.c_str(), &space) != 0) return Fail("data dir", shown + " cannot be looked at", "check the disk");
  return JudgeFreeSpace(shown, static_cast<uint64_t>(space.f_bavail) * space.f_frsize,
                        flags.store.audit_spool_bytes_max);
}

Finding CheckOpenFiles() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  return JudgeOpenFiles(limit.rlim_cur, limit.rlim_max);
}

// The checks that need nothing of each other, in the order in which they are printed.
std::vector<Check> FirstChecks(const DoctorFlags& flags) {
  const bool by_default = flags.edge_url.empty();
  const std::string edge_url = by_default ? kDefaultEdgeUrl : flags.edge_url;
  return {
      {"control",
       [flags] {
         return CheckResult{CheckControl(flags.control, flags.timeout()), {}};
       }},
      {"edge",
       [=] {
         return CheckResult{CheckEdge(edge_url, by_default, flags.control.tls.ca_file, flags.timeout()), {}};
       }},
      {"postgres", [flags] { return CheckPostgres(flags); }},
      {"open files",
       [] {
         return CheckResult{{CheckOpenFiles()}, {}};
       }},
      {"data dir",
       [flags] {
         return CheckResult{{CheckDataDir(flags)}, {}};
       }},
      {"redis", [flags] { return CheckRedis(flags); }},
  };
}

void Print(const Finding& finding, bool json) {
  static const char* const kWords[] = {"ok", "skipped", "warn", "fail"};
  const std::string word = kWords[static_cast<int>(finding.level)];
  if (json) {
    nlohmann::ordered_json line = {{"check", finding.check}, {"level", word}, {"message", finding.message}};
    if (!finding.advice.empty()) line["do"] = finding.advice;
    std::cout << JsonLine(line);
    return;
  }
  std::cout << std::left << std::setw(9) << (word == "fail" ? "FAIL" : word) << std::setw(16) << finding.check
            << ShownText(finding.message) << "\n";
  if (!finding.advice.empty()) std::cout << std::string(9, ' ') << "do: " << ShownText(finding.advice) << "\n";
}

int RunDoctor(const DoctorFlags& flags) {
  log::Init(log::Format::kText, log::Level::kError);  // The findings say all of it.
  Findings findings;
  flags::Variable("TOOLWIRE_TOKEN");  // Tidied here, as the checks run on threads.
  std::vector<std::string> problems = flags::TakeProblems();
  for (std::string& problem : flags::FileProblems()) problems.push_back(std::move(problem));
  const Findings environment = CheckEnvironment(flags::TakeRemarks(), problems);
  bool hanging = false;
  std::vector<EdgeAddress> edges = RunChecks(FirstChecks(flags), flags, &findings, &hanging);
  findings.insert(findings.end(), environment.begin(), environment.end());
  if (!flags.relay_address.empty()) edges.push_back({"", flags.relay_address, ""});
  SystemClock clock;
  auto loaded = LoadLinkTls(flags.link_tls, LinkEnd::kControl, clock);
  if (!loaded.ok()) {
    findings.push_back(Fail("relay", std::string(loaded.status().message()), "correct --link-tls-cert, -key and -ca"));
    edges.clear();
  }
  // A check that hangs has it still.
  const std::shared_ptr<TlsFiles> tls = loaded.ok() ? *std::move(loaded) : nullptr;
  std::vector<Check> relays;
  for (const EdgeAddress& edge : edges) {
    relays.push_back(
        {absl::StrCat("relay of ", edge.edge_id.empty() ? edge.relay_address : edge.edge_id), [edge, flags, tls] {
           return CheckResult{{CheckRelay(edge, flags.timeout(), tls.get())}, {}};
         }});
  }
  if (relays.empty() && loaded.ok())
    findings.push_back(Skipped("relay", "no edge to ask: none announced in Redis, and no --edge"));
  RunChecks(relays, flags, &findings, &hanging);

  int failed = 0, warned = 0;
  for (const Finding& finding : findings) {
    Print(finding, flags.json);
    failed += finding.level == Finding::Level::kFail ? 1 : 0;
    warned += finding.level == Finding::Level::kWarn ? 1 : 0;
  }
  if (!flags.json) std::cout << failed << " failed, " << warned << " to look at\n";
  std::cout.flush();
  const int status = failed > 0 ? 1 : 0;
  if (hanging) std::_Exit(status);  // Their threads cannot be ended.
  return status;
}

}  // namespace

void AddDoctorCommand(CLI::App* app, Command* chosen) {
  auto flags = std::make_shared<DoctorFlags>();
  CLI::App* doctor = Subcommand(
      app, "doctor", "Check what Toolwire needs: processes, Redis, PostgreSQL, relays, clocks, limits, disk");
  AddControlTargetFlags(doctor, &flags->control);
  Text(doctor, "--edge-url", &flags->edge_url,
       absl::StrCat("An edge as agents reach it, also wss:// through a proxy; default ", kDefaultEdgeUrl,
                    ", if there is one"))
      .Env("TOOLWIRE_URL");
  Text(doctor, "--edge", &flags->relay_address, "host:port of an edge's relay that is not announced in Redis")
      .Env("EDGE_ADDRESS");
  AddLinkTlsFlags(doctor, &flags->link_tls);
  AddRegistryFlags(doctor, &flags->registry);
  AddStoreFlags(doctor, &flags->store);
  AddDatabaseFlags(doctor, &flags->store);
  Number(doctor, "--timeout", &flags->timeout_ms, 100, 600000, "How long a check may take, in ms");
  Switch(doctor, "--json", &flags->json, "One JSON object a line, for programs");
  Footer(doctor,
         "Run it where a server runs, as its user and with its environment. It changes nothing; what is not configured "
         "is\n"
         "skipped. The relay check opens a link to each edge for a moment, as a control does.\n"
         "Example: REDIS_URL=redis://10.0.0.5 DATABASE_URL=postgresql://... toolwire doctor\n"
         "Exit status: 0 nothing failed, 1 something failed, 2 wrong flags.");
  OnChosen(doctor, [flags, chosen] { *chosen = [flags] { return RunDoctor(*flags); }; });
}

}  // namespace toolwire
