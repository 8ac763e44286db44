// How often peers have failed at something lately, by their address.
#ifndef TOOLWIRE_COMMON_BASE_FAILURES_BY_ADDRESS_H_
#define TOOLWIRE_COMMON_BASE_FAILURES_BY_ADDRESS_H_

#include <cstddef>
#include <string>

#include "common/base/clock.h"
#include "common/base/recency_map.h"

namespace toolwire {

// Counts in windows of time, one for each address, which begin with a failure. Not thread-safe.
class FailuresByAddress {
 public:
  struct Options {
    int failures_max = 0;  // In a window; 0: no limit.
    Duration window{};
    size_t addresses_max = 0;
  };
  explicit FailuresByAddress(const Options& options) : options_(options) {}

  // False: this address has failed too often in its window. `address`: as of AddressKey.
  bool MayTry(const std::string& address, MonoTime now);
  // True if another address was forgotten for it: the one that has not failed, nor been rejected, for longest. So the
  // failures of others make room for new ones, and never for the one that goes on.
  bool Note(const std::string& address, MonoTime now);

 private:
  struct Failures {
    MonoTime since;
    int count = 0;
  };

  const Options options_;
  RecencyMap<std::string, Failures> failures_;
};

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_BASE_FAILURES_BY_ADDRESS_H_
