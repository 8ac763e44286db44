// What the benchmarks of micro_bench work on: texts of a size, users in an order, and what is counted.
#ifndef TOOLWIRE_TESTS_BENCH_MICRO_LOAD_H_
#define TOOLWIRE_TESTS_BENCH_MICRO_LOAD_H_

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace toolwire {

inline constexpr std::string_view kRequestId = "req_91ebffa13c88_1f";
inline constexpr std::string_view kTool = "list_directory";
inline constexpr std::string_view kPlain = "report-2024.txt";
inline constexpr size_t kUsualBytes = 300;  // Of params and results, where the size is not what is measured.

// An object of `bytes` bytes (32 or more) like a listing of files that are all called `name`.
inline std::string JsonOfSize(size_t bytes, std::string_view name = kPlain) {
  const std::string head = R"({"entries":[)", tail = R"(],"note":")", end = R"("})";
  const std::string entry = std::string(R"({"name":")").append(name).append(R"(","size":48213,"hidden":false})");
  std::string text = head;
  while (text.size() + entry.size() + 1 + tail.size() + end.size() <= bytes) {
    if (text.size() > head.size()) text += ',';
    text += entry;
  }
  text += tail;
  text.append(bytes - std::min(bytes, text.size() + end.size()), 'x');
  return text + end;
}

inline std::string UserNumber(size_t i) { return "user_" + std::to_string(i); }

// All of 0 .. count-1, in an order that no prefetcher follows.
inline std::vector<size_t> Shuffled(size_t count) {
  std::vector<size_t> order(count);
  for (size_t i = 0; i < count; ++i) order[i] = i;
  std::shuffle(order.begin(), order.end(), std::minstd_rand(1));
  return order;
}

inline std::vector<std::string> ShuffledUsers(size_t count) {
  std::vector<std::string> users;
  for (const size_t i : Shuffled(count)) users.push_back(UserNumber(i));
  return users;
}

// 0, 1, .. count-1, 0, 1, ..
class Ring {
 public:
  explicit Ring(size_t count) : count_(count) {}
  size_t Next() {
    const size_t i = next_;
    next_ = next_ + 1 == count_ ? 0 : next_ + 1;
    return i;
  }

 private:
  const size_t count_;
  size_t next_ = 0;
};

inline void CountBytes(benchmark::State& state, size_t bytes_each) {
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * bytes_each));
}
inline void CountItems(benchmark::State& state, size_t items_each) {
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * items_each));
}

}  // namespace toolwire

#endif  // TOOLWIRE_TESTS_BENCH_MICRO_LOAD_H_
