// The whole edge over real sockets: what a control's `Disconnect` does to sessions, and to logins that are under way.
#include "edge/edge.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/registry/memory_registry.h"
#include "common/wire/wire_codec.h"
#include "tests/fakes/memory_store.h"

namespace toolwire {
namespace {

using D = v1::Disconnect;
using E = v1::CallError;
using R = v1::Refusal;

// A hang is a failure after this long; nothing is measured by it.
constexpr auto kForever = std::chrono::seconds(60);
const std::string kUser = "user_42";

// Every secret is right until its user is revoked. Can be held between a verdict and its return.
class RevocableStore final : public MemoryStore {
 public:
  absl::StatusOr<std::vector<bool>> CheckCredentials(const std::vector<CredentialCheck>& checks) override {
    std::unique_lock<std::mutex> lock(mu_);
    std::vector<bool> verdicts;
    for (const CredentialCheck& check : checks) verdicts.push_back(revoked_.count(check.user_id) == 0);
    ++checked_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return !held_; });
    return verdicts;
  }
  absl::StatusOr<std::vector<bool>> CheckDigests(const std::vector<SecretCheck>& checks) override {
    std::lock_guard<std::mutex> lock(mu_);
    if (unavailable_) return absl::UnavailableError("as the test wants");
    std::vector<bool> verdicts;
    for (const SecretCheck& check : checks) {
      EXPECT_TRUE(check.digest == DigestOfSecret("s") || check.digest == DigestOfSecret("new"));
      verdicts.push_back(revoked_.count(check.user_id) == 0 && check.digest == DigestOfSecret(secret_));
    }
    rechecked_ += static_cast<int>(checks.size());
    changed_.notify_all();
    return verdicts;
  }
  void Replace(const std::string& secret) {
    std::lock_guard<std::mutex> lock(mu_);
    secret_ = secret;
  }
  void SetUnavailable(bool unavailable) {
    std::lock_guard<std::mutex> lock(mu_);
    unavailable_ = unavailable;
  }
  void AwaitRechecks(int more) {
    std::unique_lock<std::mutex> lock(mu_);
    const int count = rechecked_ + more;
    ASSERT_TRUE(changed_.wait_for(lock, kForever, [&] { return rechecked_ >= count; }));
  }
  absl::Status Revoke(const std::string& user_id) override {
    std::lock_guard<std::mutex> lock(mu_);
    revoked_.insert(user_id);
    return absl::OkStatus();
  }
  void Hold() {
    std::lock_guard<std::mutex> lock(mu_);
    held_ = true;
  }
  void LetGo() {
    std::lock_guard<std::mutex> lock(mu_);
    held_ = false;
    changed_.notify_all();
  }
  void AwaitChecks(int count) {
    std::unique_lock<std::mutex> lock(mu_);
    ASSERT_TRUE(changed_.wait_for(lock, kForever, [&] { return checked_ >= count; }));
  }

 private:
  std::mutex mu_;
  std::condition_variable changed_;
  std::set<std::string> revoked_;  // Guarded by mu_, as are the others.
  bool held_ = false;
  bool unavailable_ = false;
  int checked_ = 0;
  int rechecked_ = 0;
  std::string secret_ = "s";
};

// The registry in memory, whose claims can be held before they are answered.
class HoldingRegistry final : public Registry {
 public:
  explicit HoldingRegistry(const Clock& clock) : kept_(clock, std::chrono::minutes(2)) {}

  void Claim(const ClaimRequest& request, ClaimDone done) override {
    kept_.Claim(request, [this, done = std::move(done)](absl::StatusOr<uint64_t> epoch) {
      {
        std::lock_guard<std::mutex> lock(mu_);
        if (held_) {
          waiting_.emplace_back([done, epoch] { done(epoch); });
          return changed_.notify_all();
        }
      }
      done(epoch);
    });
  }
  void Refresh(const std::string& edge_id, std::vector<Held> held) override { kept_.Refresh(edge_id, std::move(held)); }
  void Release(const std::string& user_id, const std::string& edge_id, uint64_t epoch, ReleaseDone done) override {
    kept_.Release(user_id, edge_id, epoch, std::move(done));
  }
  void Lookup(const std::string& user_id, LookupDone done) override { kept_.Lookup(user_id, std::move(done)); }
  void Join(const EdgeAddress& self, EdgeEvents events) override { kept_.Join(self, std::move(events)); }
  void Leave(const std::string& edge_id, MonoTime until) override { kept_.Leave(edge_id, until); }
  void WatchEdges(EdgesChanged changed) override { kept_.WatchEdges(std::move(changed)); }
  void ListEdges(ListDone done) override { kept_.ListEdges(std::move(done)); }
  bool connected() const override { return true; }

  void Hold() {
    std::lock_guard<std::mutex> lock(mu_);
    held_ = true;
  }
  void AwaitClaim() {
    std::unique_lock<std::mutex> lock(mu_);
    ASSERT_TRUE(changed_.wait_for(lock, kForever, [this] { return !waiting_.empty(); }));
  }
  void LetGo() {
    std::vector<std::function<void()>> waiting;
    {
      std::lock_guard<std::mutex> lock(mu_);
      held_ = false;
      waiting.swap(waiting_);
    }
    for (const auto& answer : waiting) answer();
  }
  bool HasLease(const std::string& user_id) {
    bool has = false;
    Lookup(user_id, [&](absl::StatusOr<std::optional<Lease>> lease) { has = lease.ok() && lease->has_value(); });
    return has;
  }

 private:
  MemoryRegistry kept_;
  std::mutex mu_;
  std::condition_variable changed_;
  bool held_ = false;  // Guarded by mu_, as is the other.
  std::vector<std::function<void()>> waiting_;
};

// A control that keeps what it receives.
class Listener final : public ToControl {
 public:
  void Send(v1::EdgeFrame&& frame) override {
    std::lock_guard<std::mutex> lock(mu_);
    for (const v1::SessionEvent& event : frame.sessions()) {
      if (!event.snapshot_complete()) events_.push_back(event);
    }
    for (const uint64_t id : frame.disconnects_done()) {
      // Of the session that this ended its control hears no later.
      ended_before_done_[id] =
          std::count_if(events_.begin(), events_.end(), [](const auto& one) { return !one.connected(); });
    }
    for (const v1::StrayAnswer& stray : frame.strays()) strays_.push_back(stray);
    for (const v1::StrayOffer& offer : frame.stray_offers()) offers_.push_back(offer);
    for (const R& refusal : frame.refusals()) {
      refusals_[refusal.call_id()] = R::Cause_Name(refusal.cause()) + " " + E::Delivery_Name(refusal.delivery());
    }
    changed_.notify_all();
  }
  std::vector<v1::SessionEvent> events() {
    std::lock_guard<std::mutex> lock(mu_);
    return events_;
  }
  // How many sessions had ended before this disconnect was confirmed.
  int64_t AwaitDone(uint64_t id) {
    std::unique_lock<std::mutex> lock(mu_);
    EXPECT_TRUE(changed_.wait_for(lock, kForever, [&] { return ended_before_done_.count(id) > 0; }));
    return ended_before_done_[id];
  }
  bool IsDone(uint64_t id) {
    std::lock_guard<std::mutex> lock(mu_);
    return ended_before_done_.count(id) > 0;
  }
  std::vector<v1::StrayAnswer> AwaitStrays(size_t count) {
    std::unique_lock<std::mutex> lock(mu_);
    EXPECT_TRUE(changed_.wait_for(lock, kForever, [&] { return strays_.size() >= count; }));
    return strays_;
  }
  std::vector<v1::StrayOffer> AwaitOffers(size_t count) {
    std::unique_lock<std::mutex> lock(mu_);
    EXPECT_TRUE(changed_.wait_for(lock, kForever, [&] { return offers_.size() >= count; }));
    return offers_;
  }
  std::string AwaitRefusal(uint64_t call_id) {
    std::unique_lock<std::mutex> lock(mu_);
    EXPECT_TRUE(changed_.wait_for(lock, kForever, [&] { return refusals_.count(call_id) > 0; }));
    return refusals_[call_id];
  }

 private:
  std::mutex mu_;
  std::condition_variable changed_;
  std::vector<v1::SessionEvent> events_;  // Guarded by mu_, as are the others.
  std::map<uint64_t, int64_t> ended_before_done_;
  std::vector<v1::StrayAnswer> strays_;
  std::vector<v1::StrayOffer> offers_;
  std::map<uint64_t, std::string> refusals_;
};

// An agent on a blocking socket.
class Agent {
 public:
  Agent(int port, const std::string& user_id) {
    fd_ = socket(AF_INET, SOCK_STREAM, 0);
    const timeval limit{std::chrono::seconds(kForever).count(), 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    const std::string request = "GET /?userId=" + user_id +
                                "&secret=s HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
                                "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                                "Sec-WebSocket-Key: dG9vbHdpcmUgdGVzdCBrZQ==\r\n\r\n";
    EXPECT_EQ(send(fd_, request.data(), request.size(), MSG_NOSIGNAL), static_cast<ssize_t>(request.size()));
    std::string head;
    while (head.find("\r\n\r\n") == std::string::npos) {
      const std::string next = Read(1);
      if (next.empty()) break;
      head += next;
    }
    EXPECT_EQ(head.substr(0, 12), "HTTP/1.1 101");
  }
  ~Agent() { close(fd_); }
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;

  // The next frame: a text as it is, or "close 1008 reason".
  std::string Next() {
    const std::string head = Read(2);
    if (head.size() < 2) return "end";
    size_t size = static_cast<uint8_t>(head[1]);
    if (size == 126) {
      const std::string more = Read(2);
      size = static_cast<size_t>(static_cast<uint8_t>(more[0])) << 8 | static_cast<uint8_t>(more[1]);
    }
    const std::string body = Read(size);
    if ((head[0] & 0x0f) != 8) return body;
    const std::string same = std::string("\x88\x82\0\0\0\0", 6) + body.substr(0, 2);  // Masked, as clients must.
    send(fd_, same.data(), same.size(), MSG_NOSIGNAL);
    const int code = static_cast<uint8_t>(body[0]) << 8 | static_cast<uint8_t>(body[1]);
    return "close " + std::to_string(code) + " " + body.substr(2);
  }
  // A text frame; the mask is zeros.
  void Send(const std::string& text) {
    const int length_bytes = text.size() < 126 ? 1 : text.size() < 65536 ? 2 : 8;
    std::string frame = length_bytes == 1 ? "\x81" : length_bytes == 2 ? "\x81\xfe" : "\x81\xff";
    for (int i = length_bytes - 1; i >= 0; --i) frame += static_cast<char>(text.size() >> (8 * i));
    if (length_bytes == 1) frame.back() = static_cast<char>(frame.back() | 0x80);
    frame += std::string(4, '\0') + text;
    for (size_t sent = 0; sent < frame.size();) {
      const ssize_t one = send(fd_, frame.data() + sent, frame.size() - sent, MSG_NOSIGNAL);
      ASSERT_GT(one, 0);
      sent += static_cast<size_t>(one);
    }
  }
  EdgeFrameText::Type NextType() { return DecodeEdgeFrame(Next(), 64).type; }
  // Waits until it ends, and answers nothing. Whether by a reset.
  bool EndsByReset() {
    char bytes[4096];
    ssize_t size = 0;
    while ((size = recv(fd_, bytes, sizeof bytes, 0)) > 0) continue;
    return size < 0 && errno == ECONNRESET;
  }
  // How it ends, and the texts before it in `*texts`.
  std::string End(std::vector<std::string>* texts = nullptr) {
    for (;;) {
      std::string frame = Next();
      if (frame == "end" || frame.substr(0, 6) == "close ") return frame;
      if (texts != nullptr) texts->push_back(std::move(frame));
    }
  }

 private:
  std::string Read(size_t size) {
    std::string bytes(size, '\0');
    for (size_t got = 0; got < size;) {
      const ssize_t one = recv(fd_, bytes.data() + got, size - got, 0);
      if (one <= 0) return "";
      got += static_cast<size_t>(one);
    }
    return bytes;
  }

  int fd_ = -1;
};

class EdgeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    EdgeOptions options;
    options.port = 0;
    options.server_id = "edge-1";
    options.io_threads = 2;
    options.login_timeout = login_timeout_;
    options.secret_recheck_interval = recheck_interval_;
    options.admission = admission_;
    options.login_limits.failures_per_minute_max = 0;
    options.login_limits.user_failures_max = 0;
    ASSERT_TRUE(Validate(&options).ok());
    edge_.emplace(options, clock_, registry_, store_);
    link_ = edge_->Attach(control_);
    edge_->Join("", {});
    ASSERT_TRUE(edge_->Listen(ListenOptions()).ok());
  }
  void TearDown() override {
    store_.LetGo();
    registry_.LetGo();
    edge_.reset();
  }

  std::unique_ptr<Agent> Dial(const std::string& user_id = kUser) {
    return std::make_unique<Agent>(edge_->port(), user_id);
  }
  std::unique_ptr<Agent> Connect(const std::string& user_id = kUser) {
    auto agent = Dial(user_id);
    EXPECT_EQ(agent->NextType(), EdgeFrameText::Type::kConnected);
    return agent;
  }
  // A revocation as a control carries it out: the store first.
  void Revoke(const std::string& user_id = kUser) {
    EXPECT_TRUE(store_.Revoke(user_id).ok());
    Disconnect(D::CREDENTIAL_REVOKED, 0, user_id);
  }
  void Disconnect(D::Cause cause, uint64_t epoch_max = 0, const std::string& user_id = kUser, uint64_t id = 0) {
    v1::ControlFrame frame;
    D* disconnect = frame.add_disconnects();
    disconnect->set_user_id(user_id);
    disconnect->set_cause(cause);
    disconnect->set_epoch_max(epoch_max);
    disconnect->set_id(id);
    edge_->Receive(link_, std::move(frame));
  }
  void Deliver(uint64_t call_id) {
    v1::ControlFrame frame;
    v1::Deliver* deliver = frame.add_deliveries();
    deliver->set_call_id(call_id);
    deliver->set_user_id(kUser);
    deliver->set_request_id("req_" + std::to_string(call_id));
    deliver->set_tool("slow");
    deliver->set_params_json("{}");
    deliver->set_timeout_us(600'000'000);
    edge_->Receive(link_, std::move(frame));
  }
  double Metric(const std::string& name) {
    std::vector<Sample> samples;
    edge_->AddSamples(&samples);
    for (const Sample& sample : samples) {
      if (sample.name == name) return sample.value;
    }
    ADD_FAILURE() << "no sample " << name;
    return -1;
  }
  void Fetch(const std::string& request_id, const std::string& user_id = kUser) {
    v1::ControlFrame frame;
    v1::StrayName* name = frame.add_stray_fetches();
    name->set_user_id(user_id);
    name->set_request_id(request_id);
    edge_->Receive(link_, std::move(frame));
  }
  // The epoch of the newest session.
  uint64_t Epoch() {
    uint64_t newest = 0;
    for (const v1::SessionEvent& event : control_->events()) newest = std::max<uint64_t>(newest, event.epoch());
    return newest;
  }

  Duration login_timeout_ = kForever;
  Duration recheck_interval_{};
  Admission::Options admission_;
  SystemClock clock_;
  RevocableStore store_;
  HoldingRegistry registry_{clock_};
  std::shared_ptr<Listener> control_ = std::make_shared<Listener>();
  std::optional<Edge> edge_;
  LinkId link_ = 0;
};

TEST_F(EdgeTest, RevokedSessionIsClosedAndItsSentCallsAreLostAtOnce) {
  auto agent = Connect();
  Deliver(1);
  EXPECT_EQ(agent->NextType(), EdgeFrameText::Type::kToolCall);
  Revoke();
  EXPECT_EQ(agent->End(), "close 1008 Credentials revoked");
  EXPECT_EQ(control_->AwaitRefusal(1), "ANSWER_LOST SENT");
  Deliver(2);
  EXPECT_EQ(control_->AwaitRefusal(2), "NOT_HERE NOT_SENT");
  EXPECT_FALSE(registry_.HasLease(kUser));
  EXPECT_EQ(Metric("toolwire_edge_sessions_revoked_total"), 1);
  EXPECT_EQ(Dial()->End(), "close 1008 Invalid credentials");
}

// An edge that is full with one session, and strangers whose logins were refused, and who never end their sockets.
class FullEdgeTest : public EdgeTest {
 protected:
  FullEdgeTest() { admission_.sessions_max = 1; }
  void SetUp() override {
    EdgeTest::SetUp();
    EXPECT_TRUE(store_.Revoke("stranger").ok());
    agent_ = Connect();
    for (int i = 0; i < 30; ++i) strangers_.push_back(Dial("stranger"));
  }
  void TearDown() override {
    agent_.reset();
    strangers_.clear();
    EdgeTest::TearDown();
  }

  std::unique_ptr<Agent> agent_;
  std::vector<std::unique_ptr<Agent>> strangers_;
};

class FewSocketsTest : public FullEdgeTest {
 protected:
  FewSocketsTest() { admission_.spare_sockets_max = 8; }
};

TEST_F(FewSocketsTest, SocketsThatAreClosingMakeRoomForAnAgentThatComesBack) {
  const auto again = Connect();
  EXPECT_EQ(agent_->End().substr(0, 10), "close 4001");
  EXPECT_TRUE(strangers_.front()->EndsByReset());
}

class FewClosingTest : public FullEdgeTest {
 protected:
  FewClosingTest() { admission_.closing_per_address_max = 4; }
};

TEST_F(FewClosingTest, RefusedSocketsThatDoNotEndAreResetPastTheirShare) {
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(strangers_[static_cast<size_t>(i)]->EndsByReset());
  EXPECT_EQ(strangers_.back()->End().substr(0, 10), "close 1013");
}

TEST_F(EdgeTest, RevocationIsConfirmedOnceItsSessionHasEndedAndItIsRemembered) {
  auto agent = Connect();
  EXPECT_TRUE(store_.Revoke(kUser).ok());
  Disconnect(D::CREDENTIAL_REVOKED, 0, kUser, 7);
  EXPECT_EQ(control_->AwaitDone(7), 1);
  EXPECT_EQ(agent->End(), "close 1008 Credentials revoked");
  Disconnect(D::CREDENTIAL_REVOKED, 0, kUser, 8);
  EXPECT_TRUE(control_->IsDone(8)) << "there is nothing to end";
  Disconnect(static_cast<D::Cause>(99), 0, kUser, 9);
  EXPECT_FALSE(control_->IsDone(9)) << "what is not known is not done";
}

class EdgeRecheckTest : public EdgeTest {
 protected:
  EdgeRecheckTest() { recheck_interval_ = std::chrono::milliseconds(100); }
};

TEST_F(EdgeRecheckTest, SessionWhoseRevocationTheEdgeWasNotToldOfEnds) {
  auto agent = Connect();
  auto other = Connect("other");
  store_.AwaitRechecks(2);
  EXPECT_TRUE(store_.Revoke(kUser).ok());
  EXPECT_EQ(agent->End(), "close 1008 Credentials revoked");
  store_.AwaitRechecks(2);
  EXPECT_EQ(Metric("toolwire_edge_sessions"), 1) << "the other one stays";
  EXPECT_EQ(Metric("toolwire_edge_sessions_revoked_total"), 1);
}

TEST_F(EdgeRecheckTest, StoreThatIsUnavailableEndsNoSession) {
  store_.SetUnavailable(true);
  auto agent = Connect();
  const auto end = std::chrono::steady_clock::now() + kForever;
  while (Metric("toolwire_edge_store_errors_total") < 2 && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_EQ(Metric("toolwire_edge_sessions"), 1);
  EXPECT_TRUE(store_.Revoke(kUser).ok());
  store_.SetUnavailable(false);
  EXPECT_EQ(agent->End(), "close 1008 Credentials revoked") << "it is checked as soon as that is possible";
}

TEST_F(EdgeRecheckTest, KeptSessionCountsAsOpenedWithTheNewSecret) {
  auto agent = Connect();
  store_.AwaitRechecks(1);
  v1::ControlFrame frame;
  const SecretDigest digest = DigestOfSecret("new");
  frame.add_kept_sessions()->set_user_id(kUser);
  frame.mutable_kept_sessions(0)->set_secret_digest(digest.data(), digest.size());
  store_.SetUnavailable(true);  // So that no check comes between the two.
  store_.Replace("new");
  edge_->Receive(link_, std::move(frame));
  Deliver(1);  // Behind it.
  EXPECT_EQ(agent->NextType(), EdgeFrameText::Type::kToolCall);
  store_.SetUnavailable(false);
  store_.AwaitRechecks(2);
  EXPECT_EQ(Metric("toolwire_edge_sessions"), 1);
  store_.Replace("another");
  EXPECT_EQ(agent->End(), "close 1008 Credentials revoked");
}

std::string Unasked(const std::string& request_id, size_t bytes) {
  return EncodeToolResponse(request_id, true, '"' + std::string(bytes, 'x') + '"', "", 1);
}

TEST_F(EdgeTest, LargeUnaskedAnswersAreOfferedToEachControlAndSentToTheOneThatFetches) {
  const auto other = std::make_shared<Listener>();
  edge_->Attach(other);
  auto agent = Connect();
  agent->Send(Unasked("large", 1 << 20));
  agent->Send(Unasked("small", 4000));
  for (const auto& control : {control_, other}) {
    const auto offers = control->AwaitOffers(1);
    ASSERT_EQ(offers.size(), 1u);
    EXPECT_EQ(offers[0].user_id(), kUser);
    EXPECT_EQ(offers[0].request_id(), "large");
    EXPECT_GT(offers[0].bytes(), 1u << 20);
    const auto strays = control->AwaitStrays(1);
    EXPECT_EQ(strays[0].request_id(), "small");
  }
  EXPECT_GT(Metric("toolwire_edge_kept_stray_bytes"), 1 << 20);
  Fetch("large", "another");
  Fetch("another");
  Fetch("large");
  Fetch("large");
  const auto strays = control_->AwaitStrays(2);
  ASSERT_EQ(strays.size(), 2u);
  EXPECT_EQ(strays[1].request_id(), "large");
  EXPECT_EQ(strays[1].answer().result_json().size(), (1u << 20) + 2);
  EXPECT_EQ(other->AwaitStrays(1).size(), 1u);
  EXPECT_EQ(Metric("toolwire_edge_kept_stray_bytes"), 0);
  EXPECT_EQ(edge_->counters().strays_fetched.value(), 1u);
}

TEST_F(EdgeTest, LargeUnaskedAnswersTakeNoMoreThanTheirUsersShareAndGoWhenNobodyFetchesThem) {
  auto agent = Connect();
  constexpr size_t kCount = 10, kEach = 8 << 20;
  for (size_t i = 0; i < kCount; ++i) {
    agent->Send(Unasked("req_" + std::to_string(i), kEach));
    control_->AwaitOffers(i + 1);
    EXPECT_LE(Metric("toolwire_edge_kept_stray_bytes"), 32 << 20);
  }
  EXPECT_EQ(edge_->counters().kept_strays_full.value(), kCount - 3);
  EXPECT_TRUE(control_->AwaitStrays(0).empty());
  const auto end = std::chrono::steady_clock::now() + kForever;
  while (Metric("toolwire_edge_kept_stray_bytes") > 0 && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_EQ(Metric("toolwire_edge_kept_stray_bytes"), 0);
}

TEST_F(EdgeTest, UnaskedAnswerWithALargeIdIsDropped) {
  auto agent = Connect();
  agent->Send(Unasked(std::string(kStrayWholeBytesMax, 'i'), 1));
  agent->Send(Unasked("small", 1));
  control_->AwaitStrays(1);
  EXPECT_TRUE(control_->AwaitOffers(0).empty());
  EXPECT_EQ(edge_->counters().kept_strays_full.value(), 1u);
}

TEST_F(EdgeTest, OperatorsDisconnectEndsTheSessionAndTheAgentMayComeBack) {
  auto agent = Connect();
  Deliver(1);
  EXPECT_EQ(agent->NextType(), EdgeFrameText::Type::kToolCall);
  Disconnect(D::BY_OPERATOR);
  EXPECT_EQ(agent->End(), "close 4003 Disconnected by an operator");
  EXPECT_EQ(control_->AwaitRefusal(1), "SESSION_LOST SENT") << "the answer may come through the next session";
  EXPECT_EQ(Metric("toolwire_edge_sessions_ended_by_operator_total"), 1);
  Connect();
}

TEST_F(EdgeTest, NewerSessionsThanTheOneThatIsMeantAreSpared) {
  auto other = Connect("user_1");  // The first epoch is 1, and 0 would mean any.
  for (const D::Cause cause : {D::CREDENTIAL_REVOKED, D::BY_OPERATOR}) {
    auto agent = Connect();
    const uint64_t epoch = Epoch();
    Disconnect(cause, epoch - 1);
    Deliver(cause);
    EXPECT_EQ(agent->NextType(), EdgeFrameText::Type::kToolCall);
    Disconnect(cause, epoch);
    EXPECT_EQ(agent->End().substr(0, 6), "close ");
  }
}

TEST_F(EdgeTest, OtherUsersAndUnknownCausesChangeNothing) {
  auto agent = Connect();
  Disconnect(D::CREDENTIAL_REVOKED, 0, "somebody else");
  Disconnect(D::BY_OPERATOR, 0, "somebody else");
  Disconnect(D::CAUSE_UNSPECIFIED);
  Deliver(1);
  EXPECT_EQ(agent->NextType(), EdgeFrameText::Type::kToolCall);
}

TEST_F(EdgeTest, LoginWhoseSecretWasCheckedBeforeTheRevocationIsRefused) {
  store_.Hold();
  auto agent = Dial();
  store_.AwaitChecks(1);  // Its secret was found right.
  Revoke();
  store_.LetGo();
  std::vector<std::string> texts;
  EXPECT_EQ(agent->End(&texts), "close 1008 Credentials revoked");
  EXPECT_TRUE(texts.empty()) << "it never was connected";
  EXPECT_TRUE(control_->events().empty());
  EXPECT_FALSE(registry_.HasLease(kUser)) << "nothing was claimed";
  EXPECT_EQ(Metric("toolwire_edge_logins_revoked_total"), 1);
}

TEST_F(EdgeTest, LoginThatIsRevokedWhileItsLeaseIsClaimedIsRefusedAndReleasesIt) {
  registry_.Hold();
  auto agent = Dial();
  registry_.AwaitClaim();
  Revoke();
  EXPECT_TRUE(registry_.HasLease(kUser));
  registry_.LetGo();
  std::vector<std::string> texts;
  EXPECT_EQ(agent->End(&texts), "close 1008 Credentials revoked");
  EXPECT_TRUE(texts.empty());
  EXPECT_TRUE(control_->events().empty());
  EXPECT_FALSE(registry_.HasLease(kUser));
}

TEST_F(EdgeTest, RevocationEndsTheSessionAndTheLoginThatWouldReplaceIt) {
  auto older = Connect();
  registry_.Hold();
  auto newer = Dial();
  registry_.AwaitClaim();
  Revoke();
  registry_.LetGo();
  EXPECT_EQ(newer->End(), "close 1008 Credentials revoked");
  EXPECT_EQ(older->End(), "close 1008 Credentials revoked");
}

TEST_F(EdgeTest, LoginThatBeginsAfterTheDisconnectIsLetIn) {
  Disconnect(D::CREDENTIAL_REVOKED);  // Of the secret before: the store knows a new one.
  auto agent = Connect();
  Deliver(1);
  EXPECT_EQ(agent->NextType(), EdgeFrameText::Type::kToolCall);
}

TEST_F(EdgeTest, OperatorsDisconnectSparesLogins) {
  registry_.Hold();
  auto agent = Dial();
  registry_.AwaitClaim();
  Disconnect(D::BY_OPERATOR);
  registry_.LetGo();
  EXPECT_EQ(agent->NextType(), EdgeFrameText::Type::kConnected);
}

class EdgeLoginTimeoutTest : public EdgeTest {
 protected:
  EdgeLoginTimeoutTest() { login_timeout_ = std::chrono::milliseconds(200); }
};

TEST_F(EdgeLoginTimeoutTest, LoginTimesOutHoweverManyBeginAfterIt) {
  store_.Hold();
  auto first = Dial();
  auto end = std::async(std::launch::async, [&] { return first->End(); });
  int others = 0;
  while (end.wait_for(std::chrono::milliseconds(2)) != std::future_status::ready) {
    Dial("user_" + std::to_string(++others));
    if (others == 1000) {
      ADD_FAILURE() << "it was not closed while others came";
      break;
    }
  }
  EXPECT_EQ(end.get(), "close 1013 Login timed out");
}

// Two sockets of the user at once, on two loops, revoked at any moment of their logins.
TEST_F(EdgeTest, WheneverTheRevocationComesNoSocketOfTheUserStays) {
  for (int round = 0; round < 100; ++round) {
    const std::string user_id = "user_" + std::to_string(round);
    auto first = Dial(user_id);
    auto second = Dial(user_id);
    std::thread revocation([&] { Revoke(user_id); });
    for (Agent* agent : {first.get(), second.get()}) {
      const std::string end = agent->End();
      EXPECT_TRUE(end == "close 1008 Credentials revoked" || end == "close 1008 Invalid credentials" ||
                  end == "close 4001 Replaced by a newer connection")
          << end;
    }
    revocation.join();
    EXPECT_FALSE(registry_.HasLease(user_id));
  }
  EXPECT_EQ(edge_->connections(), 0);
}

}  // namespace
}  // namespace toolwire
