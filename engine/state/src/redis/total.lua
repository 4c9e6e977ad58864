-- What gateways spent and hold in one total. Each writes what is its own, as a whole, under its own name; the sum is kept beside.
-- The numbers are added by the server as 64-bit integers and never become Lua numbers, which would round above 2^53.
-- KEYS: the total. ARGV: the gateway, the number of this write, its part, the threshold told, for how long it is kept (s, 0: for
-- good), whether it is the gateway's last write.
local total, gateway, write, part = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local own = redis.call('HGET', total, gateway)
local last = redis.call('HGET', total, 'n:' .. gateway)
-- A write that was overtaken by a later one (on another connection) is old news.
if not last or tonumber(last) < tonumber(write) then
  -- Added first: where the sum would not fit, nothing has changed yet.
  redis.call('HINCRBY', total, 'sum', part)
  if own then
    redis.call('HINCRBY', total, 'sum', '-' .. own)
  end
  if ARGV[6] == '1' then
    redis.call('HDEL', total, gateway, 'n:' .. gateway)
  else
    redis.call('HSET', total, gateway, part, 'n:' .. gateway, write)
  end
  own = part
end
local told = redis.call('HGET', total, 'told') or '0'
if tonumber(ARGV[4]) > tonumber(told) then
  told = ARGV[4]
  redis.call('HSET', total, 'told', told)
end
if ARGV[5] ~= '0' then
  redis.call('EXPIRE', total, ARGV[5])
end
return { redis.call('HGET', total, 'sum'), own, last or '0', told }
