-- One count that drains evenly: `limit` units in a window. KEYS: the count. ARGV: the limit, the window (µs), the time (µs; below
-- 0: the server's), units that go back, units that were used already, units wanted ahead, then for each amount wanted: the amount,
-- and by how many. Answers with the units given ahead, the level in thousandths, and how many have each amount.
local count = KEYS[1]
local limit, window, now = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
if now < 0 then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000000 + tonumber(time[2])
end
local kept = redis.call('HMGET', count, 'level', 'at', 'limit')
local level, at, pace = tonumber(kept[1]) or 0, tonumber(kept[2]) or now, tonumber(kept[3]) or limit
-- It drains at the pace that it had; a clock that was set back drains nothing.
level = math.max(0, level - math.max(0, now - at) * math.max(pace, 1) / window)
level = math.max(0, level - tonumber(ARGV[4])) + tonumber(ARGV[5])
local answer, is_full = { 0, 0 }, false
for n = 7, #ARGV, 2 do
  local amount, wanted = tonumber(ARGV[n]), tonumber(ARGV[n + 1])
  local have = 0
  if amount == 0 then
    if level < limit then have = wanted end
  else
    -- A millionth of a unit is no reason to refuse: that is how far fractions may be off.
    have = math.max(0, math.min(wanted, math.floor((limit - level + 0.000001) / amount)))
  end
  is_full = is_full or have < wanted
  level = level + have * amount
  answer[#answer + 1] = have
end
if not is_full then
  local ahead = math.max(0, math.min(tonumber(ARGV[6]), math.floor((limit - level) / 16)))
  level = level + ahead
  answer[1] = ahead
end
answer[2] = string.format('%.0f', math.ceil(level * 1000 - 0.001))
redis.call('HSET', count, 'level', string.format('%.17g', level), 'at', string.format('%.0f', math.max(at, now)), 'limit', ARGV[1])
redis.call('PEXPIRE', count, string.format('%.0f', math.ceil(level / math.max(limit, 1) * window / 1000) + 1000))
return answer
