#include "cli/suggestion.h"

#include <CLI/CLI.hpp>
#include <algorithm>

namespace toolwire {
namespace {

// Letters to change, insert, remove, or swap with their neighbour, to make `a` of `b`.
size_t Distance(const std::string& a, const std::string& b) {
  std::vector<std::vector<size_t>> cost(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) {
    for (size_t j = 0; j <= b.size(); ++j) {
      if (i == 0 || j == 0) {
        cost[i][j] = i + j;
        continue;
      }
      cost[i][j] =
          std::min({cost[i - 1][j] + 1, cost[i][j - 1] + 1, cost[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        cost[i][j] = std::min(cost[i][j], cost[i - 2][j - 2] + 1);
      }
    }
  }
  return cost[a.size()][b.size()];
}

std::string Explain(const CLI::App* at, const char* what, const std::string& word,
                    const std::vector<std::string>& candidates) {
  std::string command;
  for (const CLI::App* app = at; app != nullptr; app = app->get_parent()) {
    command = (app->get_parent() == nullptr ? "toolwire" : " " + app->get_name()) + command;
  }
  const std::string nearest = Nearest(word, candidates);
  return command + ": there is no " + what + " " + word +
         (nearest.empty() ? "; see " + command + " --help" : "; did you mean " + nearest + "?");
}

std::vector<std::string> CommandsOf(CLI::App* app) {
  std::vector<std::string> names;
  for (const CLI::App* one : app->get_subcommands({})) names.push_back(one->get_name());
  return names;
}

std::vector<std::string> FlagsOf(CLI::App* app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app->get_options({})) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  return names;
}

}  // namespace

std::string Nearest(const std::string& word, const std::vector<std::string>& candidates) {
  const size_t few = std::max<size_t>(1, (word.size() + 1) / 3);
  std::string nearest;
  size_t least = few + 1;
  for (const std::string& candidate : candidates) {
    // The beginning of a longer word is likely to be meant, too.
    const bool begins = word.size() >= 3 && candidate.compare(0, word.size(), word) == 0;
    const size_t distance = begins ? 1 : Distance(word, candidate);
    if (distance >= least) continue;
    least = distance;
    nearest = candidate;
  }
  return nearest;
}

std::string ExplainUnknown(CLI::App* app, const std::vector<std::string>& words) {
  for (size_t i = 0; i < words.size() && words[i] != "--"; ++i) {
    const std::string& word = words[i];
    if (word.size() > 1 && word[0] == '-') {
      const size_t equals = word.find('=');
      const CLI::Option* const option = app->get_option_no_throw(word.substr(0, equals));
      if (option == nullptr && word[1] == '-') return Explain(app, "flag", word.substr(0, equals), FlagsOf(app));
      if (option != nullptr && option->get_type_size() > 0 && equals == std::string::npos) ++i;
      continue;
    }
    const std::vector<std::string> commands = CommandsOf(app);
    if (commands.empty()) continue;
    if (std::find(commands.begin(), commands.end(), word) == commands.end()) {
      return Explain(app, "command", word, commands);
    }
    app = app->get_subcommand(word);
  }
  return "";
}

}  // namespace toolwire
