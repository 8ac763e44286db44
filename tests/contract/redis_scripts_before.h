// The scripts of the version before leases had a record that outlives them, as edges run them beside edges of this one
// during a rolling upgrade.
#ifndef TOOLWIRE_TESTS_CONTRACT_REDIS_SCRIPTS_BEFORE_H_
#define TOOLWIRE_TESTS_CONTRACT_REDIS_SCRIPTS_BEFORE_H_

namespace toolwire {

inline constexpr char kBeforeCommon[] = R"(
local function keys(user, hash)
  return 'agent:' .. user .. ':server', 'agent:' .. user .. ':status', 'toolwire:epochs:' .. hash
end
local function tell(edge, what, epoch, user)
  redis.call('PUBLISH', 'edge:' .. edge .. ':leases', string.format('%s %.0f %s', what, epoch, user))
end
)";

inline constexpr char kBeforeClaim[] = R"(
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

inline constexpr char kBeforeRefresh[] = R"(
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

inline constexpr char kBeforeRelease[] = R"(
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

inline constexpr char kBeforeLookup[] = R"(
local server, status, epochs = keys(ARGV[1], ARGV[2])
local holder = redis.call('GET', server)
if not holder or redis.call('EXISTS', 'edge:' .. holder) == 0 then return false end
return {holder, redis.call('HGET', epochs, ARGV[1]) or '0'}
)";

}  // namespace toolwire

#endif  // TOOLWIRE_TESTS_CONTRACT_REDIS_SCRIPTS_BEFORE_H_
