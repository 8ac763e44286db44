// The words of the command line are followed through the program's description until one is not in it. The nearest name
// there is suggested: by edits (change, insert, remove, swap), at most a third of the word, or because it begins so.

#include "cli/suggestion.h"

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

std::string Explain(const std::string& command, const char* what, const std::string& word,
                    const std::vector<std::string>& candidates) {
  const std::string nearest = Nearest(word, candidates);
  return command + ": there is no " + what + " " + word +
         (nearest.empty() ? "; see " + command + " --help" : "; did you mean " + nearest + "?");
}

template <typename T>
std::vector<std::string> NamesOf(const std::vector<T>& described) {
  std::vector<std::string> names;
  for (const T& one : described) names.push_back(one.name);
  return names;
}

template <typename T>
const T* Find(const std::vector<T>& described, const std::string& name) {
  for (const T& one : described) {
    if (one.name == name) return &one;
  }
  return nullptr;
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

std::string ExplainUnknown(const flags::Described& program, const std::vector<std::string>& words) {
  const flags::Described* at = &program;
  std::string command = program.name;
  for (size_t i = 0; i < words.size() && words[i] != "--"; ++i) {
    const std::string& word = words[i];
    if (word.size() > 1 && word[0] == '-') {
      if (word[1] != '-') continue;
      const size_t equals = word.find('=');
      const auto* const flag = Find(at->flags, word.substr(0, equals));
      if (flag == nullptr) return Explain(command, "flag", word.substr(0, equals), NamesOf(at->flags));
      if (flag->takes_value && equals == std::string::npos) ++i;
      continue;
    }
    if (at->commands.empty()) continue;
    const auto* const next = Find(at->commands, word);
    if (next == nullptr) return Explain(command, "command", word, NamesOf(at->commands));
    at = next;
    command += " " + word;
  }
  return "";
}

}  // namespace toolwire
