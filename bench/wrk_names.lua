-- Each request is for another name: n0, n1 and so on in turn, or any of them by chance.
-- wrk ... -- COUNT turn|chance
local requests, at, by_chance = {}, 0, false

function init(args)
  for number = 0, tonumber(args[1]) - 1 do
    wrk.headers["Host"] = "n" .. number
    requests[#requests + 1] = wrk.format()
  end
  by_chance = args[2] == "chance"
  math.randomseed(7)
end

function request()
  if by_chance then
    return requests[math.random(#requests)]
  end
  at = at % #requests + 1
  return requests[at]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{"requests": %d, "seconds": %.6f, "errors": %d, "p50_ms": %.3f, "p99_ms": %.3f, "max_ms": %.3f}\n',
    summary.requests,
    summary.duration / 1e6,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(50) / 1e3,
    latency:percentile(99) / 1e3,
    latency.max / 1e3))
end
