-- wrk ... -- BYTES alike|varied: each request has a body of so many bytes, 0 for a GET; all are alike, or no two are.
-- Requests that are alike are built once, as wrk does without a script.
function init(args)
  if args[1] ~= "0" then
    wrk.method = "POST"
    wrk.body = string.rep("u", tonumber(args[1]))
  end
  if args[2] == "varied" then
    request = varied()
  end
end

-- The parts of a request between the places where its number stands: in its path and in its cookie.
function varied()
  local parts, number = {}, os.time() * 1000000  -- so that no later run repeats this one's
  wrk.headers["Cookie"] = "session=@; theme=light"
  for part in (wrk.format(nil, wrk.path .. "/@") .. "@"):gmatch("([^@]*)@") do
    parts[#parts + 1] = part
  end
  return function()
    number = number + 1
    return table.concat(parts, string.format("%.0f", number))
  end
end

-- wrk prints no p99.9, so the figures that the harness reads are written here, on one line of JSON.
function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '{"requests": %d, "seconds": %.6f, "errors": %d, "p50_ms": %.3f, "p99_ms": %.3f, "p999_ms": %.3f}\n',
    summary.requests,
    summary.duration / 1e6,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(50) / 1e3,
    latency:percentile(99) / 1e3,
    latency:percentile(99.9) / 1e3))
end
