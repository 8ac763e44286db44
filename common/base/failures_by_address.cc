#include "common/base/failures_by_address.h"

namespace toolwire {

bool FailuresByAddress::MayTry(const std::string& address, MonoTime now) {
  if (options_.failures_max == 0) return true;
  const Failures* const failures = failures_.Find(address);
  if (failures == nullptr || now - failures->since >= options_.window) return true;
  if (failures->count < options_.failures_max) return true;
  failures_.Use(address);
  return false;
}

bool FailuresByAddress::Note(const std::string& address, MonoTime now) {
  bool forgot = false;
  Failures* failures = failures_.Use(address);
  if (failures == nullptr) {
    if (failures_.size() >= options_.addresses_max) {
      forgot = true;
      failures_.DropOldest();
    }
    failures = failures_.Add(address, {now, 0});
  }
  if (now - failures->since >= options_.window) *failures = {now, 0};
  ++failures->count;
  return forgot;
}

}  // namespace toolwire
