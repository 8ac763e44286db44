// Params that are too large to be copied while others wait.
#include <future>
#include <string>
#include <vector>

#include "tests/support/large_allocations.h"
#include "tests/unit/control/dispatcher_fixture.h"

namespace toolwire {
namespace {

class DispatcherLargeParamsTest : public DispatcherTest {
 protected:
  Call MakeLargeCall() {
    Call call = MakeCall();
    call.params_json = R"({"text":")" + std::string(4 * kLargeAllocation, 'x') + R"("})";
    begun_[call.caller_id].params_json = audit_->Storable(call.params_json);  // As far as its row has them.
    return call;
  }
};

TEST_F(DispatcherLargeParamsTest, NoLargeCopyIsMadeWhileOthersWaitForTheLock) {
  const LinkedEdge edge = LinkWithAgent();
  Call call = MakeLargeCall();
  std::vector<std::future<void>> asked;  // They wait for their threads, so they end when nothing is locked.
  int copies = 0, with_the_lock = 0;
  {
    const LargeAllocations watched([&] {
      ++copies;
      asked.push_back(std::async(std::launch::async, [this] { dispatcher_.in_flight(); }));
      if (asked.back().wait_for(seconds(5)) != std::future_status::ready) ++with_the_lock;
    });
    Answer(edge, Begin(std::move(call)));
  }
  EXPECT_GT(copies, 0) << "the edge keeps a copy at least";
  EXPECT_EQ(with_the_lock, 0);
}

TEST_F(DispatcherLargeParamsTest, EveryDeliveryHasThemAsTheyCame) {
  const LinkedEdge a = LinkWithAgent("edge_a", 1), b = Link("edge_b");
  registry_.SetLease(kUser, "edge_b", 2);
  Call call = MakeLargeCall();
  const std::string params = call.params_json;
  const uint64_t call_id = Begin(std::move(call));
  Refuse(a, call_id, R::NOT_HERE, E::NOT_SENT);
  ASSERT_EQ(a.edge->deliveries().size(), 1u);
  ASSERT_EQ(b.edge->deliveries().size(), 1u);
  EXPECT_TRUE(a.edge->deliveries()[0].params_json() == params);
  EXPECT_TRUE(b.edge->deliveries()[0].params_json() == params);
  Answer(b, call_id);
}

}  // namespace
}  // namespace toolwire
