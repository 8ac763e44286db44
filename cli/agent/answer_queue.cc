#include "cli/agent/answer_queue.h"

#include <iterator>
#include <utility>

namespace toolwire {

bool AnswerQueue::Push(Answer answer) {
  if (size() >= kAnswersMax) return false;
  const size_t bytes = answer.bytes();
  bytes_ += bytes;
  List& list = bytes <= kSmallBytesMax ? small_ : large_;
  list.push_back({std::move(answer), next_number_++});
  return true;
}

bool AnswerQueue::Pop(Answer* answer) {
  if (empty()) return false;
  const bool large = small_.empty() || (!large_.empty() && small_in_a_row_ >= kSmallInARowBytes);
  List& list = large ? large_ : small_;
  const size_t bytes = list.front().answer.bytes();
  small_in_a_row_ = large || large_.empty() ? 0 : small_in_a_row_ + bytes;
  *answer = std::move(list.front().answer);
  list.pop_front();
  bytes_ -= bytes;
  return true;
}

bool AnswerQueue::Remove(const std::string& request_id) {
  for (List* list : {&small_, &large_}) {
    for (auto waiting = list->begin(); waiting != list->end(); ++waiting) {
      if (waiting->answer.request_id != request_id) continue;
      Erase(list, waiting);
      return true;
    }
  }
  return false;
}

void AnswerQueue::DropOldest() {
  const bool large = small_.empty() || (!large_.empty() && large_.front().number < small_.front().number);
  List* const list = large ? &large_ : &small_;
  Erase(list, list->begin());
}

void AnswerQueue::OnLost(MonoTime now) {
  for (List* list : {&small_, &large_}) {
    for (Waiting& waiting : *list) waiting.answer.times.OnLost(now);
  }
}

size_t AnswerQueue::DropLate(MonoTime now) {
  const size_t before = size();
  for (List* list : {&small_, &large_}) {
    for (auto waiting = list->begin(); waiting != list->end();) {
      const auto next = std::next(waiting);
      if (waiting->answer.times.Late(now, waiting->answer.bytes())) Erase(list, waiting);
      waiting = next;
    }
  }
  return before - size();
}

void AnswerQueue::Erase(List* list, List::iterator waiting) {
  bytes_ -= waiting->answer.bytes();
  list->erase(waiting);
}

}  // namespace toolwire
