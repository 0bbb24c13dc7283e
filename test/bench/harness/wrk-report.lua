-- Prints what wrk has counted as one line of JSON: its own report rounds, and mixes units.
function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\nREPORT {"micros":%d,"requests":%d,"p50":%d,"p99":%d,"failed":%d,"refused":%d}\n',
    summary.duration, summary.requests, latency:percentile(50), latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.timeout, errors.status
  ))
end
