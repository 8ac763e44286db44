// Two sides of a link, each a sender and a receiver, over connections that are cut anywhere: what is promised of what
// they say, for many seeds.
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <random>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "common/link/record_receiver.h"
#include "common/link/record_sender.h"
#include "tests/unit/link/records.h"

namespace toolwire {
namespace {

using Random = std::mt19937_64;

// Each item says who it is: its id, then its length, then that many bytes of its own.
std::string Text(uint64_t id, size_t bytes) {
  std::string text(16 + bytes, static_cast<char>('a' + id % 26));
  for (int i = 0; i < 8; ++i) text[i] = static_cast<char>(id >> 8 * i);
  for (int i = 0; i < 8; ++i) text[8 + i] = static_cast<char>(uint64_t{bytes} >> 8 * i);
  return text;
}

uint64_t Load(const std::string& text, size_t at) {
  uint64_t value = 0;
  for (size_t i = 0; i < 8; ++i) value |= static_cast<uint64_t>(static_cast<unsigned char>(text[at + i])) << 8 * i;
  return value;
}

constexpr RecordSender::Limits kTakes{kMiB, 3 * kMiB, 4};
constexpr size_t kWaitingMax = 8 * kMiB;

// One direction: what was pushed, and what became of it.
class Direction {
 public:
  explicit Direction(uint64_t seed) : random_(seed), sender(kWaitingMax, kTakes), receiver(kTakes) {}

  size_t Below(size_t bound) { return std::uniform_int_distribution<size_t>(0, bound - 1)(random_); }

  // --- the sender's owner
  void PushSomething(MonoTime now) {
    const uint64_t id = ++last_id_;
    const size_t kind = Below(10);
    const size_t bytes = kind < 6 ? Below(500) : kind < 8 ? Below(kWhole) : kWhole + Below(700u << 10);
    LinkItem item;
    item.bytes = Text(id, bytes);
    item.cls = kind < 3 ? Class::kWord : Class::kOther;
    item.payer = Below(5);
    item.ref = Below(4) == 0 ? 0 : id;
    if (item.ref != 0 && Below(5) == 0) item.expires = now + milliseconds(Below(200));
    const size_t size = item.bytes.size();
    const auto order = std::make_tuple(size > kWhole, item.cls, item.payer);
    const Class cls = item.cls;
    switch (sender.Push(std::move(item))) {
      case Pushed::kTaken:
        owed_[id] = order;
        break;
      case Pushed::kShareFull:
        ASSERT_NE(cls, Class::kWord);
        break;
      case Pushed::kTooLarge:
        FAIL() << size;
    }
  }
  void WithdrawSomething() {
    if (last_id_ == 0) return;
    const uint64_t id = last_id_ - Below(std::min<uint64_t>(last_id_, 20));
    if (sender.Withdraw(id)) TakenBack(id);
  }
  void WithdrawSomebody() {
    for (const uint64_t id : sender.WithdrawPayer(Below(5))) TakenBack(id);
  }
  void Expire(MonoTime now) {
    for (const uint64_t id : sender.Expire(now, 1 + Below(5))) TakenBack(id);
  }
  void TakeUnsent() {
    RecordSender::Unsent unsent = sender.TakeUnsent(/*receiver_ended=*/false);
    for (const uint64_t id : unsent.refs) TakenBack(id);
    for (std::string& frame : unsent.frames) {
      while (!frame.empty()) {
        const uint64_t id = Load(frame, 0);
        frame.erase(0, 16 + Load(frame, 8));
        TakenBack(id);
      }
    }
  }

  // --- the connection: it holds some records, of which the last may not be taken whole
  bool Write(MonoTime now) {
    if (untaken_) return false;
    std::string_view record;
    if (!sender.Next(now, &record)) return false;
    on_its_way_.emplace_back(record);
    if (Below(8) == 0) {
      untaken_ = true;
    } else {
      sender.Taken();
    }
    return true;
  }
  bool Finish() {  // The rest of the last record is taken.
    if (!std::exchange(untaken_, false)) return false;
    sender.Taken();
    return true;
  }
  bool Read(MonoTime now) {
    if (on_its_way_.empty() || (untaken_ && on_its_way_.size() == 1)) return false;
    const Got got = receiver.Take(on_its_way_.front(), now);
    on_its_way_.pop_front();
    EXPECT_NE(got, Got::kBroken) << receiver.error();
    EXPECT_LE(receiver.unfinished(), kTakes.unfinished_max);
    EXPECT_LE(receiver.unfinished_bytes(), 2 * kTakes.unfinished_bytes_max);
    if (got == Got::kFrame) Arrived(receiver.frame());
    ended = ended || got == Got::kEnd;
    return true;
  }
  // A suffix of what was written does not arrive.
  void Cut(MonoTime now) {
    size_t arrive = Below(on_its_way_.size() + 1);
    while (arrive-- > 0 && Read(now)) continue;
    on_its_way_.clear();
    untaken_ = false;
  }
  void Resume() {
    ASSERT_TRUE(sender.CanResume(receiver.received()));
    sender.Resume(receiver.received());
    receiver.ForgetTrips();
  }

  // --- what is promised
  void Arrived(const std::string& frame) {
    for (size_t at = 0; at < frame.size();) {
      ASSERT_LE(at + 16, frame.size());
      const uint64_t id = Load(frame, at);
      const size_t bytes = Load(frame, at + 8);
      ASSERT_LE(at + 16 + bytes, frame.size());
      ASSERT_EQ(frame.compare(at, 16 + bytes, Text(id, bytes)), 0) << "not whole: " << id;
      at += 16 + bytes;
      const auto owed = owed_.find(id);
      ASSERT_NE(owed, owed_.end()) << (taken_back_.count(id) > 0 ? "taken back: " : "twice, or never said: ") << id;
      uint64_t& last = last_arrived_[owed->second];
      ASSERT_LT(last, id) << "out of order";
      last = id;
      owed_.erase(owed);
      ++arrived;
    }
  }
  size_t owed() const { return owed_.size(); }

 private:
  void TakenBack(uint64_t id) {
    ASSERT_EQ(owed_.erase(id), 1u) << "it had arrived, or was taken back: " << id;
    taken_back_.insert(id);
  }

  Random random_;
  uint64_t last_id_ = 0;
  std::map<uint64_t, std::tuple<bool, Class, uint64_t>> owed_;
  std::set<uint64_t> taken_back_;
  std::map<std::tuple<bool, Class, uint64_t>, uint64_t> last_arrived_;
  std::deque<std::string> on_its_way_;
  bool untaken_ = false;

 public:
  RecordSender sender;
  RecordReceiver receiver;
  size_t arrived = 0;
  bool ended = false;
};

class Conversation : public testing::TestWithParam<int> {
 protected:
  Conversation() { std::printf("seed %d\n", GetParam()); }

  // What one side has from the other, it says.
  void Acknowledge() {
    ends_[0].sender.Received(ends_[1].receiver.received());
    ends_[1].sender.Received(ends_[0].receiver.received());
    for (int side : {0, 1}) {
      ASSERT_TRUE(ends_[side].sender.Acked(ends_[1 - side].receiver.peer_received(), now_));
    }
  }
  void Step() {
    now_ += microseconds(random_() % 3000);
    Direction& end = ends_[random_() % 2];
    switch (random_() % 40) {
      case 0:
        return end.WithdrawSomething();
      case 1:
        return random_() % 8 == 0 ? end.WithdrawSomebody() : end.WithdrawSomething();
      case 2:
        return end.Expire(now_);
      case 3:
        if (random_() % 4 == 0) Cut();
        return;
      case 4:
        // A word of the moment: it may be lost with the connection.
        return Acknowledge();
      default:
        break;
    }
    switch (random_() % 4) {
      case 0:
        return end.PushSomething(now_);
      case 1:
        for (size_t i = random_() % 8; i > 0 && end.Write(now_); --i) continue;
        return;
      case 2:
        end.Finish();
        return;
      default:
        for (size_t i = random_() % 8; i > 0 && end.Read(now_); --i) continue;
    }
  }
  void Cut() {
    for (Direction& end : ends_) end.Cut(now_);
    now_ += milliseconds(random_() % 500);
    for (Direction& end : ends_) end.Resume();
  }
  // With a connection that works, everything arrives within a number of rounds that what waits explains.
  void Settle() {
    int still = 0;
    for (int round = 0; still < 3; ++round) {
      ASSERT_LT(round, 20'000) << "it does not come to rest";
      now_ += milliseconds(1);
      bool moved = false;
      for (Direction& end : ends_) {
        moved |= end.Finish();
        moved |= end.Write(now_);
        moved |= end.Finish();
        moved |= end.Read(now_);
      }
      for (int side : {0, 1}) {
        RecordSender& sender = ends_[side].sender;
        sender.Received(ends_[1 - side].receiver.received());
        if (!sender.ack_owed()) continue;
        ASSERT_EQ(ends_[side].receiver.Take(sender.Word(now_), now_), Got::kNothing);
      }
      Acknowledge();
      still = moved ? 0 : still + 1;
    }
  }

  Random random_{static_cast<uint64_t>(GetParam())};
  Direction ends_[2] = {Direction(static_cast<uint64_t>(2 * GetParam())),
                        Direction(static_cast<uint64_t>(2 * GetParam() + 1))};
  MonoTime now_ = kStart;
};

TEST_P(Conversation, WhatIsNotTakenBackArrivesOnceWholeAndInOrder) {
  for (int step = 0; step < 400 && !HasFatalFailure(); ++step) Step();
  Settle();
  for (Direction& end : ends_) {
    EXPECT_EQ(end.owed(), 0u);
    EXPECT_FALSE(end.sender.waits());
    EXPECT_EQ(end.sender.waiting_bytes(), 0u);
    EXPECT_TRUE(end.sender.all_acked());
    EXPECT_EQ(end.receiver.unfinished(), 0u);
    EXPECT_EQ(end.receiver.unfinished_bytes(), 0u);
    EXPECT_TRUE(end.sender.idle());
    end.sender.End();
  }
  Settle();
  for (Direction& end : ends_) EXPECT_TRUE(end.ended && end.sender.all_acked());
}

TEST_P(Conversation, WhatIsNamedAsUnsentHasNotArrived) {
  for (int step = 0; step < 400 && !HasFatalFailure(); ++step) Step();
  for (Direction& end : ends_) {
    end.TakeUnsent();
    while (end.Read(now_)) continue;  // What is still on its way: none of it.
    EXPECT_EQ(end.sender.waiting_bytes(), 0u);
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, Conversation, testing::Range(1, 101));

}  // namespace
}  // namespace toolwire
