#include "common/link/link_frames.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/hash/hash.h"

namespace toolwire {
namespace {

// Of one word: a snapshot of many sessions is cut into several, which keep their order.
constexpr int kEventsInWord = 256;
constexpr int kIdsInWord = 4096;

LinkItem Word(const google::protobuf::MessageLite& frame) {
  LinkItem word;
  frame.SerializeToString(&word.bytes);
  word.cls = LinkItem::Class::kWord;
  return word;
}

}  // namespace

uint64_t PayerOf(std::string_view user_id) { return absl::HashOf(user_id) | 1; }

std::vector<LinkItem> ItemsOf(v1::ControlFrame&& frame, MonoTime now) {
  std::vector<LinkItem> items;
  for (v1::Deliver& deliver : *frame.mutable_deliveries()) {
    LinkItem& item = items.emplace_back();
    item.ref = deliver.call_id();
    item.payer = PayerOf(deliver.user_id());
    item.expires = now + std::chrono::microseconds(deliver.timeout_us());
    v1::ControlFrame one;
    *one.add_deliveries() = std::move(deliver);
    one.SerializeToString(&item.bytes);
  }
  frame.clear_deliveries();
  for (int begin = 0; begin < frame.cancels_size(); begin += kIdsInWord) {
    const int end = std::min(begin + kIdsInWord, frame.cancels_size());
    v1::ControlFrame some;
    some.mutable_cancels()->Add(frame.cancels().begin() + begin, frame.cancels().begin() + end);
    items.push_back(Word(some));
  }
  frame.clear_cancels();
  if (frame.ByteSizeLong() > 0) items.push_back(Word(frame));
  return items;
}

std::vector<LinkItem> ItemsOf(v1::EdgeFrame&& frame) {
  std::vector<LinkItem> items;
  for (int begin = 0; begin < frame.sessions_size(); begin += kEventsInWord) {
    v1::EdgeFrame some;
    for (int i = begin; i < std::min(begin + kEventsInWord, frame.sessions_size()); ++i) {
      *some.add_sessions() = std::move(*frame.mutable_sessions(i));
    }
    items.push_back(Word(some));
  }
  frame.clear_sessions();
  for (v1::Answer& answer : *frame.mutable_answers()) {
    LinkItem& item = items.emplace_back();
    item.ref = answer.call_id();
    item.payer = answer.session();
    v1::EdgeFrame one;
    *one.add_answers() = std::move(answer);
    one.SerializeToString(&item.bytes);
  }
  frame.clear_answers();
  for (v1::StrayAnswer& stray : *frame.mutable_strays()) {
    LinkItem& item = items.emplace_back();
    item.payer = PayerOf(stray.user_id());
    v1::EdgeFrame one;
    *one.add_strays() = std::move(stray);
    one.SerializeToString(&item.bytes);
  }
  frame.clear_strays();
  for (int begin = 0; begin < frame.refusals_size(); begin += kIdsInWord) {
    v1::EdgeFrame some;
    for (int i = begin; i < std::min(begin + kIdsInWord, frame.refusals_size()); ++i) {
      *some.add_refusals() = frame.refusals(i);
    }
    items.push_back(Word(some));
  }
  frame.clear_refusals();
  if (frame.ByteSizeLong() > 0) items.push_back(Word(frame));
  return items;
}

}  // namespace toolwire
