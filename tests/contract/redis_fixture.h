// A Redis server of a test's own and registries of processes that share it.
#ifndef TOOLWIRE_TESTS_CONTRACT_REDIS_FIXTURE_H_
#define TOOLWIRE_TESTS_CONTRACT_REDIS_FIXTURE_H_

#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/registry/redis_registry.h"
#include "tests/support/await.h"
#include "tests/support/redis_server.h"

namespace toolwire {

// A registry as one process has it, and what it received.
class Node {
 public:
  Node(RedisRegistry::Options options, std::string id)
      : id_(std::move(id)), registry_(*RedisRegistry::Create(options)) {}
  ~Node() { registry_->Leave(id_, InTime()); }

  void Join(const std::string& instance = "instance") {
    registry_->Join({id_, id_ + ":50052", instance},
                    {[this](const std::string& user_id, uint64_t epoch) {
                       std::lock_guard<std::mutex> lock(mu_);
                       replaced_[user_id] = epoch;
                       held_.erase(user_id);
                     },
                     [this] {
                       ++restored_;
                       Refresh();
                     },
                     [this](const std::string& user_id, std::string message, MonoTime) {
                       std::lock_guard<std::mutex> lock(mu_);
                       EXPECT_TRUE(held_.count(user_id)) << "a message before the claim was answered";
                       commands_.push_back(std::move(message));
                     }});
  }

  // Begins to claim.
  Answer<absl::StatusOr<uint64_t>> StartClaim(const std::string& user_id) {
    Answer<absl::StatusOr<uint64_t>> answer;
    registry_->Claim(user_id, id_, [this, user_id, answer](absl::StatusOr<uint64_t> epoch) {
      if (epoch.ok()) {
        std::lock_guard<std::mutex> lock(mu_);
        held_[user_id] = *epoch;
      }
      answer(std::move(epoch));
    });
    return answer;
  }
  uint64_t Claim(const std::string& user_id) {
    const absl::StatusOr<uint64_t> epoch = StartClaim(user_id).Take();
    EXPECT_TRUE(epoch.ok()) << epoch.status();
    return epoch.value_or(0);
  }
  void Hold(const std::string& user_id, uint64_t epoch) {
    std::lock_guard<std::mutex> lock(mu_);
    held_[user_id] = epoch;
  }
  void Release(const std::string& user_id) {
    uint64_t epoch = 0;
    {
      std::lock_guard<std::mutex> lock(mu_);
      epoch = held_[user_id];
      held_.erase(user_id);
    }
    registry_->Release(user_id, id_, epoch, {});
  }
  void Refresh() {
    std::vector<Registry::Held> held;
    {
      std::lock_guard<std::mutex> lock(mu_);
      for (const auto& [user_id, epoch] : held_) held.push_back({user_id, epoch});
    }
    registry_->Refresh(id_, std::move(held));
  }
  absl::StatusOr<std::optional<Lease>> Lookup(const std::string& user_id) {
    Answer<absl::StatusOr<std::optional<Lease>>> answer;
    registry_->Lookup(user_id, answer);
    return answer.Take();
  }
  std::string EdgeOf(const std::string& user_id) {
    const auto lease = Lookup(user_id);
    return lease.ok() && *lease ? (*lease)->edge_id : "";
  }

  void AwaitConnected() {
    Await([this] { return registry_->connected(); });
  }
  void AwaitLost() {
    Await([this] { return !registry_->connected(); });
  }
  uint64_t replaced(const std::string& user_id) {
    std::lock_guard<std::mutex> lock(mu_);
    return replaced_[user_id];
  }
  std::vector<std::string> commands() {
    std::lock_guard<std::mutex> lock(mu_);
    return commands_;
  }
  int restored() const { return restored_; }
  RedisRegistry& registry() { return *registry_; }

 private:
  const std::string id_;
  std::mutex mu_;
  std::map<std::string, uint64_t> held_;      // Guarded by mu_, as are the next two.
  std::map<std::string, uint64_t> replaced_;  // By the epoch.
  std::vector<std::string> commands_;
  std::atomic<int> restored_{0};
  const std::unique_ptr<RedisRegistry> registry_;
};

class RedisTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!RedisServer::Installed()) GTEST_SKIP() << "redis-server is not installed";
    server_ = MakeServer();
    options_ = server_->options();
    // Long, as a busy machine is not an unavailable Redis; tests of that set a shorter one.
    options_.command_timeout = options_.claim_wait_max = kAwaitDeadline;
  }
  virtual std::unique_ptr<RedisServer> MakeServer() { return std::make_unique<RedisServer>(); }
  std::unique_ptr<Node> MakeEdge(const std::string& id) {
    auto node = std::make_unique<Node>(options_, id);
    node->Join();
    node->AwaitConnected();
    return node;
  }

  std::unique_ptr<RedisServer> server_;
  RedisRegistry::Options options_;
};

}  // namespace toolwire

#endif  // TOOLWIRE_TESTS_CONTRACT_REDIS_FIXTURE_H_
