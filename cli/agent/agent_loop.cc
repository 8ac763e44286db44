// An agent's life is a ring of phases: waiting (back-off) -> queued (for its turn to dial) -> dialing (TCP) ->
// upgrading (HTTP) -> open (not logged in) -> connected -> closing -> waiting. The Dialer decides when to dial, and
// where. TCP connections are made here and given to websocketpp.
#include "cli/agent/agent_loop.h"

// clang-format off: before websocketpp, as at the edge, which is in the same program.
#include "edge/ws_utf8.h"
// clang-format on

#include <algorithm>
#include <asio.hpp>
#include <atomic>
#include <deque>
#include <random>
#include <thread>
#include <vector>
#include <websocketpp/client.hpp>
#include <websocketpp/concurrency/none.hpp>
#include <websocketpp/config/core_client.hpp>
#include <websocketpp/logger/stub.hpp>
#include <websocketpp/transport/asio/endpoint.hpp>

#include "absl/container/flat_hash_map.h"
#include "cli/agent/dialer.h"
#include "cli/agent/masking_keys.h"
#include "common/base/timer_wheel.h"
#include "common/process/tcp_heard.h"
#include "common/wire/wire_codec.h"

namespace toolwire {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Duration kTick = milliseconds(100);  // How exact heartbeats and back-offs are.
constexpr size_t kWheelSlots = 1024;           // One turn is 102 s.
constexpr Duration kConnectMax = seconds(10);  // TCP only.
constexpr Duration kLoginMax = seconds(15);    // From the upgrade to the `connected` frame.
constexpr int kSilentHeartbeatsMax = 3;        // Unanswered for so long, a connection counts as dead.
constexpr Duration kGoodbyeMax = seconds(2);   // How long a stopping agent waits for its connections to close.
constexpr int kJsonDepthMax = 1024;            // Deeper than any edge lets through.
constexpr uint32_t kCallsRunningMax = 1024;    // For each agent: sleeps and file tools under way.
constexpr size_t kUnsentMax = 256;             // For each agent: answers that wait for the next connection,
constexpr size_t kUnsentBytesMax = 64u << 20;  // and their bytes.

struct Agent;
struct AgentOfConnection {
  Agent* agent = nullptr;
};

// websocketpp configured for little memory per connection: one thread, no locks, no log, a small read buffer.
struct ClientConfig : websocketpp::config::core_client {
  using type = ClientConfig;
  using base = websocketpp::config::core_client;
  using concurrency_type = websocketpp::concurrency::none;
  using alog_type = websocketpp::log::stub;
  using elog_type = websocketpp::log::stub;
  using rng_type = MaskingKeys;
  using connection_base = AgentOfConnection;  // websocketpp derives its connections from it.
  static const websocketpp::log::level alog_level = 0;
  static const websocketpp::log::level elog_level = 0;
  static const bool enable_multithreading = false;
  static const size_t connection_read_buffer_size = 1024;
  static const size_t max_http_body_size = 1 << 16;
  static const long timeout_open_handshake = 15'000;
  // enable_extensions stays true: without it the client role refuses every server. None is ever offered.

  struct transport_config : base::transport_config {
    using concurrency_type = type::concurrency_type;
    using alog_type = type::alog_type;
    using elog_type = type::elog_type;
    using request_type = base::request_type;
    using response_type = base::response_type;
    using socket_type = websocketpp::transport::asio::basic_socket::endpoint;
    static const bool enable_multithreading = false;  // This one removes the strands.
    static const long timeout_socket_post_init = 0;   // Nothing happens there without TLS.
  };
  using transport_type = websocketpp::transport::asio::endpoint<transport_config>;
};
using Endpoint = websocketpp::client<ClientConfig>;
using ConnectionPtr = Endpoint::connection_ptr;
namespace close_code = websocketpp::close::status;

enum class Phase : uint8_t { kWaiting, kQueued, kDialing, kUpgrading, kOpen, kConnected, kClosing };

// One agent. The phase decides what its timer means: back-off, connect time-out, login time-out or heartbeat.
struct Agent : TimerNode {
  Agent(const AgentLogin& the_login, Duration first_wait) : login(the_login), next_wait(first_wait) {}

  const AgentLogin& login;
  ConnectionPtr con;  // While dialing and later; empty while waiting or queued.
  uint32_t calls_running = 0;
  Phase phase = Phase::kQueued;
  bool connected_once = false;
  Duration next_wait;
  MonoTime last_received{};
  std::vector<std::string> unsent;  // Answers that found no connection, oldest first.
  size_t unsent_bytes = 0;
};

struct Call {
  std::string request_id;
  std::string tool;
  MonoTime started;
};

// A call that takes its time. The loop's own but for `cancelled`, which the worker reads.
struct RunningCall {
  RunningCall(asio::io_context& io, Call the_call) : call(std::move(the_call)), timer(io) {}

  const Call call;
  asio::steady_timer timer;  // Of a sleep; unused by file tools.
  std::atomic<bool> cancelled{false};
};

}  // namespace

class AgentLoop::Impl {
 public:
  Impl(SharedByLoops* shared, double dials_per_second);

  void Add(const AgentLogin& login) { agents_.emplace_back(login, shared_->options.reconnect_min); }
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
  Duration StartWaiting(Agent* agent);
  void Close(Agent* agent, close_code::value code, const char* reason);
  // Connected.
  void OnMessage(Agent* agent, const ClientConfig::message_type& message);
  void OnConnected(Agent* agent, const EdgeFrameText& frame);
  void OnToolCall(Agent* agent, EdgeFrameText* frame);
  void OnToolCancel(Agent* agent, const std::string& request_id);
  std::shared_ptr<RunningCall> Begin(Agent* agent, Call&& call);
  // The tool has ended, by itself or because it was cancelled.
  void End(Agent* agent, const std::shared_ptr<RunningCall>& running, const ToolOutcome& outcome);
  void Answer(Agent* agent, const Call& call, const ToolOutcome& outcome);
  void Heartbeat(Agent* agent, MonoTime now);
  // False, with `*text` left as it was, if the connection is not open.
  bool Send(Agent* agent, std::string* text);
  void SendOrKeep(Agent* agent, std::string answer);

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
  TimerWheel wheel_;
  std::deque<Agent> agents_;
  asio::steady_timer tick_timer_{io_};
  Dialer dialer_;
  // Calls that take their time, by agent and request id. Of two with the same id only the newer can be cancelled.
  absl::flat_hash_map<std::pair<const Agent*, std::string>, std::shared_ptr<RunningCall>> running_;
  size_t open_ = 0;  // Agents in the phases open, connected and closing.
  bool stopping_ = false;
  asio::steady_timer stop_timer_{io_};
};

AgentLoop::Impl::Impl(SharedByLoops* shared, double dials_per_second)
    : shared_(shared),
      random_(MaskingKeys()()),
      wheel_(kTick, kWheelSlots, shared->clock.Now()),
      dialer_(io_, shared->clock, shared->target.host, shared->target.port, dials_per_second) {
  endpoint_.init_asio(&io_);
  endpoint_.set_user_agent("toolwire-agent");
  endpoint_.set_max_message_size(shared->options.frame_bytes_max);
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

Agent* AgentLoop::Impl::AgentOf(const websocketpp::connection_hdl& handle) {
  std::error_code ignored;
  const ConnectionPtr con = endpoint_.get_con_from_hdl(handle, ignored);
  return con != nullptr && con->agent->con == con ? con->agent : nullptr;
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
      agent->con->get_raw_socket().close(ignored);  // Ends the connect with operation_aborted.
      return;
    case Phase::kOpen:
      return Close(agent, close_code::policy_violation, "no `connected` frame");
    case Phase::kConnected:
      return Heartbeat(agent, Now());
    case Phase::kQueued:
    case Phase::kUpgrading:
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
  const auto uri = std::make_shared<websocketpp::uri>(false, target.host_header, target.port,
                                                      target.ResourceFor(agent->login.user_id));
  std::error_code ec;
  agent->con = endpoint_.get_connection(uri, ec);
  if (ec) return ConnectFailed(agent, ec.message());
  agent->con->agent = agent;
  agent->phase = Phase::kDialing;
  agent->con->append_header("Authorization", "Bearer " + agent->login.secret);
  wheel_.Arm(agent, Now() + kConnectMax);
  asio::async_connect(agent->con->get_raw_socket(), addresses,
                      [this, agent, con = agent->con](const std::error_code& error, const asio::ip::tcp::endpoint&) {
                        OnTcpConnect(agent, error);
                      });
}

void AgentLoop::Impl::OnTcpConnect(Agent* agent, const std::error_code& ec) {
  wheel_.Disarm(agent);
  if (stopping_) return;
  if (ec) {
    return ConnectFailed(agent, ec == asio::error::operation_aborted ? "no TCP connection in time" : ec.message());
  }
  agent->phase = Phase::kUpgrading;
  std::error_code ignored;
  agent->con->get_raw_socket().set_option(asio::ip::tcp::no_delay(true), ignored);
  const ConnectionPtr con = agent->con;  // If it fails at once, the agent lets go of it.
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
  ConnectFailed(agent, refused ? "HTTP status " + std::to_string(status) : agent->con->get_ec().message());
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
  const auto wait = std::chrono::duration_cast<milliseconds>(StartWaiting(agent)).count();
  log::Write(shared_->many ? log::Level::kDebug : log::Level::kWarn, "agent cannot connect",
             {{"user", agent->login.user_id}, {"reason", reason}, {"next_try_ms", wait}});
  if (shared_->many) shared_->cannot_connect.Add(Now(), reason);
}

void AgentLoop::Impl::Disconnected(Agent* agent, int code, const std::string& reason) {
  if (agent->phase == Phase::kConnected) --shared_->connected;
  const auto wait = std::chrono::duration_cast<milliseconds>(StartWaiting(agent)).count();
  if (stopping_) {
    if (open_ == 0) io_.stop();
    return;
  }
  log::Write(shared_->each_level, "agent disconnected",
             {{"user", agent->login.user_id}, {"code", code}, {"reason", reason}, {"next_try_ms", wait}});
  if (shared_->many) shared_->disconnected.Add(Now(), std::to_string(code) + " " + reason);
}

Duration AgentLoop::Impl::StartWaiting(Agent* agent) {
  agent->con.reset();
  agent->phase = Phase::kWaiting;
  // Three to five quarters.
  const Duration wait = agent->next_wait * 3 / 4 + ShareOf(agent->next_wait / 2);
  agent->next_wait = std::min(agent->next_wait * 2, shared_->options.reconnect_max);
  wheel_.Arm(agent, Now() + wait);
  return wait;
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
  EdgeFrameText frame = DecodeEdgeFrame(message.get_payload(), kJsonDepthMax);
  switch (frame.type) {
    case EdgeFrameText::Type::kBad:
      return shared_->frames_ignored.Add(agent->last_received, "not understood");
    case EdgeFrameText::Type::kUnknown:
      return shared_->frames_ignored.Add(agent->last_received, "unknown type");
    case EdgeFrameText::Type::kHeartbeatAck:
    case EdgeFrameText::Type::kHelloAck:
      return;
    case EdgeFrameText::Type::kConnected:
      return OnConnected(agent, frame);
    case EdgeFrameText::Type::kToolCall:
      return OnToolCall(agent, &frame);
    case EdgeFrameText::Type::kToolCancel:
      return OnToolCancel(agent, frame.request_id);
  }
}

void AgentLoop::Impl::OnConnected(Agent* agent, const EdgeFrameText& frame) {
  if (agent->phase != Phase::kOpen) return;
  agent->phase = Phase::kConnected;
  agent->next_wait = shared_->options.reconnect_min;
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
  std::string hello = EncodeHello(kCapabilityCancel);
  Send(agent, &hello);
  std::vector<std::string> unsent;
  unsent.swap(agent->unsent);
  agent->unsent_bytes = 0;
  for (std::string& answer : unsent) SendOrKeep(agent, std::move(answer));
}

void AgentLoop::Impl::OnToolCall(Agent* agent, EdgeFrameText* frame) {
  AgentTools::Plan plan = shared_->tools->PlanCall(frame->tool, frame->params_json);
  Call call{std::move(frame->request_id), std::move(frame->tool), agent->last_received};
  const bool later = plan.kind != AgentTools::Plan::Kind::kAnswer;
  if (later && agent->calls_running >= kCallsRunningMax) {
    return Answer(agent, call, {false, "", "agent busy: too many calls under way"});
  }
  if (plan.kind == AgentTools::Plan::Kind::kWait) {
    const auto running = Begin(agent, std::move(call));
    running->timer.expires_after(plan.wait);
    running->timer.async_wait([this, agent, running, outcome = std::move(plan.outcome)](const std::error_code&) {
      End(agent, running, outcome);
    });
  } else if (plan.kind == AgentTools::Plan::Kind::kFile) {
    const auto running = Begin(agent, std::move(call));
    const auto job = [this, agent, running, params = std::string(frame->params_json)] {
      ToolOutcome outcome;
      if (!running->cancelled) outcome = shared_->tools->RunFileTool(running->call.tool, params);
      asio::post(io_, [this, agent, running, outcome = std::move(outcome)] { End(agent, running, outcome); });
    };
    if (!shared_->worker->Submit(job)) End(agent, running, {false, "", "agent busy: too many files asked for"});
  } else {
    Answer(agent, call, plan.outcome);
  }
}

std::shared_ptr<RunningCall> AgentLoop::Impl::Begin(Agent* agent, Call&& call) {
  ++agent->calls_running;
  auto running = std::make_shared<RunningCall>(io_, std::move(call));
  running_.insert_or_assign({agent, running->call.request_id}, running);
  return running;
}

void AgentLoop::Impl::End(Agent* agent, const std::shared_ptr<RunningCall>& running, const ToolOutcome& outcome) {
  --agent->calls_running;
  if (running->cancelled) return;
  const auto found = running_.find({agent, running->call.request_id});
  if (found != running_.end() && found->second == running) running_.erase(found);
  Answer(agent, running->call, outcome);
}

void AgentLoop::Impl::OnToolCancel(Agent* agent, const std::string& request_id) {
  const auto found = running_.find({agent, request_id});
  if (found == running_.end()) return;  // Answered meanwhile.
  const std::shared_ptr<RunningCall> running = std::move(found->second);
  running_.erase(found);
  running->cancelled = true;
  running->timer.cancel();
  ++shared_->cancelled;
  const auto ms = std::chrono::duration_cast<milliseconds>(Now() - running->call.started).count();
  log::Write(shared_->each_level, "tool call cancelled",
             {{"tool", running->call.tool}, {"requestId", request_id}, {"ms", ms}});
}

void AgentLoop::Impl::Answer(Agent* agent, const Call& call, const ToolOutcome& outcome) {
  const auto ms = std::chrono::duration_cast<milliseconds>(Now() - call.started).count();
  if (log::Enabled(shared_->each_level)) {
    log::Write(shared_->each_level, "tool call",
               {{"tool", call.tool}, {"requestId", call.request_id}, {"success", outcome.success}, {"ms", ms}});
  }
  std::string text = EncodeToolResponse(call.request_id, outcome.success, outcome.result_json, outcome.error, ms);
  SendOrKeep(agent, std::move(text));
}

void AgentLoop::Impl::Heartbeat(Agent* agent, MonoTime now) {
  const Duration every = shared_->options.heartbeat_every;
  // Bytes count, not only whole frames: large params may take long on a slow line, or wait here unread.
  if (now - agent->last_received > every * kSilentHeartbeatsMax &&
      SinceHeard(agent->con->get_raw_socket().native_handle()) > every * kSilentHeartbeatsMax) {
    return Close(agent, close_code::going_away, "heartbeats are not answered");
  }
  std::string text = EncodeHeartbeat(shared_->clock.WallMs());
  Send(agent, &text);
  wheel_.Arm(agent, now + every);
}

bool AgentLoop::Impl::Send(Agent* agent, std::string* text) {
  const Endpoint::message_ptr message = agent->con->get_message(websocketpp::frame::opcode::text, 0);
  message->get_raw_payload().swap(*text);
  const std::error_code ec = agent->con->send(message);
  if (!ec) return true;
  message->get_raw_payload().swap(*text);
  return false;
}

void AgentLoop::Impl::SendOrKeep(Agent* agent, std::string answer) {
  // Before `connected` the edge might take it for a stranger's.
  if (agent->phase == Phase::kConnected && Send(agent, &answer)) {
    ++shared_->answered;
    return;
  }
  agent->unsent_bytes += answer.size();
  agent->unsent.push_back(std::move(answer));
  while (agent->unsent.size() > kUnsentMax || (agent->unsent_bytes > kUnsentBytesMax && agent->unsent.size() > 1)) {
    agent->unsent_bytes -= agent->unsent.front().size();
    agent->unsent.erase(agent->unsent.begin());
    shared_->answers_dropped.Add(Now(), agent->login.user_id);
  }
}

AgentLoop::AgentLoop(SharedByLoops* shared, double dials_per_second)
    : impl_(std::make_unique<Impl>(shared, dials_per_second)) {}
AgentLoop::~AgentLoop() = default;
void AgentLoop::Add(const AgentLogin& login) { impl_->Add(login); }
void AgentLoop::Start() { impl_->Start(); }
void AgentLoop::RequestStop() { impl_->RequestStop(); }
void AgentLoop::Join() { impl_->Join(); }

}  // namespace toolwire
