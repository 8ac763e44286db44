// What a fuzz target holds to be true: the process ends where it is not, which is how fuzzers learn of it.
#ifndef TOOLWIRE_TESTS_FUZZ_REQUIRE_H_
#define TOOLWIRE_TESTS_FUZZ_REQUIRE_H_

#include <cstdio>
#include <cstdlib>

#define REQUIRE(condition)                                                 \
  do {                                                                     \
    if (!(condition)) {                                                    \
      std::fprintf(stderr, "line %d: not so: %s\n", __LINE__, #condition); \
      std::abort();                                                        \
    }                                                                      \
  } while (false)

#endif  // TOOLWIRE_TESTS_FUZZ_REQUIRE_H_
