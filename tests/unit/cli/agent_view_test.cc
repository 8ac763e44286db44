#include "cli/agent_view.h"

#include <gtest/gtest.h>

namespace toolwire {
namespace {

using Kind = v1::WatchAgentsResponse;

AgentView::Event Event(Kind::Kind kind, const std::string& user = "", const std::string& edge = "",
                       uint64_t epoch = 0) {
  AgentView::Event event;
  event.set_kind(kind);
  if (user.empty()) return event;
  event.mutable_agent()->set_user_id(user);
  event.mutable_agent()->set_server_id(edge);
  event.mutable_agent()->set_epoch(epoch);
  event.mutable_agent()->set_connected(kind != Kind::DISCONNECTED);
  return event;
}

// The kind of the news that the event is, or KIND_UNSPECIFIED if it is none.
Kind::Kind Taken(AgentView* view, AgentView::Event event) {
  return view->Take(&event) ? event.kind() : Kind::KIND_UNSPECIFIED;
}

class AgentViewTest : public testing::Test {
 protected:
  void SetUp() override {
    view_.Begin();
    EXPECT_EQ(Taken(&view_, Event(Kind::CONNECTED, "a", "e1", 1)), Kind::CONNECTED);
    EXPECT_EQ(Taken(&view_, Event(Kind::CONNECTED, "b", "e1", 2)), Kind::CONNECTED);
    EXPECT_EQ(Taken(&view_, Event(Kind::SNAPSHOT_COMPLETE)), Kind::SNAPSHOT_COMPLETE);
    EXPECT_TRUE(view_.TakeMissing().empty());
  }
  AgentView view_;
};

TEST_F(AgentViewTest, PassesOnWhatOneStreamSays) {
  EXPECT_EQ(Taken(&view_, Event(Kind::MOVED, "a", "e2", 3)), Kind::MOVED);
  EXPECT_EQ(Taken(&view_, Event(Kind::DISCONNECTED, "a", "e2", 3)), Kind::DISCONNECTED);
  EXPECT_EQ(Taken(&view_, Event(Kind::DISCONNECTED, "a", "e2", 3)), Kind::KIND_UNSPECIFIED);
  EXPECT_EQ(view_.connected(), 1u);
}

TEST_F(AgentViewTest, OfTheNextStreamOnlyChangesAreNews) {
  view_.Begin();
  EXPECT_EQ(Taken(&view_, Event(Kind::CONNECTED, "a", "e1", 1)), Kind::KIND_UNSPECIFIED);
  EXPECT_EQ(Taken(&view_, Event(Kind::CONNECTED, "b", "e2", 5)), Kind::MOVED);
  EXPECT_EQ(Taken(&view_, Event(Kind::CONNECTED, "c", "e2", 6)), Kind::CONNECTED);
  EXPECT_TRUE(view_.TakeMissing().empty());
}

TEST_F(AgentViewTest, WhoIsNotNamedAgainHasGone) {
  view_.Begin();
  EXPECT_EQ(Taken(&view_, Event(Kind::CONNECTED, "b", "e1", 2)), Kind::KIND_UNSPECIFIED);
  const auto missing = view_.TakeMissing();
  ASSERT_EQ(missing.size(), 1u);
  EXPECT_EQ(missing[0].kind(), Kind::DISCONNECTED);
  EXPECT_EQ(missing[0].agent().user_id(), "a");
  EXPECT_FALSE(missing[0].agent().connected());
  EXPECT_TRUE(view_.TakeMissing().empty()) << "once";
  EXPECT_EQ(Taken(&view_, Event(Kind::CONNECTED, "a", "e1", 1)), Kind::CONNECTED) << "late, but back";
}

TEST_F(AgentViewTest, AStreamThatBreaksEarlySaysNothingOfTheRest) {
  view_.Begin();
  EXPECT_EQ(Taken(&view_, Event(Kind::CONNECTED, "a", "e1", 1)), Kind::KIND_UNSPECIFIED);
  view_.Begin();
  EXPECT_EQ(Taken(&view_, Event(Kind::CONNECTED, "b", "e1", 2)), Kind::KIND_UNSPECIFIED);
  const auto missing = view_.TakeMissing();
  ASSERT_EQ(missing.size(), 1u);
  EXPECT_EQ(missing[0].agent().user_id(), "a");
}

}  // namespace
}  // namespace toolwire
