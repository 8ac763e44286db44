#include "common/base/counter.h"

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace toolwire {
namespace {

struct Counters : CounterSet {
  Counter sent{this, "sent_total", "Frames sent."};
  LimitCounter full{this, kEdgeLimitHits, "queue"};
};

TEST(CounterTest, SetListsEveryCounterWithItsTexts) {
  Counters counters;
  counters.sent.Add();
  counters.sent.Add(2);
  counters.full.Add();
  std::vector<Sample> samples;
  AddGauge(&samples, "open", "Open now.", 1.5);
  counters.AddSamples(&samples);
  std::vector<std::string> lines;
  for (const Sample& sample : samples) {
    lines.push_back(
        absl::StrCat(sample.counter ? "counter " : "gauge ", sample.name, " ", sample.value, " ", sample.help));
    for (const auto& [name, value] : sample.labels) absl::StrAppend(&lines.back(), " {", name, "=", value, "}");
  }
  EXPECT_EQ(lines, (std::vector<std::string>{
                       "gauge open 1.5 Open now.", "counter sent_total 3 Frames sent.",
                       "counter toolwire_edge_limit_hits_total 1 Times a limit was hit, by limit. {limit=queue}"}));
}

}  // namespace
}  // namespace toolwire
