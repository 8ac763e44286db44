#include "edge/old_channels_link.h"

#include <string>
#include <utility>

namespace toolwire {

OldChannelsLink::OldChannelsLink(const EdgeOptions& options, const Clock& clock, RedisRegistry& redis, AuditLog& audit,
                                 Edge& edge)
    : channels_(std::make_shared<OldChannels>(
          clock,
          [&redis](const std::string& channel, std::string message) { redis.Publish(channel, std::move(message), {}); },
          &audit, options.old_channels, options.payload())),
      edge_(edge),
      link_(edge.Attach(channels_)),
      ticker_(OldChannels::kTick, [this] { channels_->Tick(); }) {
  channels_->SetEdge([this](v1::ControlFrame&& frame) { edge_.Receive(link_, std::move(frame)); });
  // Redis may keep this for longer than the link lives.
  const auto on_stray = [weak = std::weak_ptr<OldChannels>(channels_)](const std::string& message) {
    if (const auto channels = weak.lock()) channels->OnStrayAnswer(message);
  };
  redis.Subscribe(kStrayAnswersChannel, on_stray, [] {});
}

OldChannelsLink::~OldChannelsLink() { edge_.Detach(link_); }

}  // namespace toolwire
