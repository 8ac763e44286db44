// An agent's life is a ring of phases: waiting (back-off) -> queued (for its turn to dial) -> dialing (TCP) ->
// upgrading (HTTP) -> open (not logged in) -> connected -> closing -> waiting. The Dialer decides when to dial, and
// where. TCP connections are made here and given to websocketpp.
#include "cli/agent/agent_loop.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <asio.hpp>
#include <deque>
#include <limits>
#include <random>
#include <thread>

#include "cli/agent/agent_state.h"
#include "cli/agent/dialer.h"
#include "cli/agent/masking_keys.h"
#include "cli/agent/ws_client.h"
#include "common/base/timer_wheel.h"
#include "common/wire/wire_codec.h"

namespace toolwire {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Duration kTick = milliseconds(100);  // How exact heartbeats and back-offs are.
constexpr size_t kWheelSlots = 1024;           // One turn is 102 s.
constexpr Duration kConnectMax = seconds(10);  // TCP only.
constexpr Duration kTlsMax = seconds(30);      // TLS and the upgrade: in a storm an edge lets its handshakes wait.
constexpr Duration kLoginMax = seconds(15);    // From the upgrade to the `connected` frame.
constexpr int kSilentHeartbeatsMax = 3;        // Unanswered for so long, a connection counts as dead.
constexpr Duration kGoodbyeMax = seconds(2);   // How long a stopping agent waits for its connections to close.
// How long answers wait for the edge's hello_ack: while large params keep the line, longer.
constexpr Duration kHelloAckSilence = seconds(2);
constexpr Duration kHelloAckMax = seconds(15);
constexpr int kNotSentMax = 128 << 10;         // For each agent: bytes that the kernel has not sent yet.
constexpr size_t kUnwrittenMax = 256u << 10;   // For each agent: bytes on their way into the kernel; the rest waits.
constexpr int kReplaced = 4001;                // The close code that says that another agent took the place.
// The largest params that an edge can be set to, and their frame: a larger one closes the connection, with 1009. Those
// over the options' limits only fail their call.
constexpr size_t kFrameBytesMax = (256u << 20) + (64u << 10);

using agent_ws::Agent;
using agent_ws::ClientConfig;
using agent_ws::ConnectionPtr;
using agent_ws::Endpoint;
using agent_ws::Phase;
namespace close_code = websocketpp::close::status;

}  // namespace

class AgentLoop::Impl {
 public:
  Impl(SharedByLoops* shared, double dials_per_second);
  ~Impl();

  void Add(const AgentLogin& login) {
    agents_.emplace_back(io_, shared_, login, [this](Agent* agent) { SendAnswers(agent); });
  }
  void Start() {
    thread_ = std::thread([this] { Run(); });
  }
  void RequestStop() {
    asio::post(io_, [this] { Stop(); });
  }
  void Join() { thread_.join(); }

 private:
  void Run();
  void Stop();
  void Tick();
  void OnTimer(Agent* agent);
  // The agent whose connection this is; null if it was an earlier one. (After some failed handshakes websocketpp
  // 0.8.2 reports a connection as failed, then as open, then as closed.)
  Agent* AgentOf(const websocketpp::connection_hdl& handle);
  // Connecting.
  void Enqueue(Agent* agent);
  void Dial(Agent* agent, const Dialer::Addresses& addresses);
  void OnTcpConnect(Agent* agent, const std::error_code& ec);
  void OnOpen(Agent* agent);
  void OnFail(Agent* agent);
  void OnClose(Agent* agent);
  // Both end a connection and start the back-off.
  void ConnectFailed(Agent* agent, const std::string& reason);
  void Disconnected(Agent* agent, int code, const std::string& reason);
  // Lets go of the connection. Returns how long the agent waits: about `wait`.
  Duration StartWaiting(Agent* agent, Duration wait);
  void Close(Agent* agent, close_code::value code, const char* reason);
  // Connected.
  void OnMessage(Agent* agent, const ClientConfig::message_type& message);
  void OnConnected(Agent* agent, const EdgeFrameText& frame);
  void OnHelloAck(Agent* agent, const EdgeFrameText& frame);
  void OnHeartbeatAck(Agent* agent);
  void OnBadFrame(Agent* agent, const std::string& text);
  void Heartbeat(Agent* agent, MonoTime now);
  void AwaitHelloAck(Agent* agent, MonoTime now);
  // False if the connection is not open.
  bool Send(Agent* agent, std::string text);
  // As far as the kernel keeps up.
  void SendAnswers(Agent* agent);

  MonoTime Now() const { return shared_->clock.Now(); }
  // A random share of `whole`.
  Duration ShareOf(Duration whole) {
    return Duration(std::uniform_int_distribution<Duration::rep>(0, whole.count())(random_));
  }

  SharedByLoops* const shared_;
  std::thread thread_;
  // Below: the loop's thread only.
  asio::io_context io_{1};
  Endpoint endpoint_;
  std::minstd_rand random_;
  MaskingKeys masking_keys_;
  TimerWheel wheel_;
  std::deque<Agent> agents_;
  asio::steady_timer tick_timer_{io_};
  Dialer dialer_;
  size_t open_ = 0;  // Agents in the phases open, connected and closing.
  bool stopping_ = false;
  asio::steady_timer stop_timer_{io_};
};

AgentLoop::Impl::Impl(SharedByLoops* shared, double dials_per_second)
    : shared_(shared),
      random_(MaskingKeys()()),
      wheel_(kTick, kWheelSlots, shared->clock.Now()),
      dialer_(io_, shared->clock, shared->target.host, shared->target.port, dials_per_second) {
  endpoint_.transport_context()->io = &io_;
  endpoint_.transport_context()->reading_stopped = [this](const auto& handle) {
    std::error_code ignored;
    const ConnectionPtr con = endpoint_.get_con_from_hdl(handle, ignored);
    return con != nullptr && con->get_state() == websocketpp::session::state::closing;
  };
  endpoint_.transport_context()->shutting_down = [](const auto&) {};
  endpoint_.set_user_agent("toolwire-agent");
  endpoint_.set_max_message_size(kFrameBytesMax);
  using Handle = websocketpp::connection_hdl;
  endpoint_.set_open_handler([this](const Handle& handle) {
    if (Agent* agent = AgentOf(handle)) OnOpen(agent);
  });
  endpoint_.set_fail_handler([this](const Handle& handle) {
    if (Agent* agent = AgentOf(handle)) OnFail(agent);
  });
  endpoint_.set_close_handler([this](const Handle& handle) {
    if (Agent* agent = AgentOf(handle)) OnClose(agent);
  });
  endpoint_.set_message_handler([this](const Handle& handle, const Endpoint::message_ptr& message) {
    if (Agent* agent = AgentOf(handle)) OnMessage(agent, *message);
  });
}

// Connections live in handlers that io_ destroys later, and their messages with them.
AgentLoop::Impl::~Impl() {
  for (Agent& agent : agents_) {
    if (agent.con) agent.con->agent = nullptr;
  }
}

Agent* AgentLoop::Impl::AgentOf(const websocketpp::connection_hdl& handle) {
  std::error_code ignored;
  const ConnectionPtr con = endpoint_.get_con_from_hdl(handle, ignored);
  return con != nullptr && con->agent != nullptr && con->agent->con == con ? con->agent : nullptr;
}

void AgentLoop::Impl::Run() {
  for (Agent& agent : agents_) Enqueue(&agent);
  Tick();
  for (;;) {
    try {
      io_.run();
      return;                            // Stopped.
    } catch (const std::exception& e) {  // One connection's trouble, such as no memory for its frame.
      log::Error("agent loop", {{"exception", e.what()}});
    }
  }
}

void AgentLoop::Impl::Stop() {
  stopping_ = true;
  dialer_.Clear();
  for (Agent& agent : agents_) {
    if (agent.phase == Phase::kOpen || agent.phase == Phase::kConnected) {
      Close(&agent, close_code::going_away, "the agent is stopping");
    }
  }
  if (open_ == 0) return io_.stop();
  stop_timer_.expires_after(kGoodbyeMax);
  stop_timer_.async_wait([this](const std::error_code&) { io_.stop(); });
}

void AgentLoop::Impl::Tick() {
  tick_timer_.expires_after(kTick);
  tick_timer_.async_wait([this](const std::error_code& ec) {
    if (ec) return;
    Tick();
    // An exception must not pass through the wheel.
    wheel_.Advance(Now(), [this](TimerNode* node) noexcept { OnTimer(static_cast<Agent*>(node)); });
  });
}

void AgentLoop::Impl::OnTimer(Agent* agent) {
  if (stopping_) return;
  std::error_code ignored;
  switch (agent->phase) {
    case Phase::kWaiting:
      return Enqueue(agent);
    case Phase::kDialing:
      agent->con->socket().close(ignored);  // Ends the connect with operation_aborted.
      return;
    case Phase::kOpen:
      return Close(agent, close_code::policy_violation, "no `connected` frame");
    case Phase::kConnected:
      if (agent->asked_edge && !agent->calls.knows_edge()) return AwaitHelloAck(agent, Now());
      return Heartbeat(agent, Now());
    case Phase::kUpgrading:
      return agent->con->terminate(websocketpp::error::make_error_code(websocketpp::error::open_handshake_timeout));
    case Phase::kQueued:
    case Phase::kClosing:
      return;  // The queue and websocketpp have time-outs of their own.
  }
}

void AgentLoop::Impl::Enqueue(Agent* agent) {
  agent->phase = Phase::kQueued;
  dialer_.Enqueue([this, agent](const std::error_code& unresolved, const Dialer::Addresses& addresses) {
    if (unresolved) return ConnectFailed(agent, "cannot resolve the host: " + unresolved.message());
    Dial(agent, addresses);
  });
}

void AgentLoop::Impl::Dial(Agent* agent, const Dialer::Addresses& addresses) {
  const AgentTarget& target = shared_->target;
  const auto uri = std::make_shared<websocketpp::uri>(target.tls, target.host_header, target.port,
                                                      target.ResourceFor(agent->login.user_id));
  std::error_code ec;
  agent->con = endpoint_.get_connection(uri, ec);
  if (ec) return ConnectFailed(agent, ec.message());
  agent->con->agent = agent;
  agent->con->Adopt(asio::ip::tcp::socket(io_));
  agent->con->CloseAtOnce();
  agent->phase = Phase::kDialing;
  agent->con->append_header("Authorization", "Bearer " + agent->login.secret);
  wheel_.Arm(agent, Now() + kConnectMax);
  asio::async_connect(agent->con->socket(), addresses,
                      [this, agent, con = agent->con](const std::error_code& error, const asio::ip::tcp::endpoint&) {
                        OnTcpConnect(agent, error);
                      });
}

void AgentLoop::Impl::OnTcpConnect(Agent* agent, const std::error_code& ec) {
  wheel_.Disarm(agent);
  if (stopping_) return;
  if (ec == asio::error::operation_aborted) {
    dialer_.PassOverFirst();
    return ConnectFailed(agent, "no TCP connection in time");
  }
  if (ec) return ConnectFailed(agent, ec.message());
  agent->phase = Phase::kUpgrading;
  std::error_code ignored;
  agent->con->socket().set_option(asio::ip::tcp::no_delay(true), ignored);
  // Small answers do not wait behind megabytes that only the kernel has.
  setsockopt(agent->con->socket().native_handle(), IPPROTO_TCP, TCP_NOTSENT_LOWAT, &kNotSentMax, sizeof kNotSentMax);
  const ConnectionPtr con = agent->con;  // If it fails at once, the agent lets go of it.
  if (shared_->tls) {
    con->socket().native_non_blocking(true, ignored);
    auto stream =
        TlsStream::Connect(*shared_->tls->Current(), con->socket().native_handle(), shared_->target.server_name);
    if (stream == nullptr) return ConnectFailed(agent, "TLS: not a name that a certificate can have");
    con->ConnectTls(std::move(stream));
    wheel_.Arm(agent, Now() + kTlsMax);
  }
  con->start();
}

void AgentLoop::Impl::OnOpen(Agent* agent) {
  agent->phase = Phase::kOpen;
  ++open_;
  if (stopping_) return Close(agent, close_code::going_away, "the agent is stopping");
  agent->last_received = Now();
  wheel_.Arm(agent, agent->last_received + kLoginMax);
  // The headers would be kept as long as the connection; that is 2 kB, and the secret is one of them.
  const_cast<ClientConfig::request_type&>(agent->con->get_request()) = ClientConfig::request_type();
  const_cast<ClientConfig::response_type&>(agent->con->get_response()) = ClientConfig::response_type();
}

void AgentLoop::Impl::OnFail(Agent* agent) {
  const int status = agent->con->get_response_code();
  const bool refused = status != websocketpp::http::status_code::uninitialized &&
                       status != websocketpp::http::status_code::switching_protocols;
  const std::string tls_error = agent->con->tls_error();
  ConnectFailed(agent, !tls_error.empty() ? "TLS: " + tls_error
                       : refused          ? "HTTP status " + std::to_string(status)
                                          : agent->con->get_ec().message());
}

void AgentLoop::Impl::OnClose(Agent* agent) {
  --open_;
  const ConnectionPtr& con = agent->con;
  if (con->get_remote_close_code() != close_code::abnormal_close) {
    Disconnected(agent, con->get_remote_close_code(), con->get_remote_close_reason());
  } else if (con->get_local_close_code() != close_code::abnormal_close) {
    Disconnected(agent, con->get_local_close_code(), con->get_local_close_reason());
  } else {
    Disconnected(agent, close_code::abnormal_close, con->get_ec().message());
  }
}

void AgentLoop::Impl::ConnectFailed(Agent* agent, const std::string& reason) {
  if (stopping_) return;
  const Duration waits = StartWaiting(agent, agent->wait.AfterLoss());
  const auto wait = std::chrono::duration_cast<milliseconds>(waits).count();
  log::Write(shared_->many ? log::Level::kDebug : log::Level::kWarn, "agent cannot connect",
             {{"user", agent->login.user_id}, {"reason", reason}, {"next_try_ms", wait}});
  if (shared_->many) shared_->cannot_connect.Add(Now(), reason);
}

void AgentLoop::Impl::Disconnected(Agent* agent, int code, const std::string& reason) {
  if (agent->phase == Phase::kConnected) --shared_->connected;
  const bool replaced = code == kReplaced;
  const Duration waits = StartWaiting(agent, replaced ? agent->wait.AfterReplaced(Now()) : agent->wait.AfterLoss());
  const auto wait = std::chrono::duration_cast<milliseconds>(waits).count();
  if (stopping_) {
    if (open_ == 0) io_.stop();
    return;
  }
  log::Write(shared_->each_level, "agent disconnected",
             {{"user", agent->login.user_id}, {"code", code}, {"reason", reason}, {"next_try_ms", wait}});
  if (shared_->many) shared_->disconnected.Add(Now(), std::to_string(code) + " " + reason);
  if (!shared_->many && replaced && agent->wait.replaced_first()) {
    log::Warn("another agent of this user is connected",
              {{"user", agent->login.user_id}, {"next_try_ms", wait}});
  }
}

Duration AgentLoop::Impl::StartWaiting(Agent* agent, Duration wait) {
  if (agent->con) agent->con->agent = nullptr;
  agent->con.reset();
  agent->phase = Phase::kWaiting;
  agent->calls.OnDisconnected();
  const Duration varied = wait * 3 / 4 + ShareOf(wait / 2);  // Three to five quarters.
  wheel_.Arm(agent, Now() + varied);
  return varied;
}

void AgentLoop::Impl::Close(Agent* agent, close_code::value code, const char* reason) {
  if (agent->phase == Phase::kConnected) --shared_->connected;
  agent->phase = Phase::kClosing;
  wheel_.Disarm(agent);
  // websocketpp gives the edge 5 s to answer, and calls OnClose in any case. An error: it is closing already.
  std::error_code ignored;
  agent->con->close(code, reason, ignored);
}

void AgentLoop::Impl::OnMessage(Agent* agent, const ClientConfig::message_type& message) {
  agent->last_received = Now();
  if (message.get_opcode() != websocketpp::frame::opcode::text) {
    return shared_->frames_ignored.Add(agent->last_received, "binary");
  }
  // The frame is one level around the params.
  EdgeFrameText frame = DecodeEdgeFrame(message.get_payload(), shared_->options.json_depth_max + 1);
  switch (frame.type) {
    case EdgeFrameText::Type::kBad:
      return OnBadFrame(agent, message.get_payload());
    case EdgeFrameText::Type::kUnknown:
      return shared_->frames_ignored.Add(agent->last_received, "unknown type");
    case EdgeFrameText::Type::kHeartbeatAck:
      return OnHeartbeatAck(agent);
    case EdgeFrameText::Type::kHelloAck:
      return OnHelloAck(agent, frame);
    case EdgeFrameText::Type::kConnected:
      return OnConnected(agent, frame);
    case EdgeFrameText::Type::kToolCall:
      return agent->calls.OnToolCall(frame);
    case EdgeFrameText::Type::kToolCancel:
      return agent->calls.OnToolCancel(frame.request_id);
  }
}

void AgentLoop::Impl::OnConnected(Agent* agent, const EdgeFrameText& frame) {
  if (agent->phase != Phase::kOpen) return;
  agent->phase = Phase::kConnected;
  agent->wait.OnConnected(Now());
  // The first heartbeat comes at a random time, so that many agents do not all beat at once.
  wheel_.Arm(agent, Now() + ShareOf(shared_->options.heartbeat_every));
  ++shared_->connected;
  log::Write(shared_->each_level, "agent connected", {{"user", agent->login.user_id}, {"serverId", frame.server_id}});
  if (!agent->connected_once) {
    agent->connected_once = true;
    const auto total = static_cast<int64_t>(shared_->options.logins.size());
    if (++shared_->connected_once == total && shared_->many) {
      const auto elapsed = std::chrono::duration_cast<milliseconds>(Now() - shared_->started);
      log::Info("all agents connected", {{"count", total}, {"elapsed_ms", elapsed.count()}});
    }
  }
  const AgentOptions& options = shared_->options;
  agent->calls.OnConnected();
  agent->asked_edge = false;
  Send(agent, EncodeHello(kCapabilityCancel | kCapabilityLimits | kCapabilityBusy | kCapabilityTimes,
                          {static_cast<int64_t>(options.params_bytes_max), options.json_depth_max}));
  SendAnswers(agent);
}

void AgentLoop::Impl::OnHelloAck(Agent* agent, const EdgeFrameText& frame) {
  agent->calls.OnHelloAck(frame);
  SendAnswers(agent);
}

// The edge answers in order: one that knew the hello would have acknowledged it before.
void AgentLoop::Impl::OnHeartbeatAck(Agent* agent) {
  if (agent->phase != Phase::kConnected || agent->calls.knows_edge()) return;
  agent->calls.OnNoHelloAck();
  SendAnswers(agent);
}

// A call that is too deep for this agent fails alone and at once, not when its time is over.
void AgentLoop::Impl::OnBadFrame(Agent* agent, const std::string& text) {
  const EdgeFrameText frame = DecodeEdgeFrame(text, std::numeric_limits<int>::max());
  if (frame.type != EdgeFrameText::Type::kToolCall) {
    return shared_->frames_ignored.Add(agent->last_received, "not understood");
  }
  agent->calls.OnDeepToolCall(frame);
}

void AgentLoop::Impl::Heartbeat(Agent* agent, MonoTime now) {
  const Duration every = shared_->options.heartbeat_every;
  // Bytes count, not only whole frames: large params may take long on a slow line, or wait here unread.
  if (now - agent->last_received > every * kSilentHeartbeatsMax &&
      agent->con->SinceHeard() > every * kSilentHeartbeatsMax) {
    return Close(agent, close_code::going_away, "heartbeats are not answered");
  }
  Send(agent, EncodeHeartbeat(shared_->clock.WallMs()));
  wheel_.Arm(agent, now + every);
}

// Of an edge that does not say it, it is taken that it takes what edges take by default.
void AgentLoop::Impl::AwaitHelloAck(Agent* agent, MonoTime now) {
  if (agent->con->SinceHeard() >= kHelloAckSilence || now - agent->asked_at >= kHelloAckMax) {
    agent->calls.OnNoHelloAck();
    SendAnswers(agent);
    return wheel_.Arm(agent, now + shared_->options.heartbeat_every);
  }
  wheel_.Arm(agent, now + kHelloAckSilence);
}

bool AgentLoop::Impl::Send(Agent* agent, std::string text) {
  return agent_ws::SendText(agent->con, masking_keys_(), std::move(text), [this](Agent* written) {
    if (written->con->unwritten == 0) written->calls.OnWritten();
    if (!written->calls.waiting()) return;
    // Later: the write may have failed, and nothing more is to be sent then.
    asio::post(io_, [this, written] { SendAnswers(written); });
  });
}

void AgentLoop::Impl::SendAnswers(Agent* agent) {
  std::string text;
  while (agent->phase == Phase::kConnected && agent->con->unwritten < kUnwrittenMax &&
         agent->con->get_state() == websocketpp::session::state::open && agent->calls.NextFrame(&text)) {
    Send(agent, std::move(text));
  }
  const bool held = agent->phase == Phase::kConnected && !agent->calls.knows_edge() && agent->calls.waiting();
  if (!held || agent->asked_edge) return;
  agent->asked_edge = true;
  agent->asked_at = Now();
  Send(agent, EncodeHeartbeat(shared_->clock.WallMs()));
  wheel_.Arm(agent, agent->asked_at + kHelloAckSilence);
}

AgentLoop::AgentLoop(SharedByLoops* shared, double dials_per_second)
    : impl_(std::make_unique<Impl>(shared, dials_per_second)) {}
AgentLoop::~AgentLoop() = default;
void AgentLoop::Add(const AgentLogin& login) { impl_->Add(login); }
void AgentLoop::Start() { impl_->Start(); }
void AgentLoop::RequestStop() { impl_->RequestStop(); }
void AgentLoop::Join() { impl_->Join(); }

}  // namespace toolwire
