-- Asks Signet whether a request may pass, as /etc/apache2/signet.lua. An error in here is Apache's 500: nothing passes.

local http = require "socket.http"
local ltn12 = require "ltn12"

http.TIMEOUT = 3
local VERIFY = "http://127.0.0.1:8000/v1/verify?"
local IDENTITY = {
    "X-Auth-User", "X-Auth-User-Id", "X-Auth-Groups", "X-Auth-Permissions", "X-Auth-Session", "X-Auth-Token",
}
-- What belongs to the connection or the body, and what would contradict the request's own method and path.
local NOT_ASKED = {
    "connection", "keep-alive", "te", "trailer", "upgrade", "expect", "transfer-encoding", "content-length",
    "x-original-method", "x-original-uri", "proxy-connection", "host",
}

function verify(r)
    local fields = {}
    for name, value in pairs(r:headers_in_table()) do
        name = name:lower()
        if name:match("^x[^a-z0-9]auth") then
            r.headers_in[name] = nil
        else
            fields[name] = value
        end
    end
    -- A client that names a field here has it taken out on the way, even one that Signet has set.
    local connection = (fields["connection"] or ""):lower()
    r.headers_in["Connection"] = connection:find("close") and "close" or fields["upgrade"] and "Upgrade" or nil
    local query = r.subprocess_env["SIGNET"]
    if query == "public" then return apache2.OK end
    if not query then return 503 end

    for _, name in ipairs(NOT_ASKED) do fields[name] = nil end
    fields["connection"] = "close"
    fields["x-forwarded-method"] = r.method
    fields["x-forwarded-uri"] = r.unparsed_uri
    fields["x-forwarded-for"] = r.useragent_ip
    fields["x-forwarded-host"] = r.hostname
    fields["x-forwarded-proto"] = r.is_https and "https" or "http"
    local _, status, answer = http.request{
        url = VERIFY .. query, headers = fields, redirect = false, sink = ltn12.sink.null(),
    }
    if status ~= 204 and status ~= 302 and status ~= 401 and status ~= 403 then return 503 end

    -- A session that is renewed gets its new cookie.
    if answer["set-cookie"] then r.err_headers_out["Set-Cookie"] = answer["set-cookie"] end
    if status == 204 then
        for _, name in ipairs(IDENTITY) do
            local value = answer[name:lower()]
            if value and value ~= "" then r.headers_in[name] = value end
        end
        return apache2.OK
    end
    r.err_headers_out["Cache-Control"] = "no-store"
    if answer["location"] then r.headers_out["Location"] = answer["location"] end
    return status
end
