// Which users somebody may name.
#ifndef TOOLWIRE_CONTROL_USER_BOUND_H_
#define TOOLWIRE_CONTROL_USER_BOUND_H_

#include <string>
#include <string_view>

namespace toolwire {

// In the order of user ids those that are covered stand together, from the first that is not less than `text` on.
struct UserBound {
  enum class Kind { kAll, kOne, kPrefix };
  Kind kind = Kind::kAll;
  std::string text;  // The user id or the prefix.

  bool Covers(std::string_view user_id) const {
    switch (kind) {
      case Kind::kAll:
        return true;
      case Kind::kOne:
        return user_id == text;
      case Kind::kPrefix:
        return user_id.substr(0, text.size()) == text;
    }
    return false;
  }
};
inline bool operator==(const UserBound& a, const UserBound& b) { return a.kind == b.kind && a.text == b.text; }

}  // namespace toolwire

#endif  // TOOLWIRE_CONTROL_USER_BOUND_H_
