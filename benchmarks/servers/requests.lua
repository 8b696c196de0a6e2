-- One of the request bodies in the file BODIES after the other, to the path PATH_TO_ASK.
local bodies = {}
for line in io.lines(os.getenv("BODIES")) do bodies[#bodies + 1] = line end
local requests, next_one = {}, 0

function init()
  for i, body in ipairs(bodies) do
    requests[i] = wrk.format("POST", os.getenv("PATH_TO_ASK"), { ["Content-Type"] = "application/json" }, body)
  end
end

function request()
  next_one = next_one % #requests + 1
  return requests[next_one]
end
