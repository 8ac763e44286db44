// A directory for one test.
#ifndef TOOLWIRE_TESTS_FAKES_TEMP_DIR_H_
#define TOOLWIRE_TESTS_FAKES_TEMP_DIR_H_

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>

namespace toolwire {

// A directory that is gone after the test.
class TempDir {
 public:
  TempDir() {
    std::string pattern = ::testing::TempDir() + "toolwire_test_XXXXXX";
    path_ = mkdtemp(pattern.data()) != nullptr ? pattern : "";
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  std::string File(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

}  // namespace toolwire

#endif  // TOOLWIRE_TESTS_FAKES_TEMP_DIR_H_
