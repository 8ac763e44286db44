// Calls a test back for each large allocation of a thread. A program that has this links its .cc, which replaces new.
#ifndef TOOLWIRE_TESTS_SUPPORT_LARGE_ALLOCATIONS_H_
#define TOOLWIRE_TESTS_SUPPORT_LARGE_ALLOCATIONS_H_

#include <cstddef>
#include <functional>
#include <utility>

namespace toolwire {

inline constexpr size_t kLargeAllocation = 256u << 10;

// While it lives: `saw` is called before each allocation of this thread of so many bytes or more, but for its own.
class LargeAllocations {
 public:
  explicit LargeAllocations(std::function<void()> saw);
  ~LargeAllocations();
  LargeAllocations(const LargeAllocations&) = delete;
  LargeAllocations& operator=(const LargeAllocations&) = delete;

 private:
  const std::function<void()> saw_;
};

}  // namespace toolwire

#endif  // TOOLWIRE_TESTS_SUPPORT_LARGE_ALLOCATIONS_H_
