// The caller's side of scripts/bench: keeps N calls in flight over one Dispatch stream (or as unary calls), spread over
// many agents, for a number of seconds, and prints one JSON line: calls/s and latency percentiles.
#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <iterator>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "toolwire/v1/dispatch.grpc.pb.h"

namespace toolwire {
namespace {

using Clock = std::chrono::steady_clock;

struct Flags {
  std::string address = "127.0.0.1:50051";
  std::string ca;  // Empty: plain.
  std::string prefix = "user_";
  int agents = 100;
  int concurrency = 1;
  double seconds = 3;
  double warmup_seconds = 1;
  int params_bytes = 200;
  bool unary = false;
  std::vector<int> pids;
};

// CPU time that the servers have used, user and system, in microseconds.
double ServerCpuUs(const std::vector<int>& pids) {
  double ticks = 0;
  for (const int pid : pids) {
    std::FILE* file = std::fopen(("/proc/" + std::to_string(pid) + "/stat").c_str(), "r");
    if (file == nullptr) continue;
    unsigned long user = 0, system = 0;
    // Fields 14 and 15; the name in field 2 has no blanks in our processes.
    if (std::fscanf(file, "%*d %*s %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) == 2) {
      ticks += static_cast<double>(user + system);
    }
    std::fclose(file);
  }
  return ticks * 1e6 / static_cast<double>(sysconf(_SC_CLK_TCK));
}

std::string Params(const Flags& flags) {
  return R"({"path":")" + std::string(static_cast<size_t>(std::max(flags.params_bytes - 11, 0)), 'x') + R"("})";
}

// What was measured after the warm-up.
struct Result {
  std::vector<uint32_t> latencies_us;
  uint64_t failed = 0;
  double seconds = 0;
  double cpu_us_begin = 0, cpu_us_end = 0;
};

void FillCall(const Flags& flags, std::mt19937* random, const std::string& params, v1::CallToolRequest* call) {
  call->set_user_id(flags.prefix + std::to_string((*random)() % static_cast<unsigned>(flags.agents)));
  call->set_tool("echo");
  call->set_params_json(params);
}

// One stream; every answer starts the next call. Reactions come from gRPC's threads, one at a time for reads.
class StreamLoad final : public grpc::ClientBidiReactor<v1::DispatchRequest, v1::DispatchReply> {
 public:
  explicit StreamLoad(const Flags& flags) : flags_(flags), params_(Params(flags)), started_(flags.concurrency) {}

  Result Run(v1::ToolDispatch::Stub* stub) {
    stub->async()->Dispatch(&context_, this);
    AddHold();
    StartRead(&reply_);
    StartCall();
    begin_ = Clock::now();
    {
      std::lock_guard<std::mutex> lock(mu_);
      for (int i = 0; i < flags_.concurrency; ++i) AddCallLocked(static_cast<uint64_t>(i));
      WriteLocked();
    }
    std::unique_lock<std::mutex> lock(mu_);
    done_wake_.wait(lock, [this] { return done_; });
    if (!status_.ok()) std::fprintf(stderr, "stream: %s\n", status_.error_message().c_str());
    return std::move(result_);
  }

  void OnReadDone(bool ok) override {
    if (!ok) return RemoveHold();
    const Clock::time_point now = Clock::now();
    const double elapsed = std::chrono::duration<double>(now - begin_).count();
    {
      std::lock_guard<std::mutex> lock(mu_);
      const bool measuring = elapsed >= flags_.warmup_seconds;
      if (measuring && !measuring_) {
        measuring_ = true;
        measure_begin_ = now;
        result_.cpu_us_begin = ServerCpuUs(flags_.pids);
      }
      const bool over = elapsed >= flags_.warmup_seconds + flags_.seconds;
      for (const v1::DispatchAnswer& answer : reply_.answers()) {
        const uint64_t slot = answer.id() % static_cast<uint64_t>(flags_.concurrency);
        if (measuring && !over) {
          result_.latencies_us.push_back(static_cast<uint32_t>(
              std::chrono::duration_cast<std::chrono::microseconds>(now - started_[slot]).count()));
          if (!answer.has_response() || !answer.response().success()) ++result_.failed;
        }
        if (over) {
          if (result_.seconds == 0) {
            result_.seconds = std::chrono::duration<double>(now - measure_begin_).count();
            result_.cpu_us_end = ServerCpuUs(flags_.pids);
          }
          if (++stopped_ == flags_.concurrency) ending_ = true;
        } else {
          AddCallLocked(answer.id() + static_cast<uint64_t>(flags_.concurrency));
        }
      }
      WriteLocked();
    }
    StartRead(&reply_);
  }

  void OnWriteDone(bool ok) override {
    std::lock_guard<std::mutex> lock(mu_);
    writing_ = false;
    if (ok) WriteLocked();
  }

  void OnDone(const grpc::Status& status) override {
    std::lock_guard<std::mutex> lock(mu_);
    status_ = status;
    done_ = true;
    done_wake_.notify_all();
  }

 private:
  void AddCallLocked(uint64_t id) {
    v1::DispatchCall* call = waiting_.add_calls();
    call->set_id(id);
    FillCall(flags_, &random_, params_, call->mutable_call());
    started_[id % static_cast<uint64_t>(flags_.concurrency)] = Clock::now();
  }

  void WriteLocked() {
    if (writing_ || half_closed_) return;
    if (waiting_.calls_size() == 0) {
      if (ending_) {
        half_closed_ = true;
        StartWritesDone();
      }
      return;
    }
    outgoing_.Clear();
    outgoing_.Swap(&waiting_);
    writing_ = true;
    StartWrite(&outgoing_);
  }

  const Flags flags_;
  const std::string params_;
  grpc::ClientContext context_;
  v1::DispatchReply reply_;
  std::mutex mu_;
  std::condition_variable done_wake_;
  std::mt19937 random_{42};
  std::vector<Clock::time_point> started_;
  v1::DispatchRequest waiting_, outgoing_;
  Result result_;
  Clock::time_point begin_, measure_begin_;
  int stopped_ = 0;
  bool measuring_ = false, writing_ = false, ending_ = false, half_closed_ = false, done_ = false;
  grpc::Status status_;
};

// Unary calls, as simple callers make them.
class UnaryLoad {
 public:
  UnaryLoad(const Flags& flags, v1::ToolDispatch::Stub* stub) : flags_(flags), params_(Params(flags)), stub_(stub) {}

  Result Run() {
    begin_ = Clock::now();
    for (int i = 0; i < flags_.concurrency; ++i) Next();
    std::unique_lock<std::mutex> lock(mu_);
    done_wake_.wait(lock, [this] { return stopped_ == flags_.concurrency; });
    result_.seconds = flags_.seconds;
    return std::move(result_);
  }

 private:
  struct One {
    grpc::ClientContext context;
    v1::CallToolRequest request;
    v1::CallToolResponse response;
    Clock::time_point started;
  };

  void Next() {
    auto* one = new One;
    {
      std::lock_guard<std::mutex> lock(mu_);
      FillCall(flags_, &random_, params_, &one->request);
    }
    one->started = Clock::now();
    stub_->async()->CallTool(&one->context, &one->request, &one->response,
                             [this, one](const grpc::Status& status) { Done(one, status); });
  }

  void Done(One* one, const grpc::Status& status) {
    const Clock::time_point now = Clock::now();
    const double elapsed = std::chrono::duration<double>(now - begin_).count();
    const bool over = elapsed >= flags_.warmup_seconds + flags_.seconds;
    {
      std::lock_guard<std::mutex> lock(mu_);
      if (elapsed >= flags_.warmup_seconds && !over) {
        if (result_.latencies_us.empty()) result_.cpu_us_begin = ServerCpuUs(flags_.pids);
        result_.latencies_us.push_back(
            static_cast<uint32_t>(std::chrono::duration_cast<std::chrono::microseconds>(now - one->started).count()));
        if (!status.ok() || !one->response.success()) ++result_.failed;
      }
      if (over && stopped_ == 0) result_.cpu_us_end = ServerCpuUs(flags_.pids);
      if (over && ++stopped_ == flags_.concurrency) done_wake_.notify_all();
    }
    delete one;
    if (!over) Next();
  }

  const Flags flags_;
  const std::string params_;
  v1::ToolDispatch::Stub* const stub_;
  std::mutex mu_;
  std::condition_variable done_wake_;
  std::mt19937 random_{42};
  Result result_;
  int stopped_ = 0;
  Clock::time_point begin_;
};

void Print(const Flags& flags, Result result) {
  std::sort(result.latencies_us.begin(), result.latencies_us.end());
  const size_t count = result.latencies_us.size();
  const auto at = [&](double share) {
    return count == 0 ? 0 : result.latencies_us[static_cast<size_t>(share * static_cast<double>(count - 1))];
  };
  const double calls = static_cast<double>(std::max<size_t>(count, 1));
  std::printf(
      "{\"concurrency\":%d,\"agents\":%d,\"unary\":%s,\"calls\":%zu,\"failed\":%llu,\"calls_per_s\":%.0f,"
      "\"p50_us\":%u,\"p99_us\":%u,\"max_us\":%u,\"server_cpu_us_per_call\":%.1f}\n",
      flags.concurrency, flags.agents, flags.unary ? "true" : "false", count,
      static_cast<unsigned long long>(result.failed), result.seconds > 0 ? calls / result.seconds : 0, at(0.5),
      at(0.99), at(1), (result.cpu_us_end - result.cpu_us_begin) / calls);
}

}  // namespace
}  // namespace toolwire

int main(int argc, char** argv) {
  toolwire::Flags flags;
  CLI::App app{"Load for scripts/bench: calls `echo` on user_0 .. user_N-1"};
  app.add_option("--address", flags.address);
  app.add_option("--ca", flags.ca, "PEM file of the server's CA: calls go over TLS");
  app.add_option("--user-prefix", flags.prefix);
  app.add_option("--agents", flags.agents)->check(CLI::Range(1, 1000000));
  app.add_option("--concurrency", flags.concurrency)->check(CLI::Range(1, 100000));
  app.add_option("--seconds", flags.seconds);
  app.add_option("--warmup", flags.warmup_seconds);
  app.add_option("--params-bytes", flags.params_bytes)->check(CLI::Range(11, 16 << 20));
  app.add_flag("--unary", flags.unary);
  app.add_option("--pids", flags.pids, "Server processes whose CPU time counts")->delimiter(',');
  CLI11_PARSE(app, argc, argv);
  auto credentials = grpc::InsecureChannelCredentials();
  if (!flags.ca.empty()) {
    std::ifstream file(flags.ca);
    credentials = grpc::SslCredentials({std::string(std::istreambuf_iterator<char>(file), {}), "", ""});
  }
  const auto stub = toolwire::v1::ToolDispatch::NewStub(grpc::CreateChannel(flags.address, credentials));
  if (flags.unary) {
    toolwire::Print(flags, toolwire::UnaryLoad(flags, stub.get()).Run());
  } else {
    toolwire::StreamLoad load(flags);
    toolwire::Print(flags, load.Run(stub.get()));
  }
  // The last callback may still hold the channel: it would join gRPC's threads, of which it is on one.
  std::fflush(stdout);
  std::_Exit(0);
}
