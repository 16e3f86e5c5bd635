-- Prints what a run measured as one line of JSON; with ROUTES set, spreads the requests over that many services.
local routes = tonumber(os.getenv("ROUTES") or "0")
if routes > 0 then
  request = function()
    return wrk.format("GET", string.format("/api-%d/members/4711?page=2", math.random(0, routes - 1)))
  end
end

done = function(summary, latency, _)
  local errors = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.status
    + summary.errors.timeout
  io.write(string.format(
    '\nJSON {"requests": %d, "seconds": %.6f, "errors": %d, "p50": %.1f, "p99": %.1f, "p999": %.1f}\n',
    summary.requests, summary.duration / 1e6, errors,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))
end
