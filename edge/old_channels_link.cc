#include "edge/old_channels_link.h"

#include <functional>
#include <string>
#include <utility>

namespace toolwire {
OldChannelsLink::OldChannelsLink(const EdgeOptions& options, const Clock& clock, RedisRegistry& redis, AuditLog& audit,
                                 Edge& edge)
    : channels_(std::make_shared<OldChannels>(
          clock,
          OldChannels::Redis{
              [&redis](const std::string& channel, std::string text) {
                redis.Publish(redis.OwnChannel(channel), std::move(text), {});
              },
              [&redis, life = options.old_channels.call_timeout](const std::string& name, const std::string& channel,
                                                                 std::string text, OldChannels::Redis::Published done) {
                redis.PublishOnce(name, life, channel, std::move(text), std::move(done));
              },
              [&redis](const std::string& key, Duration life, std::function<void(const absl::Status&)> done) {
                redis.Set(key, life, std::move(done));
              },
              [&redis](const std::string& key, std::function<void(bool)> done) { redis.Take(key, std::move(done)); }},
          &audit, options.old_channels, options.payload())),
      edge_(edge),
      link_(edge.Attach(channels_)),
      ticker_(OldChannels::kTick, [this] { channels_->Tick(); }) {
  channels_->SetEdge([this](v1::ControlFrame&& frame) { edge_.Receive(link_, std::move(frame)); },
                     [this](const std::string& user_id, const std::string& request_id) {
                       return edge_.TakeStray(user_id, request_id);
                     });
  // Redis may keep this for longer than the link lives.
  const auto on_note = [weak = std::weak_ptr<OldChannels>(channels_)](const std::string& message) {
    if (const auto channels = weak.lock()) channels->OnStrayNote(message);
  };
  redis.Subscribe(redis.OwnChannel(kStrayNotesChannel), on_note, [] {});
  redis.Subscribe(redis.OwnChannel(channels_->notes_channel()), on_note, [] {});
}

OldChannelsLink::~OldChannelsLink() { edge_.Detach(link_); }

}  // namespace toolwire
