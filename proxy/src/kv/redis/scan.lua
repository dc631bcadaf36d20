-- Some entries of a bucket, in the order of their keys.
--
-- KEYS: hash of entries; their order. ARGV: BUCKET/; prefix; the key after which it goes on, or nothing; entries of a page; bytes
-- of a page; expired entries to pass over. Answers {next or nothing, key, value, key, value…}.
local hash, order = KEYS[1], KEYS[2]
local bucket, prefix, after = ARGV[1], ARGV[2], ARGV[3]
local most, most_bytes, passed = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local first = after == '' and '[' .. bucket .. prefix or '(' .. bucket .. after
local fields = redis.call('ZRANGEBYLEX', order, first, '(' .. bucket .. prefix .. '\255', 'LIMIT', 0, most + passed + 1)
local page, bytes, last, visited = {''}, 0, '', 0
for _, field in ipairs(fields) do
  local raw = redis.call('HGET', hash, field)
  local key = string.sub(field, #bucket + 1)
  local colon = raw and string.find(raw, ':', 1, true)
  local ends = raw and tonumber(string.sub(raw, 1, colon - 1))
  local size = raw and #key + #raw - colon or 0
  local entries = (#page - 1) / 2
  if entries == most or visited - entries == passed or (entries > 0 and bytes + size > most_bytes) then
    page[1] = last
    return page
  end
  last, visited = key, visited + 1
  if raw and (ends == 0 or ends > now) then
    bytes = bytes + size
    page[#page + 1] = key
    page[#page + 1] = string.sub(raw, colon + 1)
  end
end
return page
