// Standard output of commands: what is printed arrives, or the command fails.
#ifndef TOOLWIRE_CLI_OUTPUT_H_
#define TOOLWIRE_CLI_OUTPUT_H_

#include <array>
#include <cstddef>
#include <ostream>
#include <streambuf>

#include "absl/status/status.h"

namespace toolwire {

// Whether this descriptor (0, 1 or 2) was open when the process was started. If not, a library may have got its number
// before main: what was opened here is closed on exec, and what was handed over is not.
bool IsInherited(int fd);

// What std::cout writes to while this is there: the descriptor 1, with the reason kept if that fails.
class Output : public std::streambuf {
 public:
  // Takes the place of std::cout's buffer, and ignores SIGPIPE. Descriptors 0 to 2 that are closed are opened first, so
  // that nothing else gets their numbers; to write to such a one fails.
  Output();
  ~Output() override;
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  // Writes what waits. The exit status of a command that returned `status`: a lost output makes a success a failure
  // (1), with a message. If the reader has gone, as that of a pipe to `head`, the process ends as by SIGPIPE, silently.
  int End(int status);

 protected:
  int_type overflow(int_type c) override;
  int sync() override;

 private:
  std::array<char, 8192> buffer_;
  std::streambuf* const before_;
  int error_ = 0;  // The errno of the first write that failed.
};

// Whether standard output can take so many bytes now: asked before what can be printed only once is made. In a file
// they are reserved.
absl::Status CheckOutput(size_t bytes);

// Writes what waits, and of a file also to its disk. False if it is lost.
bool SyncOutput();

}  // namespace toolwire

#endif  // TOOLWIRE_CLI_OUTPUT_H_
