// DEEP: a link: a conversation between one start of a control and one start of an edge, over one connection after
// another.
#ifndef TOOLWIRE_COMMON_LINK_LINK_H_
#define TOOLWIRE_COMMON_LINK_LINK_H_

#include <google/protobuf/message_lite.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/link/connection.h"
#include "common/link/record_receiver.h"
#include "common/link/record_sender.h"
#include "toolwire/v1/relay.pb.h"

namespace toolwire {

// Frames of one link that come in pieces and are not complete.
constexpr size_t kUnfinishedMax = 4096;
// What one side takes, for payloads of that size: a frame has some names beside its payload.
constexpr RecordSender::Limits LinkLimits(size_t payload_bytes_max) {
  return {payload_bytes_max + (1u << 20), 16 * payload_bytes_max + (16u << 20), kUnfinishedMax};
}
// The version of what is said in hellos and records.
constexpr uint32_t kLinkProtocol = 2;
// What a side says of itself; `start` differs for every start of its end of the link.
v1::LinkHello MakeHello(const std::string& id, const std::string& start, const RecordSender::Limits& limits);

// What is said is kept until the peer has acknowledged it and is said again on the next connection. The owner makes
// connections, exchanges hellos on them and hands them over; it ends the conversation when they stay away.
//
// Thread-safe, but for what is said of each method. Its lock is held while the kernel takes a record.
class Link : public std::enable_shared_from_this<Link> {
 public:
  // With no lock held. `lost` and `over` come on the connection's loop, `frame`, too.
  struct Events {
    // A whole frame, and what its Age() is asked of. False: it makes no sense; the conversation is over.
    std::function<bool(std::string& frame)> frame;
    // These were withdrawn because their time is up.
    std::function<void(const std::vector<uint64_t>& refs)> expired;
    // The connection has ended; the conversation has not.
    std::function<void(const std::string& why)> lost;
    // Nothing more will come: the peer has ended, or what it says makes no sense. The owner calls End.
    std::function<void(const std::string& why)> over;
  };

  // `peer`: its hello. `waiting_bytes_max`: of what is not yet written.
  Link(const v1::LinkHello& peer, const RecordSender::Limits& own, size_t waiting_bytes_max, Events events);

  // --- connections; on the connection's loop -------------------------------------------------------------------------
  // Whether a peer that says this can go on where the conversation is.
  bool CanResume(const v1::LinkHello& peer, const std::string& own_start) const;
  // What it says of itself in a hello: whom it knows, and up to where.
  void SayWhere(v1::LinkHello* hello) const;
  // Hellos were exchanged on it; `peer` is what the other side has said. REQUIRES: the last connection has ended.
  void Connected(std::shared_ptr<Connection> connection, const v1::LinkHello& peer);
  bool connected() const;
  size_t peer_frame_bytes_max() const { return peer_frame_bytes_max_; }
  // How much longer than others it was on its way. On the connection's loop, during `frame`.
  Duration Age(uint64_t as_of_us, MonoTime now) const { return receiver_.Age(as_of_us, now); }
  // Closes the connection, without `lost`: another one is there.
  void Disconnect(const std::string& why);
  // Without a connection nothing expires by itself: call every kWake then.
  void Expire();
  static constexpr Duration kWake = std::chrono::milliseconds(25);

  // --- saying --------------------------------------------------------------------------------------------------------
  // Says a frame at once, if nothing waits and the connection takes it. False: push it in parts.
  bool SayNow(const google::protobuf::MessageLite& frame);
  // Adds what the receiver does not take, or is past its payer's share, to `refused`: it does not leave. False: the
  // conversation is over, nothing leaves, and `items` are as they were.
  bool Push(std::vector<LinkItem>* items, std::vector<LinkItem>* refused);
  // Those of `refs` that wait, or of which a piece has left, are taken out: they are certainly not complete at the
  // peer.
  std::vector<uint64_t> Withdraw(const std::vector<uint64_t>& refs);
  std::vector<uint64_t> WithdrawPayer(uint64_t payer);

  // --- ending --------------------------------------------------------------------------------------------------------
  // The last record follows what waits. What comes after it is not taken, which the peer knows.
  void SayEnd();
  // Whether the peer has everything; and what was said by now: nothing if some of it waits yet, else up to which
  // record.
  bool all_acked() const;
  std::optional<uint64_t> last_said() const;
  // Whether the peer has all up to that record, or will never have it.
  bool heard(uint64_t record) const;
  // On the connection's loop. Nothing leaves or comes any more when it returns. What is certainly not complete at the
  // peer, once.
  RecordSender::Unsent End(const std::string& why);

 private:
  bool OnMessage(std::string_view message);
  void OnRead();
  void OnWritable();
  void OnTime(bool tick);
  void SayEndLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void OnClosed(const Connection* connection, const std::string& why);
  void PumpLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void WatchLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const std::string peer_start_;
  const size_t peer_frame_bytes_max_;
  const size_t waiting_bytes_max_;
  const Events events_;

  // The connection's loop only.
  RecordReceiver receiver_;
  bool pieces_came_ = false;  // Their sender waits for the acknowledgement.
  bool takes_ = true;         // False once the end is said.
  uint64_t acked_at_tick_ = 0;
  int deaf_ticks_ = 0;  // That the peer has acknowledged nothing of what it was told.

  mutable Mutex mu_;
  RecordSender sender_ ABSL_GUARDED_BY(mu_);
  std::shared_ptr<Connection> connection_ ABSL_GUARDED_BY(mu_);  // Null: none.
  bool said_ ABSL_GUARDED_BY(mu_) = false;                       // Anything since the last tick.
  bool watched_ ABSL_GUARDED_BY(mu_) = false;                    // The loop will look at what waits.
  bool word_owed_ ABSL_GUARDED_BY(mu_) = false;                  // At once, when the connection takes it.
  bool has_begun_ ABSL_GUARDED_BY(mu_) = false;                  // It had a connection.
  bool ending_ ABSL_GUARDED_BY(mu_) = false;                     // This side is to say the end.
  bool peer_ended_ ABSL_GUARDED_BY(mu_) = false;                 // The peer has said it.
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_LINK_LINK_H_
