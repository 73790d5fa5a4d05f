/**
 * The limits' arithmetic as a script that Redis runs in one step: every limit of a request is looked at, and
 * all are charged or none. The same integers as `limits/*.ts`, so that a decision does not depend on where
 * it is made; a test compares the two on random timelines.
 *
 * Time is the server's own, one clock for the fleet: gateways whose clocks differ by a second would void a
 * limit by the second. It is counted from 2026 in microseconds, since the numbers of Lua are doubles: sixteenths
 * of a microsecond since 1970 would not be exact. A step back of the server's clock shuts nobody out for
 * longer than a window.
 *
 * KEYS: one for each limit, all with one hash tag. ARGV: the time (empty: the server's), the time after which
 * nobody waits for the answer any more (empty: none; a server that hung does not charge what was decided
 * elsewhere meanwhile), and for each limit: kind, algorithm, cost, extra, mitigation in milliseconds and
 * four parameters of the algorithm. Answer: whether all passed (-1: too late), the time, and for each limit:
 * verdict (0 limit, 1 passes, 2 mitigation), units left, ticks to its reset, ticks to retry (-1: never),
 * units granted beyond the cost. A tick is 1/16 microsecond.
 */

/** 2026-01-01T00:00:00Z, seconds since 1970. */
export const EPOCH_SECONDS = 1_767_225_600

export const TICKS_PER_MICROSECOND = 16

export const LIMIT_SCRIPT = `
local EPOCH = ${EPOCH_SECONDS}
local TICKS = ${TICKS_PER_MICROSECOND}
local floor, ceil, min, max = math.floor, math.ceil, math.min, math.max
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = (time[1] - EPOCH) * 1000000 + time[2]
end
local deadline = tonumber(ARGV[2])
if deadline and now > deadline then return { -1, now } end

local function filled(count)
  local list = {}
  for i = 1, count do list[i] = 0 end
  return list
end

local function sum(list)
  local total = 0
  for i = 1, #list do total = total + list[i] end
  return total
end

-- Each algorithm: open (the state as it is now), look (whether cost fits, left, reset, retry), add,
-- settle (returns what is left), pack (numbers to keep, and microseconds for which they matter).

local gcra = {}
function gcra.open(kept, p)
  local ticks = now * TICKS
  local owed, rewound = 0, false
  if kept[1] then
    owed = kept[1] - ticks
    if owed > 0 and kept[2] ~= p[1] then owed = ceil(owed / kept[2]) * p[1] end
    if owed < 0 then owed = 0 end
    if owed > p[3] then owed, rewound = p[3], true end
  end
  return { owed = owed, rewound = rewound }
end
function gcra.look(s, cost, p)
  local due = s.owed + cost * p[1]
  local excess = due - p[2]
  if excess > 0 then
    local retry = excess
    if cost > p[4] then retry = -1 end
    return false, max(0, floor((p[2] - s.owed) / p[1])), excess, retry
  end
  local partial = due % p[1]
  if partial == 0 then partial = p[1] end
  return true, floor((p[2] - due) / p[1]), partial, 0
end
function gcra.add(s, units, p) s.owed = s.owed + units * p[1] end
function gcra.settle(s, delta, p)
  s.owed = min(max(0, s.owed + delta * p[1]), p[3])
  return max(0, floor((p[2] - s.owed) / p[1]))
end
function gcra.pack(s, p) return { now * TICKS + s.owed, p[1] }, s.owed / TICKS end

local sliding = {}
function sliding.open(kept, p)
  local ring, segment = p[3], floor(now / (p[2] * 1000))
  local counts, rewound = filled(ring), false
  local newest = kept[1]
  if newest then
    for i = 1, ring do counts[i] = kept[i + 1] or 0 end
    if segment < newest then
      local total = sum(counts)
      counts, rewound = filled(ring), true
      counts[segment % ring + 1] = total
    else
      for i = 1, min(segment - newest, ring) do counts[(newest + i) % ring + 1] = 0 end
    end
  end
  return { counts = counts, segment = segment, rewound = rewound }
end
local function freed(s, units, p)
  local free = 0
  for i = 1, p[3] do
    free = free + s.counts[(s.segment + i) % p[3] + 1]
    if free >= units then return ((s.segment + i) * p[2] * 1000 - now) * TICKS end
  end
  return ((s.segment + p[3]) * p[2] * 1000 - now) * TICKS
end
function sliding.look(s, cost, p)
  local total = sum(s.counts)
  local excess = total + cost - p[1]
  if excess > 0 then
    local retry = -1
    if cost <= p[1] then retry = freed(s, excess, p) end
    return false, max(0, p[1] - total), freed(s, 1, p), retry
  end
  return true, p[1] - total - cost, freed(s, 1, p), 0
end
function sliding.add(s, units, p)
  local at = s.segment % p[3] + 1
  s.counts[at] = s.counts[at] + units
end
function sliding.settle(s, delta, p)
  local rest = min(delta, p[1] - sum(s.counts))
  for back = 0, p[3] - 1 do
    local at = (s.segment - back) % p[3] + 1
    local count = s.counts[at]
    s.counts[at] = max(0, count + rest)
    rest = rest - (s.counts[at] - count)
    if rest >= 0 then break end
  end
  return max(0, p[1] - sum(s.counts))
end
function sliding.pack(s, p)
  local kept = { s.segment }
  for i = 1, p[3] do kept[i + 1] = s.counts[i] end
  if sum(s.counts) == 0 then return kept, 0 end
  return kept, (s.segment + p[3]) * p[2] * 1000 - now
end

local twoWindow = {}
function twoWindow.open(kept, p)
  local ms = floor(now / 1000)
  local number = floor(ms / p[2])
  local s = { number = number, elapsed = ms - number * p[2], current = 0, previous = 0 }
  if kept[1] then
    local behind = number - kept[1]
    if behind <= 0 then
      s.current, s.previous, s.rewound = kept[2], kept[3], behind < 0
    elseif behind == 1 then
      s.previous = kept[2]
    end
  end
  return s
end
local function later(current, s, units, p)
  local free = p[1] - current - units
  if free >= 0 and s.previous > 0 then
    return max(0, p[2] - floor(free * p[2] / s.previous) - s.elapsed) * 1000 * TICKS
  end
  local rest = p[2] - s.elapsed
  if current == 0 then return rest * 1000 * TICKS end
  local inNext = p[2] - floor((p[1] - units) * p[2] / current)
  return (rest + min(p[2], max(0, inNext))) * 1000 * TICKS
end
function twoWindow.look(s, cost, p)
  local fit = floor((p[1] * p[2] - s.previous * (p[2] - s.elapsed)) / p[2]) - s.current
  if cost <= fit then
    return true, fit - cost, later(s.current + cost, s, fit - cost + 1, p), 0
  end
  local left, retry = max(0, fit), -1
  if cost <= p[1] then retry = later(s.current, s, cost, p) end
  return false, left, later(s.current, s, left + 1, p), retry
end
function twoWindow.add(s, units) s.current = s.current + units end
function twoWindow.settle(s, delta, p)
  s.current = max(0, s.current + delta)
  local _, left = twoWindow.look(s, 0, p)
  return left
end
function twoWindow.pack(s, p)
  if s.current == 0 and s.previous == 0 then return {}, 0 end
  return { s.number, s.current, s.previous }, (2 * p[2] - s.elapsed) * 1000
end

local exact = {}
function exact.open(kept, p)
  local times, rewound = {}, false
  for i = 1, #kept do
    local age = now - kept[i]
    if #times > 0 or age < p[2] * 1000 then
      if age < 0 and #times == 0 then
        times[1], rewound = now, true
      else
        times[#times + 1] = kept[i]
      end
    end
  end
  return { times = times, rewound = rewound }
end
function exact.look(s, cost, p)
  local count, window = #s.times, p[2] * 1000
  local excess = count + cost - p[1]
  if excess > 0 then
    local reset, retry = (window) * TICKS, -1
    if count > 0 then reset = (s.times[1] + window - now) * TICKS end
    if cost <= p[1] then retry = (s.times[excess] + window - now) * TICKS end
    return false, p[1] - count, reset, retry
  end
  local reset = window
  if count > 0 then reset = s.times[1] + window - now end
  return true, p[1] - count - cost, reset * TICKS, 0
end
function exact.add(s, units) for _ = 1, units do s.times[#s.times + 1] = now end end
function exact.settle(s, delta, p)
  for _ = 1, min(delta, p[1] - #s.times) do s.times[#s.times + 1] = now end
  for _ = 1, min(#s.times, -delta) do s.times[#s.times] = nil end
  return p[1] - #s.times
end
function exact.pack(s, p)
  if #s.times == 0 then return {}, 0 end
  -- Not always the last: the clock may have stepped back.
  return s.times, max(unpack(s.times)) + p[2] * 1000 - now
end

local period = {}
function period.open(kept, p)
  local unix = now + EPOCH * 1000000
  local s = { start = p[3], stop = p[4] * 1000, unix = unix, count = 0 }
  if p[2] > 0 then
    s.start = floor(unix / (p[2] * 1000)) * p[2]
    s.stop = (s.start + p[2]) * 1000
  end
  if kept[1] and kept[1] >= s.start then
    s.count, s.rewound = kept[2], kept[1] > s.start
  end
  return s
end
local function untilStop(s) return max(0, s.stop - s.unix) * TICKS end
function period.look(s, cost, p)
  local left = p[1] - s.count
  if cost > left then
    local retry = untilStop(s)
    if cost > p[1] then retry = -1 end
    return false, max(0, left), untilStop(s), retry
  end
  return true, left - cost, untilStop(s), 0
end
function period.add(s, units) s.count = s.count + units end
function period.settle(s, delta, p)
  s.count = max(0, s.count + delta)
  return max(0, p[1] - s.count)
end
function period.pack(s)
  if s.count == 0 then return {}, 0 end
  return { s.start, s.count }, s.stop - s.unix
end

local ALGORITHMS = {
  gcra = gcra, sliding = sliding, ['two-window'] = twoWindow,
  exact = exact, fixed = period, calendar = period,
}

-- What is kept is a line of whole numbers: until when the key is shut out, and the algorithm's own.
local function save(one, key)
  local numbers, matters = one.algorithm.pack(one.state, one.p)
  if matters <= 0 then numbers = {} end
  local lasts = max(matters, one.blocked - now)
  if lasts <= 0 then
    if one.isKept then redis.call('DEL', key) end
    return
  end
  local words = { string.format('%.0f', max(0, one.blocked)) }
  for i = 1, #numbers do words[i + 1] = string.format('%.0f', numbers[i]) end
  local ms = string.format('%.0f', ceil(lasts / 1000) + 1000)
  redis.call('SET', key, table.concat(words, ' '), 'PX', ms)
end

local asked, passes = {}, 1
for i = 1, #KEYS do
  local at = 2 + (i - 1) * 9
  local kept, blocked = {}, 0
  local text = redis.call('GET', KEYS[i])
  if text then
    for word in string.gmatch(text, '%S+') do kept[#kept + 1] = tonumber(word) end
    blocked = table.remove(kept, 1)
  end
  local one = {
    kind = ARGV[at + 1], algorithm = ALGORITHMS[ARGV[at + 2]], cost = tonumber(ARGV[at + 3]),
    extra = tonumber(ARGV[at + 4]), blocked = 0, verdict = 1, left = 0, reset = 0, retry = 0,
    granted = 0, isKept = text ~= false,
  }
  local mitigation = tonumber(ARGV[at + 5]) * 1000
  local p = {}
  for j = 1, 4 do p[j] = tonumber(ARGV[at + 5 + j]) end
  one.p = p
  one.state = one.algorithm.open(kept, p)
  one.isDirty = one.state.rewound
  if mitigation > 0 and blocked > now then
    one.blocked = min(blocked, now + mitigation)
    one.isDirty = one.isDirty or one.blocked < blocked
  end
  if one.kind == 'settle' then
    one.left = one.algorithm.settle(one.state, one.cost, p)
    local _
    _, _, one.reset, one.retry = one.algorithm.look(one.state, 0, p)
    one.isDirty = true
  elseif one.blocked > now then
    one.verdict, one.reset = 2, (one.blocked - now) * TICKS
    one.retry = one.reset
  else
    local fits
    fits, one.left, one.reset, one.retry = one.algorithm.look(one.state, one.cost, p)
    if not fits then
      one.verdict = 0
      if mitigation > 0 then
        one.blocked, one.isDirty = now + mitigation, true
        one.reset, one.retry = mitigation * TICKS, mitigation * TICKS
      end
    end
  end
  if one.verdict ~= 1 and one.kind ~= 'try' then passes = 0 end
  asked[i] = one
end

local answer = { passes, now }
for i = 1, #KEYS do
  local one = asked[i]
  if passes == 1 and one.verdict == 1 and (one.kind == 'charge' or one.kind == 'try') then
    one.granted = min(one.extra, floor(one.left / 2))
    one.left = one.left - one.granted
    if one.cost + one.granted > 0 then
      one.algorithm.add(one.state, one.cost + one.granted, one.p)
      one.isDirty = true
    end
  end
  if one.isDirty then save(one, KEYS[i]) end
  for _, number in ipairs({ one.verdict, one.left, one.reset, one.retry, one.granted }) do
    answer[#answer + 1] = number
  end
end
return answer
`
