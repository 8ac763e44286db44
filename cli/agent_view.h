// What a watcher of agents has received, across several streams.
#ifndef TOOLWIRE_CLI_AGENT_VIEW_H_
#define TOOLWIRE_CLI_AGENT_VIEW_H_

#include <map>
#include <set>
#include <string>
#include <vector>

#include "toolwire/v1/dispatch.pb.h"

namespace toolwire {

// Turns the events of one WatchAgents stream after another into changes: a stream begins with everything that is
// connected, most of which is known from the stream before, while what ended in between is only missing there.
class AgentView {
 public:
  using Event = v1::WatchAgentsResponse::Event;

  // A new stream begins.
  void Begin();
  // Whether this event is news, which may change its kind: an agent that is at another edge since the last stream has
  // moved. SNAPSHOT_COMPLETE always is.
  bool Take(Event* event);
  // Disconnects of those that the newest stream has not named: to ask for after its snapshot, and not at once, since a
  // control that has just started does not know all edges yet.
  std::vector<Event> TakeMissing();

  size_t connected() const { return agents_.size(); }

 private:
  std::map<std::string, v1::Agent> agents_;
  std::set<std::string> unnamed_;  // Of these, those that the newest stream has not named.
};

}  // namespace toolwire

#endif  // TOOLWIRE_CLI_AGENT_VIEW_H_
