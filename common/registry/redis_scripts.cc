// One record of each user is what all scripts compare: a field of a hash that does not expire, the epoch of the last
// claim. It is even while the lease is held; a release leaves the next one, which is odd, so that whoever still has the
// lease in mind is the older. Redis may have lost the record, or the readable keys that name the edge
// (`agent:{user}:server` and :status, which expire): a claim that cannot know who held the lease, or whose edge does
// not listen, tells all edges. Edges are a set and a key each that expires; a member of the set without its key is
// removed by the next reader. A version before keeps the same epochs, odd ones too, and removes the record at a
// release.

#include "common/registry/redis_scripts.h"

namespace toolwire {
namespace {

// Epochs are microseconds of Redis's clock, 16 digits: exact in Lua's numbers, which are doubles. A key of a wrong type
// counts as none, and is written over.
constexpr char kCommon[] = R"(
local function keys(user, hash)
  return 'agent:' .. user .. ':server', 'agent:' .. user .. ':status', 'toolwire:epochs:' .. hash
end
local function text_in(key)
  local text = redis.pcall('GET', key)
  return type(text) == 'string' and text
end
local function recorded_in(epochs, user)
  return tonumber(redis.call('HGET', epochs, user) or 0)
end
local function write_status(status, ttl)
  redis.call('SET', status, 'connected', 'PX', ttl)
end
local function record(epochs, user, epoch)
  redis.call('HSET', epochs, user, string.format('%.0f', epoch))
end
local function tell(edge, what, epoch, user)
  local channel = edge and 'edge:' .. edge .. ':leases' or 'toolwire:leases'
  return redis.call('PUBLISH', prefix .. channel, string.format('%s %.0f %s', what, epoch, user))
end
local function tell_replaced(holder, edge, epoch, user)
  if holder == edge or holder and tell(holder, 'replaced', epoch, user) > 0 then return end
  tell(false, 'replaced', epoch, user)
end
local function now()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end
)";

// The clock makes epochs grow also after Redis was emptied, the recorded one if the clock was set back. A claim counts
// from when its connection came, so one that had to wait does not end a connection that came later. One that Redis only
// gets to run after its edge has lost the connection, and has perhaps taken it back, is not made.
constexpr char kClaim[] = R"(
local user, hash, edge, ttl, channels, shown, age, until_ = unpack(ARGV)
local present = now()
if present > tonumber(until_) then return string.format('late %.0f', present) end
local server, status, epochs = keys(user, hash)
local last, holder = recorded_in(epochs, user), text_in(server)
local epoch = present - age
if epoch < last and last <= present and holder and holder ~= edge then return 'newer' end
if epoch <= last then epoch = last + 1 end
epoch = epoch + epoch % 2
redis.call('SET', server, edge, 'PX', ttl)
if shown ~= '' then write_status(status, ttl) end
record(epochs, user, epoch)
if holder or last % 2 == 0 then tell_replaced(holder, edge, epoch, user) end
if channels ~= '' then tell(edge, 'claimed', epoch, user) end
return string.format('%.0f', epoch)
)";

// The replaced server takes a lease without an epoch: it gets one here, so that ours is the older. A user whose keys
// are broken stops none of the others.
constexpr char kRefresh[] = R"(
local edge, ttl, channels, shown = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local function refresh(user, hash, epoch)
  local server, status, epochs = keys(user, hash)
  local recorded, holder = recorded_in(epochs, user), text_in(server)
  if holder and holder ~= edge and recorded == epoch then
    recorded = epoch + 2
    record(epochs, user, recorded)
  end
  if recorded > epoch then return recorded end
  if holder == edge then
    redis.call('PEXPIRE', server, ttl)
  else
    redis.call('SET', server, edge, 'PX', ttl)
  end
  if shown ~= '' and redis.call('PEXPIRE', status, ttl) == 0 then write_status(status, ttl) end
  if recorded == epoch then return 0 end
  record(epochs, user, epoch)
  tell_replaced(holder ~= edge and holder, edge, epoch, user)
  if channels ~= '' then tell(edge, 'claimed', epoch, user) end
  return 1
end
local outcomes = {}
for i = 5, #ARGV, 3 do
  local done, outcome = pcall(refresh, ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2]))
  if not done then outcome = type(outcome) == 'table' and outcome.err or tostring(outcome) end
  outcomes[#outcomes + 1] = outcome
end
return outcomes
)";

constexpr char kRelease[] = R"(
local user, hash, edge, epoch = unpack(ARGV)
local server, status, epochs = keys(user, hash)
local recorded, holder = recorded_in(epochs, user), text_in(server)
epoch = tonumber(epoch)
if recorded > epoch then return (holder or recorded % 2 == 0) and 0 or 1 end
if recorded < epoch and recorded > 0 then return 1 end
record(epochs, user, epoch + 1)
if holder and holder ~= edge then return 0 end
redis.call('DEL', server, status)
return 1
)";

constexpr char kLookup[] = R"(
local server, status, epochs = keys(ARGV[1], ARGV[2])
local holder = text_in(server)
if not holder or redis.call('EXISTS', 'edge:' .. holder) == 0 then return false end
return {holder, redis.call('HGET', epochs, ARGV[1]) or '0'}
)";

// Where it serves the old channels, whose names are given, an edge also writes of which environment it is: into
// database 0, whatever its own is, as channels know no databases. `take`: if nobody else has.
constexpr char kAnnounce[] = R"(
local edge, value, ttl, environment, take, database = unpack(ARGV)
local before = text_in('edge:' .. edge)
redis.call('SET', 'edge:' .. edge, value, 'PX', ttl)
local added = redis.pcall('SADD', 'toolwire:edges', edge)
if type(added) == 'table' then
  if string.find(added.err, 'WRONGTYPE', 1, true) then redis.call('DEL', 'toolwire:edges') end
  redis.call('SADD', 'toolwire:edges', edge)
end
if redis.call('EXISTS', 'toolwire:generation') == 0 then
  redis.call('SET', 'toolwire:generation', string.format('%.0f', now()))
  redis.call('PUBLISH', prefix .. 'toolwire:leases', 'emptied ' .. edge)
end
if before ~= value then redis.call('PUBLISH', prefix .. 'toolwire:edges', edge) end
if environment == '' then return {before, ''} end
if database ~= '0' then redis.call('SELECT', 0) end
local other = text_in('toolwire:old-channels')
if other == environment or not other and take ~= '' then
  redis.call('SET', 'toolwire:old-channels', environment, 'PX', ttl)
  other = ''
end
return {before, other or 'nobody'}
)";

constexpr char kLeave[] = R"(
local edge, value = unpack(ARGV)
if text_in('edge:' .. edge) ~= value then return 0 end
redis.call('DEL', 'edge:' .. edge)
redis.call('SREM', 'toolwire:edges', edge)
redis.call('PUBLISH', prefix .. 'toolwire:edges', edge)
return 1
)";

constexpr char kEdges[] = R"(
local found = {}
for _, edge in ipairs(redis.call('SMEMBERS', 'toolwire:edges')) do
  local value = text_in('edge:' .. edge)
  if value then
    found[#found + 1] = edge
    found[#found + 1] = value
  else
    redis.call('SREM', 'toolwire:edges', edge)
  end
end
return found
)";

// Epochs are times: a record is as old as it says. Those of leases that have expired go, too. A login with the rights
// of a version before may not do this, which must not look like a Redis that refuses writes.
constexpr char kSweep[] = R"(
local epochs = 'toolwire:epochs:' .. ARGV[1]
local old, removed, cursor = now() - ARGV[2], 0, '0'
repeat
  local page = redis.pcall('HSCAN', epochs, cursor, 'COUNT', 1000)
  if page.err then return page.err end
  cursor = page[1]
  for i = 1, #page[2], 2 do
    local user, epoch = page[2][i], tonumber(page[2][i + 1])
    if epoch < old and redis.call('EXISTS', (keys(user, ''))) == 0 then
      removed = removed + redis.call('HDEL', epochs, user)
    end
  end
until cursor == '0'
return removed
)";

// No user and no edge has these keys, and nobody listens to this channel.
constexpr char kProbe[] = R"(
redis.call('SET', 'toolwire:probe', '1', 'PX', 60000)
redis.call('PUBLISH', prefix .. 'toolwire:probe', '')
return redis.call('DEL', 'agent::server', 'agent::status', 'edge:')
)";

// A Redis that takes no keys takes messages all the same.
constexpr char kAnswer[] = R"(
local name, channel, text, life = unpack(ARGV)
local said = 'toolwire:said:' .. name
if redis.pcall('SET', said, '1', 'NX', 'PX', life) == false then return 1 end
local receivers = redis.call('PUBLISH', channel, text)
if receivers == 0 then redis.pcall('DEL', said) end
return receivers
)";

}  // namespace

std::vector<std::string> RegistryScripts(const std::string& prefix) {
  std::vector<std::string> all;
  for (const char* script : {kClaim, kRefresh, kRelease, kLookup, kAnnounce, kLeave, kEdges, kSweep, kProbe, kAnswer}) {
    all.push_back("local prefix = '" + prefix + "'" + kCommon + script);
  }
  return all;
}

}  // namespace toolwire
