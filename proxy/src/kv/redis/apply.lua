-- Does operations on the entries of one addon, all of them or none.
--
-- KEYS: hash of entries; their order; their times; a scratch key.
-- ARGV: bytes and keys of the quota; bytes that one answer may hold; entries to sweep; 1 if something may be written; then six
-- for each operation: the field (BUCKET/KEY), its letter, the value, what is expected, which of both are there, and the
-- microseconds to live, 0 for ever.
-- The hash has UNTIL:VALUE by field, with UNTIL in microseconds since 1970 or 0, and under the empty field the bytes of all.
-- Answers {'+', bytes, keys, answers…} or {'-', kind, text}.
local hash, order, times, scratch = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local most_bytes, most_keys, most_answer = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local call, writes = redis.call, ARGV[5] == '1'
local clock = call('TIME')
local now = clock[1] * 1000000 + clock[2]
local function text(number) return string.format('%.0f', number) end
local function split(raw)
  local colon = string.find(raw, ':', 1, true)
  return tonumber(string.sub(raw, 1, colon - 1)), string.sub(raw, colon + 1)
end
-- As all stores count: 64 bytes for an entry, and its bucket, key and value.
local function cost(field, value) return 63 + #field + #value end

local bytes = tonumber(call('HGET', hash, '') or '0')
local keys = math.max(call('HLEN', hash) - 1, 0)

if writes then
  -- Fails where the server takes no writes, before anything has changed.
  call('HSET', hash, '', text(bytes))
  -- What the server has evicted is counted anew.
  if call('ZCARD', order) ~= keys then
    call('DEL', order, times)
    bytes, keys = 0, 0
    local all = call('HGETALL', hash)
    for place = 1, #all, 2 do
      local field = all[place]
      if field ~= '' then
        local ends, value = split(all[place + 1])
        call('ZADD', order, 0, field)
        if ends ~= 0 then call('ZADD', times, text(ends), field) end
        bytes, keys = bytes + cost(field, value), keys + 1
      end
    end
  end
end

local undo = {}
local function drop(field, raw)
  local _, value = split(raw)
  call('HDEL', hash, field)
  call('ZREM', order, field)
  call('ZREM', times, field)
  bytes, keys = bytes - cost(field, value), keys - 1
end
local function store(field, old, ends, value)
  if old then drop(field, old) end
  call('HSET', hash, field, text(ends) .. ':' .. value)
  call('ZADD', order, 0, field)
  if ends ~= 0 then call('ZADD', times, text(ends), field) end
  bytes, keys = bytes + cost(field, value), keys + 1
end
local function sweep(most)
  local over = call('ZRANGEBYSCORE', times, '-inf', text(now), 'LIMIT', 0, most)
  for _, field in ipairs(over) do
    local raw = call('HGET', hash, field)
    if raw then drop(field, raw) else call('ZREM', times, field) end
  end
  return #over
end
local function put(field, ends, value)
  while true do
    local old = call('HGET', hash, field)
    local before = 0
    if old then
      local _, was = split(old)
      before = cost(field, was)
    end
    local sum, excess = bytes + cost(field, value) - before, nil
    if sum > most_bytes and sum > bytes then
      excess = text(sum) .. ' bytes, quota ' .. ARGV[1]
    elseif not old and keys + 1 > most_keys then
      excess = text(keys + 1) .. ' keys, quota ' .. ARGV[2]
    else
      undo[#undo + 1] = {field, old}
      store(field, old, ends, value)
      return nil
    end
    if sweep(64) == 0 then return {'-', 'large', excess} end
  end
end

local answers, answered = {'+', 0, 0}, 0
local function refuse(refusal)
  for place = #undo, 1, -1 do
    local field, old = undo[place][1], undo[place][2]
    local there = call('HGET', hash, field)
    if old then
      local ends, value = split(old)
      store(field, there, ends, value)
    elseif there then
      drop(field, there)
    end
  end
  answers = refusal
end
local function one(field, letter, given, expected, flags, ttl)
  local raw = call('HGET', hash, field)
  local ends, found = 0, nil
  if raw then
    ends, found = split(raw)
    if ends ~= 0 and ends <= now then ends, found = 0, nil end
  end
  local fresh = ttl == 0 and 0 or now + ttl
  if letter == 'G' then
    answered = answered + (found and #found or 0)
    if answered > most_answer then return {'-', 'answer', text(answered)} end
    answers[#answers + 1] = found or false
  elseif letter == 'S' or letter == 'I' then
    local free = found == nil
    if letter == 'S' or free then
      local refusal = put(field, fresh, given)
      if refusal then return refusal end
    end
    answers[#answers + 1] = (letter == 'S' or free) and 1 or 0
  elseif letter == 'W' then
    local wanted = nil
    if string.find(flags, 'e', 1, true) then wanted = expected end
    local due = found == wanted
    if due and string.find(flags, 'v', 1, true) then
      local refusal = put(field, fresh, given)
      if refusal then return refusal end
    elseif due and raw then
      undo[#undo + 1] = {field, raw}
      drop(field, raw)
    end
    answers[#answers + 1] = due and 1 or 0
  elseif letter == 'D' then
    if raw then
      undo[#undo + 1] = {field, raw}
      drop(field, raw)
    end
    answers[#answers + 1] = found and 1 or 0
  elseif letter == 'N' then
    local sign, digits = string.match(found or '0', '^([+-]?)0*(%d+)$')
    if not digits or #digits > 19 then return {'-', 'number', ''} end
    -- The server's own numbers have 64 bits, those of scripts have not.
    call('SET', scratch, (sign == '-' and digits ~= '0') and '-' .. digits or digits)
    local sum = redis.pcall('INCRBY', scratch, given)
    local is_sum = type(sum) == 'number'
    local shown = call('GET', scratch)
    call('DEL', scratch)
    if not is_sum then return {'-', string.find(sum.err, 'overflow', 1, true) and 'sum' or 'number', ''} end
    local refusal = put(field, found and ends or fresh, shown)
    if refusal then return refusal end
    answers[#answers + 1] = shown
  end
end

if writes then sweep(tonumber(ARGV[4])) end
for place = 6, #ARGV, 6 do
  local refusal = one(ARGV[place], ARGV[place + 1], ARGV[place + 2], ARGV[place + 3], ARGV[place + 4], tonumber(ARGV[place + 5]))
  if refusal then
    refuse(refusal)
    break
  end
end
if writes then
  if keys == 0 then
    call('DEL', hash, order, times)
  else
    call('HSET', hash, '', text(bytes))
    -- Where all of it expires, nothing is left behind even if nobody comes again.
    local last = call('ZCARD', times) == keys and call('ZRANGE', times, -1, -1, 'WITHSCORES')[2]
    for _, key in ipairs({hash, order, times}) do
      if last then call('PEXPIREAT', key, text(math.floor(last / 1000) + 1)) else call('PERSIST', key) end
    end
  end
end
if answers[1] == '+' then answers[2], answers[3] = text(bytes), text(keys) end
return answers
