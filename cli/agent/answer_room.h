// The bytes that one agent's answers may take, from before a tool makes them until they leave.
#ifndef TOOLWIRE_CLI_AGENT_ANSWER_ROOM_H_
#define TOOLWIRE_CLI_AGENT_ANSWER_ROOM_H_

#include <atomic>
#include <cstddef>
#include <memory>
#include <utility>

#include "common/base/mutex.h"

namespace toolwire {

// Thread-safe.
class AnswerBudget {
 public:
  explicit AnswerBudget(size_t bytes_max) : bytes_max_(bytes_max) {}
  // Bytes of all its rooms.
  size_t taken() const { return taken_; }

 private:
  friend class AnswerRoom;
  // A room of `from` bytes becomes one of `to`. False if that is more than there is; what is alone may have any size.
  bool Change(size_t from, size_t to);

  const size_t bytes_max_;
  std::atomic<size_t> taken_{0};
};

// One answer's part of the budget, empty at first. Gives it back when it is destroyed. Thread-safe.
class AnswerRoom {
 public:
  // So little takes no room, as failures take none: a call has to be told, and their number is bounded.
  static constexpr size_t kFreeBytesMax = 1024;

  explicit AnswerRoom(std::shared_ptr<AnswerBudget> budget) : budget_(std::move(budget)) {}
  ~AnswerRoom() { Abandon(); }
  AnswerRoom(const AnswerRoom&) = delete;
  AnswerRoom& operator=(const AnswerRoom&) = delete;

  // False, with its size as it was, if there is not so much room. It can always become smaller.
  bool Resize(size_t bytes);
  // The same, of a room of which so much is used by now.
  bool Use(size_t used, size_t bytes);
  // Gives back what is not used: its tool hangs. If that goes on it asks anew.
  void YieldUnused();
  // Gives it back at once, whoever still works on the answer; from now on there is no room for it.
  void Abandon();

 private:
  bool ResizeLocked(size_t bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const std::shared_ptr<AnswerBudget> budget_;
  Mutex mu_;
  size_t bytes_ ABSL_GUARDED_BY(mu_) = 0;
  size_t used_ ABSL_GUARDED_BY(mu_) = 0;
  bool abandoned_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace toolwire

#endif  // TOOLWIRE_CLI_AGENT_ANSWER_ROOM_H_
