-- wrk -s requests.lua URL -- OPERATION FILE SEED
-- Each line of FILE is a caller: kind, token, and the ids of their tasks. Prints the results as a line of JSON.
local callers = { small = {}, large = {}, writer = {} }
local request_of = {}
local operation
local number = 0

local function caller(kind)
  return callers[kind][math.random(#callers[kind])]
end

local function http(method, path, head, body)
  local start = method .. " /api/tasks" .. path .. " HTTP/1.1\r\n" .. head
  if not body then return start .. "\r\n" end
  return start .. "Content-Type: application/json\r\nContent-Length: " .. #body .. "\r\n\r\n" .. body
end

local function body_of(completed)
  number = number + 1
  return '{"title":"Something else to be done, number ' .. number
    .. '","description":"In a few words, what there is to know about it","completed":' .. completed .. "}"
end

local function on_one(method, after, with_body)
  local owner = caller("small")
  local path = "/" .. owner.tasks[math.random(#owner.tasks)] .. after
  return http(method, path, owner.head, with_body and body_of("true"))
end

request_of["get"] = function() return on_one("GET", "") end
request_of["list-20"] = function() return http("GET", "", caller("small").head) end
request_of["list-100"] = function() return http("GET", "", caller("large").head) end
request_of["create"] = function() return http("POST", "", caller("writer").head, body_of("false")) end
request_of["put"] = function() return on_one("PUT", "", true) end
request_of["complete"] = function() return on_one("PATCH", "/complete") end
request_of["mix"] = function()
  local dice = math.random(100)
  if dice <= 70 then return request_of["list-20"]() end
  if dice <= 80 then return request_of["get"]() end
  if dice <= 90 then return request_of["create"]() end
  return request_of["complete"]()
end

function init(arguments)
  operation = request_of[arguments[1]]
  math.randomseed(tonumber(arguments[3]))
  for line in io.lines(arguments[2]) do
    local words = line:gmatch("%S+")
    local kind, token, tasks = words(), words(), {}
    for id in words do tasks[#tasks + 1] = id end
    local head = "Host: 127.0.0.1\r\nAuthorization: Bearer " .. token .. "\r\n"
    table.insert(callers[kind], { head = head, tasks = tasks })
  end
end

function request()
  return operation()
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{"requests":%d,"seconds":%.6f,"p50":%.3f,"p99":%.3f,"slowest":%.3f,"errors":%d,"lost":%d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1000, latency:percentile(99) / 1000,
    latency.max / 1000,
    errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
