#include "cli/agent/secret_texts.h"

#include <algorithm>
#include <cstring>

namespace toolwire {
namespace {

uint64_t StartOf(const char* text) {
  uint64_t start = 0;
  std::memcpy(&start, text, sizeof start);
  return start;
}

size_t SlotOf(uint64_t start) {
  constexpr uint64_t kOdd = 0x9E3779B97F4A7C15;  // Fibonacci hashing.
  return static_cast<size_t>(start * kOdd >> 48);
}

}  // namespace

SecretTexts::SecretTexts(const std::vector<std::string>& texts) {
  for (const std::string& text : texts) {
    if (text.size() < kBytesMin) continue;
    const uint64_t start = StartOf(text.data());
    may_start_.set(SlotOf(start));
    texts_[start].push_back(text);
  }
}

bool SecretTexts::AreIn(std::string_view content) const {
  if (texts_.empty()) return false;
  for (size_t at = 0; at + kBytesMin <= content.size(); ++at) {
    const uint64_t start = StartOf(content.data() + at);
    if (!may_start_[SlotOf(start)]) continue;
    const auto found = texts_.find(start);
    if (found == texts_.end()) continue;
    const std::string_view rest = content.substr(at);
    const auto begins = [&](const std::string& text) { return rest.substr(0, text.size()) == text; };
    if (std::any_of(found->second.begin(), found->second.end(), begins)) return true;
  }
  return false;
}

}  // namespace toolwire
