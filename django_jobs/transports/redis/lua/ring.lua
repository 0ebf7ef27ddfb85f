-- Add ids with their ranks, and wake one worker for each queue.
--
-- KEYS   for every queue: its sorted set, its wake list
-- ARGV   1 "1": who is there already keeps its rank; else the new one counts
--        then the number of a queue, a rank, and the ids that have it, one behind the other; as often as needed
--
-- At most 1,000 ids, for Lua can pass no more than a few thousand values to a command. Of an id that is named twice the
-- last rank counts.

local only_new = ARGV[1] == '1'
local ID_LENGTH = 16

local members = {}
for index = 2, #ARGV, 3 do
  local queue, rank, ids = tonumber(ARGV[index]), ARGV[index + 1], ARGV[index + 2]
  local some = members[queue] or {}
  for start = 1, #ids, ID_LENGTH do
    some[#some + 1] = rank
    some[#some + 1] = string.sub(ids, start, start + ID_LENGTH - 1)
  end
  members[queue] = some
end

for queue, some in ipairs(members) do
  if only_new then
    redis.call('ZADD', KEYS[2 * queue - 1], 'NX', unpack(some))
  else
    redis.call('ZADD', KEYS[2 * queue - 1], unpack(some))
  end
end
-- Exactly one marker, however often it was rung.
for index = 2, #KEYS, 2 do
  if not redis.call('LINDEX', KEYS[index], 0) then
    redis.call('LPUSH', KEYS[index], 1)
  end
end
