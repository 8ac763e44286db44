#include "tests/support/large_allocations.h"

#include <cstdlib>
#include <new>

namespace toolwire {

namespace {
thread_local const std::function<void()>* watcher = nullptr;
}  // namespace

LargeAllocations::LargeAllocations(std::function<void()> saw) : saw_(std::move(saw)) { watcher = &saw_; }
LargeAllocations::~LargeAllocations() { watcher = nullptr; }

}  // namespace toolwire

void* operator new(size_t bytes) {
  if (bytes >= toolwire::kLargeAllocation && toolwire::watcher != nullptr) {
    const auto* const watcher = std::exchange(toolwire::watcher, nullptr);  // It may allocate, too.
    (*watcher)();
    toolwire::watcher = watcher;
  }
  if (void* const memory = std::malloc(bytes)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
