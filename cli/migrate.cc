// `toolwire migrate`: prepares and checks the tables; servers never do. The plan is what the store
// lacks; it is printed, or carried out step by step. What is printed on standard output is the plan and its result, on
// standard error what takes time.

#include <cstdlib>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "cli/admin_client.h"
#include "cli/commands.h"
#include "cli/control_channel.h"
#include "cli/json_line.h"
#include "common/base/flags.h"
#include "common/base/log.h"
#include "common/base/shown_text.h"
#include "common/store/migration.h"

namespace toolwire {
using flags::Footer;
using flags::Milliseconds;
using flags::OnChosen;
using flags::Subcommand;
using flags::Switch;
using flags::Text;
namespace {

constexpr char kMigrateCommand[] = "migrate";

struct MigrateFlags {
  std::string database_url, data_dir;
  Duration patience = std::chrono::minutes(10);
  bool dry_run = false, json = false;
};

// As for the commands that open a store: a flag counts more than any variable, and PostgreSQL more than SQLite.
absl::StatusOr<StoreOptions> StoreOf(const MigrateFlags& flags) {
  StoreOptions options;
  options.database.url = flags.database_url;
  options.data_dir = flags.data_dir;
  if (options.database.url.empty() && options.data_dir.empty()) {
    options.database.url = flags::Variable("DATABASE_URL", "--database-url");
    options.data_dir = flags::Variable("TOOLWIRE_DATA_DIR", "--data-dir");
  }
  if (options.database.url.empty() && options.data_dir.empty()) {
    return absl::InvalidArgumentError(
        "name the store: --database-url (DATABASE_URL) for PostgreSQL, --data-dir (TOOLWIRE_DATA_DIR) for SQLite");
  }
  return options;
}

void PrintStep(const MigrationStep& step, bool done, bool json) {
  if (json) {
    const nlohmann::ordered_json line = {
        {"step", step.what}, {"done", done}, {"statement", step.statement}, {"locks", step.locks}};
    std::cout << JsonLine(line) << std::flush;
  } else if (done) {
    std::cout << "added " << ShownText(step.what) << std::endl;
  } else {
    std::cout << "would add " << ShownText(step.what) << "\n    "
              << absl::StrReplaceAll(step.statement, {{"\n", "\n    "}})
              << ";\n    locks " << ShownText(step.locks) << std::endl;
  }
}

// The last line: what is there now.
void PrintEnd(const MigrationPlan& plan, bool dry_run, bool json) {
  const size_t count = plan.steps.size();
  if (json) {
    const nlohmann::ordered_json line = {{"store", plan.store}, {"steps", count}, {"ready", !dry_run || count == 0}};
    std::cout << JsonLine(line);
    return;
  }
  std::cout << ShownText(plan.store)
            << (count == 0 ? " is ready: nothing to do" : dry_run ? " was not changed" : " is ready");
  if (dry_run && !plan.size.empty()) std::cout << "; " << ShownText(plan.size);
  std::cout << "\n";
}

int RunMigrate(const MigrateFlags& flags) {
  log::Init(log::Format::kText, log::Level::kError);  // Steps and waiting are reported here.
  const auto options = StoreOf(flags);
  if (!options.ok()) return FailOpening(kMigrateCommand, options.status());
  // A variable's; a flag's was looked at when it was read.
  if (const std::string& url = options->database.url; !url.empty()) {
    const std::string problem = DatabaseUrlProblem(url);
    if (!problem.empty()) {
      return FailOpening(kMigrateCommand, absl::InvalidArgumentError(absl::StrCat("--database-url: ", problem)));
    }
  }
  MigrationEvents events;
  events.on_done = [&](const MigrationStep& step) { PrintStep(step, true, flags.json); };
  events.on_waiting = [](const std::string& what) {
    std::cerr << "toolwire migrate: " << ShownText(what) << std::endl;
  };
  const auto plan = flags.dry_run ? PlanMigration(*options) : Migrate(*options, flags.patience, events);
  if (!plan.ok()) return FailAdmin(kMigrateCommand, plan.status());
  if (!plan->risks.empty()) {
    std::cerr << "toolwire migrate: the database is not protected as it should be: " << plan->risks << std::endl;
  }
  if (flags.dry_run) {
    for (const MigrationStep& step : plan->steps) PrintStep(step, false, flags.json);
  }
  PrintEnd(*plan, flags.dry_run, flags.json);
  return 0;
}

}  // namespace

void AddMigrateCommand(CLI::App* app, Command* chosen) {
  auto flags = std::make_shared<MigrateFlags>();
  CLI::App* migrate = Subcommand(app, "migrate", "Prepare and check the tables, before or while servers run");
  Text(migrate, "--database-url", &flags->database_url, "The PostgreSQL store (Env:DATABASE_URL)")
      .MayHavePassword("DATABASE_URL")
      .Check(DatabaseUrlProblem);
  Text(migrate, "--data-dir", &flags->data_dir, "The directory of the SQLite store (Env:TOOLWIRE_DATA_DIR)");
  Switch(migrate, "--dry-run", &flags->dry_run, "Change nothing; print each step with its SQL and its locks");
  Milliseconds(migrate, "--timeout", &flags->patience, 0, 24 * 3600 * 1000,
               "How long to wait for the database, and for locks that others hold; indexes may take longer");
  Switch(migrate, "--json", &flags->json, "One JSON object a line, for programs");
  Footer(
      migrate,
      "Servers change no table: this does it, once, before they start or while they run, with a role that may. Tables\n"
      "of the replaced server are extended by three columns, a small table and three indexes, while old and new servers\n"
      "go on using them: locks are waited for 200 ms at a time, with pauses, and who holds them is told; indexes are\n"
      "built CONCURRENTLY. Audit rows wait meanwhile, agents log in. It may be run again, and more than once at a time.\n"
      "With --json: {\"step\":\"index toolwire_audit_time\",\"done\":true,\"statement\":\"CREATE INDEX ...\","
      "\"locks\":\"...\"}\nfor each step, then {\"store\":\"...\",\"steps\":1,\"ready\":true}.\n"
      "Example: toolwire migrate --database-url postgresql://owner@db.example/toolwire --dry-run\n"
      "Exit status: 0 ready (with --dry-run: looked at), 1 refused, 2 wrong flags or variables,\n"
      "3 the store cannot be reached, or is locked.");
  OnChosen(migrate, [flags, chosen] { *chosen = [flags] { return RunMigrate(*flags); }; });
}

}  // namespace toolwire
