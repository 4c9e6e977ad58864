-- How many of one subject's permits each gateway has. KEYS: the subject. ARGV: the gateway, the number of this write, how many it
-- has out, how many it wants, the limit, for how long its word counts (ms). Answers with how many it may have out.
local subject, gateway, write = KEYS[1], ARGV[1], tonumber(ARGV[2])
local out, wanted, limit, lives = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local others = 0
local all = redis.call('HGETALL', subject)
for n = 1, #all, 2 do
  local has, ends, number = string.match(all[n + 1], '^(%d+):(%d+):(%d+)$')
  if all[n] == gateway then
    -- A write that was overtaken by a later one (on another connection) is old news.
    if tonumber(number) >= write then return tonumber(has) end
  elseif tonumber(ends) < now then
    redis.call('HDEL', subject, all[n])
  else
    others = others + tonumber(has)
  end
end
local share = math.max(out, math.min(wanted, limit - others))
if share > 0 then
  redis.call('HSET', subject, gateway, string.format('%.0f:%.0f:%.0f', share, now + lives, write))
  redis.call('PEXPIRE', subject, lives)
else
  redis.call('HDEL', subject, gateway)
end
return share
