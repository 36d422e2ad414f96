-- Asks Signet whether a request may pass, as /etc/haproxy/signet.lua.
-- `http-request lua.signet QUERY` sets txn.signet to "passes", answers in Signet's words, or sets nothing.

local VERIFY = "http://127.0.0.1:8000/v1/verify?"
-- HAProxy tries four times.
local MILLISECONDS = 750
local IDENTITY = {
    "x-auth-user", "x-auth-user-id", "x-auth-groups", "x-auth-permissions", "x-auth-session", "x-auth-token",
}
-- What belongs to the connection or the body, and what would contradict the request's own method and path.
local NOT_ASKED = {
    "connection", "keep-alive", "te", "trailer", "upgrade", "expect", "transfer-encoding", "content-length",
    "x-original-method", "x-original-uri", "proxy-connection", "host",
}

core.register_action("signet", { "http-req" }, function(txn, query)
    local fields = txn.http:req_get_headers()
    for _, name in ipairs(NOT_ASKED) do fields[name] = nil end
    fields["x-forwarded-method"] = { txn.f:method() }
    fields["x-forwarded-uri"] = { txn.f:pathq() }
    local answer = core.httpclient():get{ url = VERIFY .. query, headers = fields, timeout = MILLISECONDS }
    local function field(name)
        local values = answer.headers and answer.headers[name]
        return values and values[0]
    end
    if answer.status == 204 then
        for _, name in ipairs(IDENTITY) do
            local value = field(name)
            if value and value ~= "" then txn.http:req_set_header(name, value) end
        end
        if field("set-cookie") then txn:set_var("txn.signet_cookie", field("set-cookie")) end
        txn:set_var("txn.signet", "passes")
    elseif answer.status == 302 or answer.status == 401 or answer.status == 403 then
        local reply = txn:reply{ status = answer.status, body = answer.body }
        for _, name in ipairs{ "location", "set-cookie", "content-type", "cache-control" } do
            if field(name) then reply:add_header(name, field(name)) end
        end
        txn:done(reply)
    end
end, 1)
