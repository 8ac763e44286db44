// A process that a test kills.
#ifndef TOOLWIRE_TESTS_FAKES_DOOMED_PROCESS_H_
#define TOOLWIRE_TESTS_FAKES_DOOMED_PROCESS_H_

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>

namespace toolwire {

// A fork of this process, in which `body` has run and everything it made is alive until Kill(). The body calls `ready`
// when the test may go on, and never returns.
class DoomedProcess {
 public:
  using Body = std::function<void(const std::function<void()>& ready)>;

  explicit DoomedProcess(const Body& body) {
    int ends[2];
    EXPECT_EQ(pipe(ends), 0);
    pid_ = fork();
    if (pid_ == 0) {
      close(ends[0]);
      body([&] {
        if (write(ends[1], "", 1) != 1) _exit(1);
        while (true) pause();
      });
      _exit(1);
    }
    close(ends[1]);
    char byte = 0;
    EXPECT_EQ(read(ends[0], &byte, 1), 1) << "the process has failed";
    close(ends[0]);
  }
  ~DoomedProcess() { Kill(); }
  DoomedProcess(const DoomedProcess&) = delete;
  DoomedProcess& operator=(const DoomedProcess&) = delete;

  // By SIGKILL, and waits for its end.
  void Kill() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    int status = 0;
    EXPECT_EQ(waitpid(pid_, &status, 0), pid_);
    pid_ = 0;
  }

 private:
  pid_t pid_ = 0;
};

}  // namespace toolwire

#endif  // TOOLWIRE_TESTS_FAKES_DOOMED_PROCESS_H_
