-- One of the request bodies in the file BODIES after the other, to the path PATH_TO_ASK, with pauses of PAUSE_MS.
local bodies = {}
for line in io.lines(os.getenv("BODIES")) do bodies[#bodies + 1] = line end
local requests, next_one = {}, 0
local token, pause_ms = os.getenv("TOKEN"), tonumber(os.getenv("PAUSE_MS"))

function init()
  local headers = { ["Content-Type"] = "application/json" }
  if token ~= "" then headers["Authorization"] = "Bearer " .. token end
  for i, body in ipairs(bodies) do
    requests[i] = wrk.format("POST", os.getenv("PATH_TO_ASK"), headers, body)
  end
end

function request()
  next_one = next_one % #requests + 1
  return requests[next_one]
end

-- wrk asks for pauses wherever this function is there.
if pause_ms > 0 then
  function delay()
    return math.floor(math.random() * 2 * pause_ms + 0.5)
  end
end
