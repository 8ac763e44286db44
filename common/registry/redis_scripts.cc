// A lease is `agent:{user}:server` with an expiry, and its epoch a field of a hash that does not expire. A lease is
// current if both name this edge and this epoch; each script compares and changes them in one step. Edges are a set and
// a key each that expires; a member of the set without its key is removed by the next reader.

#include "common/registry/redis_scripts.h"

namespace toolwire {
namespace {

// Epochs are microseconds of Redis's clock, 16 digits: exact in Lua's numbers, which are doubles.
constexpr char kCommon[] = R"(
local function keys(user, hash)
  return 'agent:' .. user .. ':server', 'agent:' .. user .. ':status', 'toolwire:epochs:' .. hash
end
local function tell(edge, what, epoch, user)
  redis.call('PUBLISH', 'edge:' .. edge .. ':leases', string.format('%s %.0f %s', what, epoch, user))
end
)";

// The clock makes epochs grow also after Redis was emptied, the recorded one if the clock was set back.
constexpr char kClaim[] = R"(
local user, hash, edge, ttl, channels = unpack(ARGV)
local server, status, epochs = keys(user, hash)
local time = redis.call('TIME')
local epoch = time[1] * 1000000 + time[2]
local last = tonumber(redis.call('HGET', epochs, user) or 0)
if epoch <= last then epoch = last + 1 end
local text = string.format('%.0f', epoch)
local holder = redis.call('GET', server)
redis.call('SET', server, edge, 'PX', ttl)
redis.call('SET', status, 'connected', 'PX', ttl)
redis.call('HSET', epochs, user, text)
if holder and holder ~= edge then tell(holder, 'replaced', epoch, user) end
if channels ~= '' then tell(edge, 'claimed', epoch, user) end
return text
)";

// The replaced server takes a lease without an epoch: it gets one here, so that ours is the older.
constexpr char kRefresh[] = R"(
local edge, ttl, channels = ARGV[1], ARGV[2], ARGV[3]
local outcomes = {}
for i = 4, #ARGV, 3 do
  local user, epoch = ARGV[i], tonumber(ARGV[i + 2])
  local server, status, epochs = keys(user, ARGV[i + 1])
  local holder = redis.call('GET', server)
  local recorded = tonumber(redis.call('HGET', epochs, user) or 0)
  local outcome = 0
  if holder and holder ~= edge and recorded == epoch then
    recorded = epoch + 1
    redis.call('HSET', epochs, user, string.format('%.0f', recorded))
  end
  if recorded > epoch then
    outcome = recorded
  elseif holder == edge and recorded == epoch then
    redis.call('PEXPIRE', server, ttl)
    if redis.call('PEXPIRE', status, ttl) == 0 then redis.call('SET', status, 'connected', 'PX', ttl) end
  else
    outcome = 1
    redis.call('SET', server, edge, 'PX', ttl)
    redis.call('SET', status, 'connected', 'PX', ttl)
    redis.call('HSET', epochs, user, string.format('%.0f', epoch))
    if holder and holder ~= edge then tell(holder, 'replaced', epoch, user) end
    if channels ~= '' then tell(edge, 'claimed', epoch, user) end
  end
  outcomes[#outcomes + 1] = outcome
end
return outcomes
)";

constexpr char kRelease[] = R"(
local user, hash, edge, epoch = unpack(ARGV)
local server, status, epochs = keys(user, hash)
local recorded = redis.call('HGET', epochs, user)
if recorded and recorded ~= epoch then return tonumber(recorded) < tonumber(epoch) and 1 or 0 end
redis.call('HDEL', epochs, user)
local holder = redis.call('GET', server)
if holder and holder ~= edge then return 0 end
redis.call('DEL', server, status)
return 1
)";

constexpr char kLookup[] = R"(
local server, status, epochs = keys(ARGV[1], ARGV[2])
local holder = redis.call('GET', server)
if not holder or redis.call('EXISTS', 'edge:' .. holder) == 0 then return false end
return {holder, redis.call('HGET', epochs, ARGV[1]) or '0'}
)";

constexpr char kAnnounce[] = R"(
local edge, value, ttl = unpack(ARGV)
local before = redis.call('GET', 'edge:' .. edge)
redis.call('SET', 'edge:' .. edge, value, 'PX', ttl)
redis.call('SADD', 'toolwire:edges', edge)
if before ~= value then redis.call('PUBLISH', 'toolwire:edges', edge) end
return before
)";

constexpr char kLeave[] = R"(
local edge, value = unpack(ARGV)
if redis.call('GET', 'edge:' .. edge) ~= value then return 0 end
redis.call('DEL', 'edge:' .. edge)
redis.call('SREM', 'toolwire:edges', edge)
redis.call('PUBLISH', 'toolwire:edges', edge)
return 1
)";

constexpr char kEdges[] = R"(
local found = {}
for _, edge in ipairs(redis.call('SMEMBERS', 'toolwire:edges')) do
  local value = redis.call('GET', 'edge:' .. edge)
  if value then
    found[#found + 1] = edge
    found[#found + 1] = value
  else
    redis.call('SREM', 'toolwire:edges', edge)
  end
end
return found
)";

}  // namespace

const std::vector<std::string>& RegistryScripts() {
  static const std::vector<std::string>* const scripts = [] {
    auto* const all = new std::vector<std::string>;
    for (const char* script : {kClaim, kRefresh, kRelease, kLookup, kAnnounce, kLeave, kEdges}) {
      all->push_back(std::string(kCommon) + script);
    }
    return all;
  }();
  return *scripts;
}

}  // namespace toolwire
