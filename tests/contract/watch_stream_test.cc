#include "control/watch_stream.h"

#include <gtest/gtest.h>

#include "control/agent_directory.h"

namespace toolwire {
namespace {

// gRPC keeps the writes of a stream that it has not begun yet: to us it is a watcher that reads nothing.
TEST(WatchStreamTest, WatcherThatReadsNothingIsEndedPastItsLimitOfEvents) {
  AgentDirectory directory;
  StreamCounters counters;
  const auto stream = std::make_shared<WatchStream>(directory, counters);
  bool done = false;
  stream->Begin({}, [&] { done = true; });  // The first message is the snapshot's end.
  google::protobuf::RepeatedPtrField<v1::SessionEvent> one;
  v1::SessionEvent* const event = one.Add();
  event->set_user_id("user_1");
  event->set_connected(true);
  for (int i = 1; i <= WatchStream::kEventsMax; ++i) {
    event->set_epoch(i);
    directory.Apply("edge_a", one);
  }
  EXPECT_EQ(counters.events_unread.value(), 0u);
  for (int i = 1; i <= 3; ++i) {
    event->set_epoch(WatchStream::kEventsMax + i);
    directory.Apply("edge_a", one);
  }
  EXPECT_EQ(counters.events_unread.value(), 1u) << "it has ended: no more gather";
  stream->OnDone();
  EXPECT_TRUE(done);
}

}  // namespace
}  // namespace toolwire
