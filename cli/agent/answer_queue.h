// Answers of one agent that wait for its connection.
#ifndef TOOLWIRE_CLI_AGENT_ANSWER_QUEUE_H_
#define TOOLWIRE_CLI_AGENT_ANSWER_QUEUE_H_

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <string>

#include "cli/agent/answer_room.h"
#include "cli/agent/tool_outcome.h"
#include "common/base/clock.h"

namespace toolwire {

// How long somebody waits for the answer to a call.
struct CallTimes {
  // An edge may notice later than the agent that a session was lost, and wait longer. So little is sent all the same.
  static constexpr size_t kLittleBytes = 4096;
  // So long an old backend waits, from the call.
  static constexpr Duration kLostMax = std::chrono::seconds(60);

  MonoTime until = MonoTime::max();
  Duration after_loss = kLostMax;      // Once the session that the call came by is lost.
  MonoTime lost_at = MonoTime::max();  // When it was.

  void OnLost(MonoTime now) { lost_at = std::min(lost_at, now); }
  // Whether nobody waits for an answer of so many bytes any more.
  bool Late(MonoTime now, size_t bytes) const {
    const Duration lost_max = bytes <= kLittleBytes ? std::max(after_loss, kLostMax) : after_loss;
    return now >= until || (now >= lost_at && now - lost_at >= lost_max);
  }
};

// Small answers go before large ones: what takes a moment need not wait for what takes seconds. So that the large ones
// are not kept for ever, one goes after so many bytes of small ones in a row.
class AnswerQueue {
 public:
  static constexpr size_t kSmallBytesMax = 64u << 10;    // 4 ms on a line of 16 MB/s.
  static constexpr size_t kSmallInARowBytes = 1u << 20;  // As long as a large one of a usual size.
  // Small answers and failures take no room. Twice the calls in flight that an edge allows.
  static constexpr size_t kAnswersMax = 8192;

  struct Answer {
    std::string request_id;
    ToolOutcome outcome;
    int64_t ms = 0;  // How long the tool ran.
    CallTimes times;
    std::shared_ptr<AnswerRoom> room;  // Null if it needs none.

    size_t bytes() const { return request_id.size() + outcome.result_json.size() + outcome.error.size(); }
  };

  // Unless kAnswersMax wait. False: it is dropped.
  bool Push(Answer answer);
  // The next one to send. False: there is none.
  bool Pop(Answer* answer);
  // The call was cancelled: nobody wants its answer. False: there is none.
  bool Remove(const std::string& request_id);
  // The one that has waited longest. There must be one.
  void DropOldest();
  // The session is lost that all of these are of.
  void OnLost(MonoTime now);
  // Drops those that nobody waits for any more. Returns how many.
  size_t DropLate(MonoTime now);

  bool empty() const { return small_.empty() && large_.empty(); }
  size_t size() const { return small_.size() + large_.size(); }
  // Of all of them.
  size_t bytes() const { return bytes_; }

 private:
  struct Waiting {
    Answer answer;
    size_t number;  // Greater than those of all before it.
  };
  using List = std::list<Waiting>;

  void Erase(List* list, List::iterator waiting);

  List small_, large_;  // Each oldest first.
  size_t bytes_ = 0;
  size_t next_number_ = 0;
  size_t small_in_a_row_ = 0;  // Bytes since a large one went, or none waited.
};

}  // namespace toolwire

#endif  // TOOLWIRE_CLI_AGENT_ANSWER_QUEUE_H_
