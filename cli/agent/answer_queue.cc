#include "cli/agent/answer_queue.h"

#include <algorithm>
#include <utility>

namespace toolwire {

bool AnswerQueue::Push(Answer* answer) {
  if (size() >= kAnswersMax) return false;
  if (!empty() && (bytes_ >= bytes_max_ || answer->text.size() > bytes_max_ - bytes_)) return false;
  Append(std::move(*answer));
  return true;
}

bool AnswerQueue::PushFailure(Answer answer) {
  if (size() >= kAnswersMax) return false;
  Append(std::move(answer));
  return true;
}

void AnswerQueue::Append(Answer answer) {
  bytes_ += answer.text.size();
  List& list = answer.text.size() <= kSmallBytesMax ? small_ : large_;
  list.push_back({std::move(answer), next_number_++});
}

bool AnswerQueue::Pop(Answer* answer) {
  if (empty()) return false;
  const bool large = small_.empty() || (!large_.empty() && small_in_a_row_ >= kSmallInARowMax);
  small_in_a_row_ = large || large_.empty() ? 0 : small_in_a_row_ + 1;
  List& list = large ? large_ : small_;
  *answer = std::move(list.front().answer);
  list.pop_front();
  bytes_ -= answer->text.size();
  return true;
}

bool AnswerQueue::Remove(const std::string& request_id) {
  return RemoveFrom(&small_, request_id) || RemoveFrom(&large_, request_id);
}

bool AnswerQueue::RemoveFrom(List* list, const std::string& request_id) {
  const auto found = std::find_if(list->begin(), list->end(), [&request_id](const Waiting& waiting) {
    return waiting.answer.request_id == request_id;
  });
  if (found == list->end()) return false;
  bytes_ -= found->answer.text.size();
  list->erase(found);
  return true;
}

void AnswerQueue::DropOldest() {
  const bool large = small_.empty() || (!large_.empty() && large_.front().number < small_.front().number);
  List& list = large ? large_ : small_;
  bytes_ -= list.front().answer.text.size();
  list.pop_front();
}

}  // namespace toolwire
