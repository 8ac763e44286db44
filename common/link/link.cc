// Whoever says something writes it, if the connection takes it; else the loop goes on when the connection does. What
// has come is acknowledged by the next record, or by a word: at once when a piece of a large frame or many records have
// come, else after kWake. A tick without a word is followed by one, so that the peer hears that this side lives.
#include "common/link/link.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace toolwire {
namespace {

// Records that may have come without an acknowledgement.
constexpr uint64_t kOwedMax = 64;
// A peer that lives and acknowledges nothing lets words wait without bound.
constexpr Duration kDeafMax = std::chrono::seconds(60);
// Words that may wait beside all else: those about every session and call of an edge are a tenth of it.
constexpr size_t kWordsBytesMax = 64u << 20;
// Withdrawn in one go, with the lock held.
constexpr size_t kExpireAtOnce = 1000;

MonoTime Now() { return std::chrono::steady_clock::now(); }

RecordSender::Limits LimitsOf(const v1::LinkHello& hello) {
  return {hello.frame_bytes_max(), hello.unfinished_bytes_max(), hello.unfinished_max()};
}

}  // namespace

Link::Link(const v1::LinkHello& peer, const RecordSender::Limits& own, size_t waiting_bytes_max, Events events)
    : peer_start_(peer.start()),
      peer_frame_bytes_max_(peer.frame_bytes_max()),
      waiting_bytes_max_(waiting_bytes_max),
      events_(std::move(events)),
      receiver_(own),
      sender_(waiting_bytes_max, LimitsOf(peer)) {}

// --- connections -----------------------------------------------------------------------------------------------------

bool Link::CanResume(const v1::LinkHello& peer, const std::string& own_start) const {
  if (peer.start() != peer_start_ || peer.peer_start() != own_start) return false;
  MutexLock lock(mu_);
  return !ended_ && sender_.CanResume(peer.received());
}

void Link::SayWhere(v1::LinkHello* hello) const {
  hello->set_peer_start(peer_start_);
  hello->set_received(receiver_.received());
}

void Link::Connected(std::shared_ptr<Connection> connection, const v1::LinkHello& peer) {
  const auto self = shared_from_this();
  Connection::Events events;
  events.message = [self](std::string_view message) { return self->OnMessage(message); };
  events.read = [self] { self->OnRead(); };
  events.writable = [self] { self->OnWritable(); };
  events.tick = [self] { self->OnTime(/*tick=*/true); };
  events.woken = [self] { self->OnTime(/*tick=*/false); };
  events.closed = [self, raw = connection.get()](const std::string& why) { self->OnClosed(raw, why); };
  connection->Become(std::move(events));
  receiver_.ForgetTrips();
  MutexLock lock(mu_);
  // A peer that begins the conversation with this connection may still speak of an earlier one.
  sender_.Resume(std::exchange(has_begun_, true) ? peer.received() : 0);
  sender_.Received(receiver_.received());
  connection_ = std::move(connection);
  watched_ = false;
  // So that the peer knows this side's clock before it says anything that counts.
  word_owed_ = true;
  PumpLocked();
}

void Link::Disconnect(const std::string& why) {
  std::shared_ptr<Connection> connection;
  {
    MutexLock lock(mu_);
    connection.swap(connection_);
  }
  if (connection) connection->CloseNow(why);
}

bool Link::connected() const {
  MutexLock lock(mu_);
  return connection_ != nullptr;
}

void Link::OnClosed(const Connection* connection, const std::string& why) {
  {
    MutexLock lock(mu_);
    if (connection_.get() != connection) return;
    connection_ = nullptr;
  }
  events_.lost(why);
}

bool Link::OnMessage(std::string_view message) {
  if (!takes_) {
    receiver_.Hear(message, Now());
    return true;
  }
  const RecordReceiver::Got got = receiver_.Take(message, Now());
  pieces_came_ = pieces_came_ || receiver_.was_piece();
  switch (got) {
    case RecordReceiver::Got::kNothing:
      return true;
    case RecordReceiver::Got::kFrame:
      if (events_.frame(receiver_.frame())) return true;
      events_.over("a frame makes no sense");
      return false;
    case RecordReceiver::Got::kBroken:
      events_.over(receiver_.error());
      return false;
    case RecordReceiver::Got::kEnd:
      break;
  }
  OnRead();  // The peer waits for the acknowledgement.
  {
    MutexLock lock(mu_);
    peer_ended_ = true;
    word_owed_ = true;
    PumpLocked();
  }
  events_.over("the peer has ended it");
  return false;
}

void Link::OnRead() {
  bool makes_sense = true;
  std::shared_ptr<Connection> connection;
  bool owed = false;
  {
    MutexLock lock(mu_);
    if (ended_ || connection_ == nullptr) return;
    makes_sense = sender_.Acked(receiver_.peer_received(), Now());
    sender_.Received(receiver_.received());
    if (makes_sense) {
      SayEndLocked();
      word_owed_ = word_owed_ || std::exchange(pieces_came_, false) || sender_.ack_owed_records() >= kOwedMax;
      PumpLocked();
      owed = sender_.ack_owed();
      connection = connection_;
    }
  }
  if (!makes_sense) return events_.over("it acknowledges what was not said");
  if (owed && connection) connection->WakeIn(kWake);
}

void Link::OnWritable() {
  MutexLock lock(mu_);
  if (connection_ == nullptr || !connection_->WriteRest()) return;
  sender_.Taken();
  PumpLocked();
}

void Link::OnTime(bool tick) {
  Expire();
  bool deaf = false;
  {
    MutexLock lock(mu_);
    if (connection_ == nullptr) return;
    watched_ = false;
    SayEndLocked();
    word_owed_ = word_owed_ || sender_.ack_owed() || (tick && !std::exchange(said_, false));
    PumpLocked();
    if (tick) {
      const bool progress = sender_.acked() == sender_.last_number() || sender_.acked() != acked_at_tick_;
      acked_at_tick_ = sender_.acked();
      deaf_ticks_ = progress ? 0 : deaf_ticks_ + 1;
      deaf = deaf_ticks_ * Duration(Connection::kTick) > kDeafMax;
    }
  }
  if (deaf) events_.over("it acknowledges nothing");
}

void Link::Expire() {
  std::vector<uint64_t> expired;
  {
    MutexLock lock(mu_);
    if (!sender_.waits()) return;
    expired = sender_.Expire(Now(), kExpireAtOnce);
  }
  if (!expired.empty()) events_.expired(expired);
}

// --- saying ----------------------------------------------------------------------------------------------------------

void Link::PumpLocked() {
  const MonoTime now = Now();
  std::string_view record;
  while (connection_ != nullptr && connection_->writable() && sender_.Next(now, &record)) {
    connection_->Write(record);
    said_ = true;
    word_owed_ = false;  // The record has said it.
    if (!connection_->writable()) break;
    sender_.Taken();
  }
  if (connection_ == nullptr) return;
  if (word_owed_ && connection_->writable()) {
    word_owed_ = false;
    connection_->Write(sender_.Word(now));
    said_ = true;
  }
  WatchLocked();
}

void Link::WatchLocked() {
  if (!sender_.waits() || connection_ == nullptr || std::exchange(watched_, true)) return;
  asio::post(connection_->executor(), [connection = connection_] { connection->WakeIn(kWake); });
}

bool Link::SayNow(const google::protobuf::MessageLite& frame) {
  if (frame.ByteSizeLong() > std::min(RecordSender::kWholeBytesMax, peer_frame_bytes_max_)) return false;
  MutexLock lock(mu_);
  if (ended_ || connection_ == nullptr || !connection_->writable() || !sender_.idle()) return false;
  connection_->Write(sender_.SayNow(frame, Now()));
  said_ = true;
  word_owed_ = false;
  if (connection_->writable()) sender_.Taken();
  return true;
}

bool Link::Push(std::vector<LinkItem>* items, std::vector<LinkItem>* refused) {
  MutexLock lock(mu_);
  if (ended_) return false;
  for (LinkItem& item : *items) {
    if (sender_.Push(std::move(item)) != RecordSender::Pushed::kTaken) refused->push_back(std::move(item));
  }
  PumpLocked();
  if (connection_ != nullptr && sender_.waiting_bytes() > waiting_bytes_max_ + kWordsBytesMax) {
    connection_->Close("it does not take the replies to what it sends");
  }
  return true;
}

std::vector<uint64_t> Link::Withdraw(const std::vector<uint64_t>& refs) {
  std::vector<uint64_t> withdrawn;
  MutexLock lock(mu_);
  if (!sender_.waits()) return withdrawn;
  for (const uint64_t ref : refs) {
    if (sender_.Withdraw(ref)) withdrawn.push_back(ref);
  }
  PumpLocked();
  return withdrawn;
}

std::vector<uint64_t> Link::WithdrawPayer(uint64_t payer) {
  MutexLock lock(mu_);
  std::vector<uint64_t> withdrawn = sender_.WithdrawPayer(payer);
  PumpLocked();
  return withdrawn;
}

// --- ending ----------------------------------------------------------------------------------------------------------

void Link::SayEnd() {
  MutexLock lock(mu_);
  ending_ = true;
  if (connection_ != nullptr)
    asio::post(connection_->executor(), [connection = connection_] { connection->WakeIn({}); });
}

// On the connection's loop, when all that came has been taken: only then does the end tell the peer exactly what was.
void Link::SayEndLocked() {
  if (!ending_ || !takes_ || sender_.waits()) return;
  takes_ = false;
  sender_.Received(receiver_.received());
  sender_.End();
}

std::optional<uint64_t> Link::last_said() const {
  MutexLock lock(mu_);
  if (!ended_ && sender_.waits()) return std::nullopt;
  return sender_.last_number();
}

bool Link::heard(uint64_t record) const {
  MutexLock lock(mu_);
  return ended_ || sender_.acked() >= record;
}

bool Link::all_acked() const {
  MutexLock lock(mu_);
  return ended_ || sender_.all_acked();
}

RecordSender::Unsent Link::End(const std::string& why) {
  RecordSender::Unsent unsent;
  std::shared_ptr<Connection> connection;
  {
    MutexLock lock(mu_);
    if (std::exchange(ended_, true)) return unsent;
    unsent = sender_.TakeUnsent(peer_ended_);
    connection.swap(connection_);
  }
  if (connection) connection->CloseNow(why);
  return unsent;
}

}  // namespace toolwire
