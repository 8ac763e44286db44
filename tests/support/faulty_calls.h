// Lets what the C library is asked for fail. A program that has this links its .cc, which stands before the library's.
#ifndef TOOLWIRE_TESTS_SUPPORT_FAULTY_CALLS_H_
#define TOOLWIRE_TESTS_SUPPORT_FAULTY_CALLS_H_

#include <string>
#include <vector>

namespace toolwire {

// While it lives, names that end in ".test" are known to it alone. Any thread.
class FaultyResolver {
 public:
  FaultyResolver();
  // Waits until no lookup of it is under way.
  ~FaultyResolver();
  // Its addresses in this order, each as a number.
  void Knows(const std::string& name, std::vector<std::string> addresses);
  // Lookups of all other names do not end before this is called.
  void Release();
  int waiting() const;
};

// The next writes to sockets, of this program and of that number, fail with this error.
void FailWrites(int writes, int error);
// Those that are left.
int writes_to_fail();

}  // namespace toolwire

#endif  // TOOLWIRE_TESTS_SUPPORT_FAULTY_CALLS_H_
