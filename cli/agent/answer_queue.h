// Answers of one agent that wait for its connection.
#ifndef TOOLWIRE_CLI_AGENT_ANSWER_QUEUE_H_
#define TOOLWIRE_CLI_AGENT_ANSWER_QUEUE_H_

#include <cstddef>
#include <list>
#include <string>

namespace toolwire {

// Small answers go before large ones: what takes a moment need not wait for what takes seconds. So that the large ones
// are not kept for ever, one goes after so many small ones in a row.
class AnswerQueue {
 public:
  static constexpr size_t kSmallBytesMax = 16u << 10;  // 1 ms on a line of 16 MB/s.
  static constexpr int kSmallInARowMax = 64;           // With them 1 MiB at most.
  // Failures take no part of the budget, as the call has to be told. Twice the calls in flight that an edge allows.
  static constexpr size_t kAnswersMax = 8192;

  struct Answer {
    std::string request_id;
    std::string text;  // The frame.
  };

  // `bytes_max`: of the texts, together.
  explicit AnswerQueue(size_t bytes_max) : bytes_max_(bytes_max) {}

  // Whether there is room for more than failures.
  bool HasRoom() const { return bytes_ < bytes_max_; }
  // False, with `*answer` left as it was, if it does not fit. A single one always does.
  bool Push(Answer* answer);
  // In any case, unless kAnswersMax wait. False: it is dropped.
  bool PushFailure(Answer answer);
  // The next one to send. False: there is none.
  bool Pop(Answer* answer);
  // The call was cancelled: nobody wants its answer. False: there is none.
  bool Remove(const std::string& request_id);
  // The one that has waited longest. There must be one.
  void DropOldest();

  bool empty() const { return small_.empty() && large_.empty(); }
  size_t size() const { return small_.size() + large_.size(); }
  size_t bytes() const { return bytes_; }

 private:
  struct Waiting {
    Answer answer;
    size_t number;  // Greater than those of all before it.
  };
  using List = std::list<Waiting>;

  void Append(Answer answer);
  bool RemoveFrom(List* list, const std::string& request_id);

  const size_t bytes_max_;
  List small_, large_;  // Each oldest first.
  size_t bytes_ = 0;
  size_t next_number_ = 0;
  int small_in_a_row_ = 0;  // Since a large one went, or none waited.
};

}  // namespace toolwire

#endif  // TOOLWIRE_CLI_AGENT_ANSWER_QUEUE_H_
