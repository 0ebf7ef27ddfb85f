-- Hand out the ids that are due, best rank first within each queue, queues in the order given.
--
-- KEYS   1 epoch, 2 batch of the taker, then for every queue: its sorted set, its wake list
-- ARGV   1 now, in ticks            2 limit, up to 1,000
--        3 number of the last answer that the taker has received; the next one was lost if it is stored
--        4 seconds to keep the answer
--        5 ticks in a band          6 highest rank
--        then for every queue: its name, how many it gives first; what is missing then comes in the order of the queues
-- Reply  nil                        the epoch is missing: nothing is handed out until the table was rung again
--        {rest, {id, ...}}          rest: ticks until more can be due, 0 when it is now, nil when nothing is known
--
-- All that may fail is read before anything is written, so that a failing take takes nothing.

local epoch, batch = KEYS[1], KEYS[2]
local now, limit, number = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]) + 1
local keep_seconds, band_size, highest = ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])

local ID_LENGTH = 16

local function due_range(band)
  local start = band * band_size
  if band % 2 == 0 then
    return start + band_size - 1 - now, start + band_size - 1
  end
  return start, start + now
end

-- Ticks until the next member of this band is due, or nil.
local function next_due(queue, band)
  local from, to = due_range(band)
  local start = band * band_size
  if band % 2 == 0 then
    local later = redis.call('ZRANGE', queue, from - 1, start, 'BYSCORE', 'REV', 'LIMIT', 0, 1, 'WITHSCORES')
    return later[2] and from - tonumber(later[2])
  end
  local later = redis.call('ZRANGE', queue, to + 1, start + band_size - 1, 'BYSCORE', 'LIMIT', 0, 1, 'WITHSCORES')
  return later[2] and tonumber(later[2]) - to
end

local function earlier(one, other)
  return one and other and math.min(one, other) or one or other
end

-- Look through one queue, hopping from one band that holds something to the next.
-- Return up to `wanted` pairs of id and rank, and the rest. One more than wanted is read: it tells whether more is due.
local function look(queue, wanted)
  local found, rest, low = {}, nil, 0
  while true do
    local first = redis.call('ZRANGE', queue, low, highest, 'BYSCORE', 'LIMIT', 0, 1, 'WITHSCORES')
    if not first[2] then
      return found, rest
    end
    local band = math.floor(tonumber(first[2]) / band_size)
    local from, to = due_range(band)
    local missing = wanted - #found + 1
    local due = redis.call('ZRANGE', queue, from, to, 'BYSCORE', 'LIMIT', 0, missing, 'WITHSCORES')
    for index = 1, #due, 2 do
      if #due[index] ~= ID_LENGTH then
        redis.call('ZREM', queue, due[index])
      elseif #found < wanted then
        found[#found + 1] = {due[index], due[index + 1]}
      end
    end
    if #due == 2 * missing then
      return found, 0
    end
    rest = earlier(rest, next_due(queue, band))
    low = (band + 1) * band_size
  end
end

if redis.call('EXISTS', epoch) == 0 then
  return false
end

local ids, answer = {}, {number}
local given_again = tonumber(redis.call('LINDEX', batch, 0)) == number
if given_again then
  local stored = redis.call('LRANGE', batch, 0, -1)
  for index = 3, #stored, 3 do
    if #stored[index] == ID_LENGTH then
      ids[#ids + 1] = stored[index]
    end
  end
  limit = 0
end

local found_in, rest_of = {}, {}
for index = 3, #KEYS, 2 do
  found_in[index], rest_of[index] = look(KEYS[index], math.min(limit, tonumber(ARGV[index + 5])))
  limit = limit - #found_in[index]
end
for index = 3, #KEYS, 2 do
  local before = #found_in[index]
  if limit > 0 and rest_of[index] == 0 then
    found_in[index], rest_of[index] = look(KEYS[index], before + limit)
    limit = limit - #found_in[index] + before
  end
end

local rest, removals, wakes = nil, {}, {}
for index = 3, #KEYS, 2 do
  local queue, wake, name = KEYS[index], KEYS[index + 1], ARGV[index + 4]
  local found, queue_rest = found_in[index], rest_of[index]
  local members = {}
  for position, pair in ipairs(found) do
    members[position] = pair[1]
    ids[#ids + 1] = pair[1]
    answer[#answer + 1] = name
    answer[#answer + 1] = pair[1]
    answer[#answer + 1] = pair[2]
  end
  if #members > 0 then
    removals[queue] = members
  end
  if queue_rest == 0 then
    wakes[#wakes + 1] = wake
  end
  rest = earlier(rest, queue_rest)
end

for queue, members in pairs(removals) do
  redis.call('ZREM', queue, unpack(members))
end
if not given_again then
  redis.call('DEL', batch)
  if #answer > 1 then
    redis.call('RPUSH', batch, unpack(answer))
    redis.call('EXPIRE', batch, keep_seconds)
  end
end
-- Another idle worker shall see what is left.
for _, wake in ipairs(wakes) do
  if redis.call('EXISTS', wake) == 0 then
    redis.call('LPUSH', wake, 1)
  end
end
return {rest or false, ids}
