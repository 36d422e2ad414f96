"""What every proxy has to do with the files of proxies/, with a real Signet and an application that tells what it got."""

import json
import os
import re
import signal
import sys
import time
import unittest
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import jwt
from neighbours import Application, Way, send
from servers import COMMANDS, Proxy
from signet import ADMIN, Client, Server

PASSWORD = "a short sentence"
ORIGIN = "https://app.example"
HTML = ("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
CROSS = ("Sec-Fetch-Site", "cross-site")
IDENTITY = ["x-auth-user", "x-auth-user-id", "x-auth-groups", "x-auth-permissions", "x-auth-session"]
TOKEN = "x-auth-token"
WEBSOCKET = [
    ("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
]
# What a client may write in the hope that it is believed.
SPOOFED = [
    (name, "evil")
    for stem in [*IDENTITY, TOKEN]
    for name in [
        stem, stem.upper(), stem.title(), stem.replace("-", "_"), stem.replace("-", "_").upper(), stem.replace("-", "."),
        stem.replace("-", "_", 1), stem.replace("-", ".", 1), "_".join(stem.rsplit("-", 1)),
    ]
]
# The status where Signet cannot be asked: it is down, it hangs, it answers 500 or nonsense.
BROKEN = {
    "nginx": (500, 500, 500, 500),
    "caddy": (502, 504, 500, 502),
    "haproxy": (503, 503, 503, 503),
    "apache": (503, 503, 503, 503),
}
KEEPS_CONNECTIONS = {"nginx", "caddy", "haproxy"}


def generous(target):
    """The path as the most generous application could read it."""
    path = re.sub(r"^https?://[^/?]*", "", target).split("?")[0]
    for _ in range(3):
        path = unquote(path)
    path = re.sub(r";[^/]*", "", path.replace("\\", "/").split("\0")[0]).lower()
    parts = []
    for part in path.split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    return "/" + "/".join(parts)


class World:
    """One Signet, one application, the way between, and people."""

    def __init__(self):
        flags = ["--issuer", ORIGIN, "--origin", ORIGIN, "--login-url", "/login", "--trusted-proxy", "127.0.0.1"]
        self.signet = Server(None, *flags)
        self.way = Way(self.signet.host)
        self.application = Application()
        self.admin = Client(self.signet)
        self.keys = jwt.PyJWKSet.from_dict(self.admin.get("/.well-known/jwks.json"))
        assert self.admin.log_in("admin", ADMIN)
        self.must("POST", "/v1/permissions", {"name": "polls.vote", "description": "Can vote"})
        self.must("POST", "/v1/groups", {"name": "voters", "permissions": ["polls.vote"]})
        self.ids = {}
        for name, groups in [("voter", ["voters"]), ("guest", []), ("Zoë", ["voters"])]:
            body = self.must("POST", "/v1/users", {"username": name, "password": PASSWORD})
            self.ids[name] = body["id"]
            self.must("PATCH", f"/v1/users/{body['id']}", {"groups": groups})

    def must(self, method, path, body):
        status, answer = self.admin.call(method, path, body)
        assert status in (200, 201), (method, path, status, answer)
        return answer

    def person(self, name):
        client = Client(self.signet)
        assert client.log_in(name, PASSWORD)
        return client

    def end(self):
        self.way.close()
        self.way.cut()
        self.application.close()
        self.signet.stop()


def setUpModule():
    global world
    world = World()


def tearDownModule():
    world.end()


class Behaviour:
    """Each test holds for each proxy."""

    @classmethod
    def setUpClass(cls):
        cls.proxy = Proxy(cls.name, world.way.port, world.application.port)
        cls.voter, cls.guest = world.person("voter"), world.person("guest")

    @classmethod
    def tearDownClass(cls):
        cls.proxy.stop()

    def ask(self, target, client=None, *fields, method="GET", body=b"", source="127.0.0.1"):
        """A request through the proxy, with a person's cookie."""
        fields = list(fields)
        if client and client.cookie:
            fields.append(("Cookie", f"__Host-signet={client.cookie}"))
        before = len(world.application.seen)
        answer = send(self.proxy.port, f"{method} {target} HTTP/1.1", fields, body, source)
        answer.reached = world.application.seen[before:]
        return answer

    def refused(self, status, *words, **names):
        answer = self.ask(*words, **names)
        self.assertEqual(answer.reached, [], (words, names))
        if status:
            self.assertEqual(answer.status, status, (words, names, answer.body[:200], self.proxy.said()))
        return answer

    def passed(self, *words, **names):
        answer = self.ask(*words, **names)
        self.assertEqual((answer.status, len(answer.reached)), (200, 1), (words, names, answer.body[:200]))
        return answer

    def identity(self, answer):
        """Who the application was told that it is; a field that is empty says as much as none."""
        (_, fields, _), = answer.reached
        found = [(name.lower(), value) for name, value in fields if re.match(r"x[^a-z0-9]auth", name.lower()) and value]
        self.assertEqual(len(found), len(dict(found)), found)
        return dict(found)

    def is_voter(self, answer, client=None):
        """The application was told so, and can prove it."""
        session = (client or self.voter).get("/v1/session")["id"]
        values = ["voter", world.ids["voter"], "voters", "polls.vote", session]
        told = self.identity(answer)
        proven = self.proven(told.pop(TOKEN))
        self.assertEqual(told, dict(zip(IDENTITY, values, strict=True)))
        names = ["preferred_username", "sub", "groups", "permissions", "sid"]
        values[2:4] = [[value] for value in values[2:4]]
        self.assertEqual([proven[name] for name in names], values)

    def proven(self, token, host="app.example"):
        """What a token says, as a back end checks it that knows the public keys and its own name."""
        head = jwt.get_unverified_header(token)
        self.assertEqual(head["typ"], "identity+jwt")
        rules = {"require": ["iss", "aud", "sub", "iat", "exp"]}
        key = world.keys[head["kid"]]
        return jwt.decode(token, key, algorithms=["EdDSA"], audience=host, issuer=ORIGIN, options=rules)

    def test_who_may_pass_and_as_whom(self):
        for target in ["/", "/a/b?c=d", "/polls", "/polls/", "/polls/1?x=/public/", "/POLLS/1", "/publicity", "/login/x"]:
            self.refused(401, target)
            self.refused(401, target, Client(world.signet, "a.b.c"))
        for target in ["/polls", "/polls/1?x=/public/", "/POLLS/1", "/%70olls/1"]:
            self.refused(403, target, self.guest)
            self.is_voter(self.passed(target, self.voter))
        self.assertEqual(self.identity(self.passed("/a/b?c=d", self.guest))["x-auth-user"], "guest")
        for target in ["/public/", "/public/a?b=/polls/", "/login", "/login?next=%2F"]:
            for client in [None, self.guest]:
                self.assertEqual(self.identity(self.passed(target, client)), {})
        # The path and the query arrive as they were sent.
        (line, _, _), = self.passed("/a%20b/c?d=%2F;e//", self.guest).reached
        self.assertEqual(line, "GET /a%20b/c?d=%2F;e// HTTP/1.1")
        zoe = self.identity(self.passed("/polls", world.person("Zoë")))
        self.assertEqual(zoe["x-auth-user"], "Zo%C3%AB")
        # Two cookies of the name are nobody's.
        self.refused(401, "/", self.voter, ("Cookie", f"__Host-signet={self.guest.cookie}"))
        # Signet is reached, and guards itself.
        answer = self.refused(200, "/v1/me", self.voter)
        self.assertEqual(json.loads(answer.body)["username"], "voter")
        self.refused(401, "/v1/me")
        self.assertEqual(self.ask("/signet/verify/").status, 404 if self.name == "nginx" else 401)
        # The proxy's own question is nobody else's: a script in a page could read the token in its answer.
        for target in ["/v1/verify", "/v1/verify?identity=true", "/v1/%76erify", "http://app.example/v1/verify"]:
            answer = self.ask(target, self.voter, ("X-Forwarded-Host", "app.example"), ("X-Forwarded-Method", "GET"))
            self.assertEqual((answer.status, answer.field(TOKEN)), (404, None), target)

    def test_the_proof_is_for_this_host_and_nothing_else(self):
        token = self.identity(self.passed("/polls/1", self.voter))[TOKEN]
        with self.assertRaises(jwt.InvalidAudienceError):
            self.proven(token, "other.example")
        claims = self.proven(token)
        self.assertEqual(claims["exp"] - claims["iat"], 60)
        # Where it was not asked for there is none.
        self.assertNotIn(TOKEN, self.identity(self.passed("/a", self.voter)))
        # It opens nothing.
        self.refused(401, "/polls/1", None, ("Cookie", f"__Host-signet={token}"))
        self.refused(401, "/polls/1", None, ("Authorization", f"Bearer {token}"))
        self.refused(401, "/polls/1", None, ("X-Auth-Token", token))

    def test_a_browser_is_sent_to_the_page_to_log_in(self):
        answer = self.refused(302, "/polls/1?a=b", None, HTML)
        way = urlsplit(answer.field("Location"))
        self.assertIn((way.scheme, way.netloc, way.path), [("", "", "/login"), ("http", "app.example", "/login")])
        self.assertEqual(parse_qs(way.query), {"next": ["/polls/1?a=b"]})
        self.refused(401, "/polls/1", None, HTML, method="POST")
        self.refused(401, "/polls/1", None, ("Accept", "application/json"))
        self.refused(403, "/polls/1", self.guest, HTML)
        self.passed("/login?next=%2Fpolls%2F1", None, HTML)

    def test_nobody_is_believed_who_says_who_it_is(self):
        for field in [*SPOOFED, None]:
            fields = [field, field] if field else SPOOFED
            self.is_voter(self.passed("/polls/1", self.voter, *fields))
            self.assertEqual(self.identity(self.passed("/public/", None, *fields)), {}, fields)
        every = SPOOFED
        self.assertEqual(self.identity(self.passed("/a", self.guest, *every))["x-auth-user"], "guest")
        self.refused(401, "/polls/1", None, *every)
        self.refused(403, "/polls/1", self.guest, *every)
        self.refused(302, "/polls/1", None, HTML, *every)
        for method in ["POST", "PUT", "DELETE"]:
            self.is_voter(self.passed("/polls/1", self.voter, *every, method=method, body=b"x"))
        # Nor can a client have taken away what the application is told (RFC 9110, section 7.6.1).
        for name in [*IDENTITY, TOKEN]:
            self.is_voter(self.passed("/polls/1", self.voter, ("Connection", name)))

    def test_no_spelling_of_a_path_is_a_way_round(self):
        targets = [
            before + way
            for before in ["", "/public/..", "/public/x/../..", "/v1/..", "/login/.."]
            for way in [
                "/polls/1", "/%70olls/1", "/p%6flls/1", "/POLLS/1", "/Polls", "//polls/1", "/./polls/1", "/%2e/polls/1",
                "/x/../polls/1", "/x/%2e%2e/polls/1", "/x%2f..%2fpolls/1", "/%2fpolls/1", "/polls%2f1", "/polls;x=/1",
                "/polls;/1", "/;x/polls/1", "/x/..;/polls/1", "/polls%3b/1", "/\\polls/1", "/%5cpolls/1", "/polls\\1",
                "/polls%00/1", "/polls%00", "/%2570olls/1", "/%252e%252e/polls/1", "/polls/", "/polls/.", "/polls//",
                "/polls/%zz", "/polls/1%", "/polls/1%4", "/polls#x", "/polls#/public/",
                "/x#/../polls", "/polls/\xff", "/polls\t/1",
                "/polls?", "/polls/1?/public/", "/polls?x=/../public/", "/polls/..%2fpublic/..%2fpolls/1",
            ]
        ]
        targets += ["/public" + way for way in [
            "/..;/polls/1", "/%2e%2e/polls/1", "/%2E%2E%2Fpolls/1", "/..%2fpolls/1", "/..%5cpolls/1", "/..\\polls/1",
            "//../polls/1", "/.%2e/polls/1", "/%252e%252e/polls/1", "/..%252fpolls/1", "/..", "/../", "/../a",
        ]]
        targets += ["http://app.example/polls/1", "HTTP://app.example/polls/1", "http://app.example/public/../polls/1",
                    "http://app.example/public/%2e%2e/polls/1", "http://public/polls/1", "https://app.example//polls/1"]
        for target in targets:
            answer = self.ask(target)
            self.assertEqual(answer.reached, [], target)
            self.assertIn(answer.status, [0, 400, 401, 403, 404], target)
            answer = self.ask(target, self.guest)
            for line, _, _ in answer.reached:
                self.assertNotRegex(generous(target), r"^/polls(/|$)", target)
                self.assertNotRegex(generous(line.split(" ")[1]), r"^/polls(/|$)", target)
        for line in ["GET /polls/1", "GET  /polls/1 HTTP/1.1", "GET /polls/1 x HTTP/1.1", "GET /polls/1 HTTP/1.0",
                     "GET /polls/1\tHTTP/1.1", "GET polls/1 HTTP/1.1", " GET /polls/1 HTTP/1.1", "GET /polls/1 HTTP/2.0"]:
            before = len(world.application.seen)
            send(self.proxy.port, line, [("Cookie", f"__Host-signet={self.guest.cookie}")])
            self.assertEqual(world.application.seen[before:], [], line)
        self.is_voter(self.passed("http://app.example/polls/1", self.voter))
        self.passed("http://app.example/public/", None)

    def test_no_method_is_a_way_round(self):
        methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "QUERY", "TRACE", "CONNECT",
                   "get", "Post", "FOO", "GET,POST", "M-SEARCH"]
        for method in methods:
            for target in ["/polls/1", "http://app.example/polls/1"]:
                self.refused(None, target, method=method)
                self.refused(None, target, self.guest, method=method)
        for target in ["app.example:443", "127.0.0.1:80", f"127.0.0.1:{world.application.port}", "*", "/polls", "/public/"]:
            answer = self.refused(None, target, self.voter, method="CONNECT")
            self.assertGreaterEqual(answer.status or 400, 400)
            if target != "/public/":
                self.refused(None, target, method="OPTIONS")
        self.refused(405, "/public/", self.voter, method="TRACE")
        for method in ["HEAD", "OPTIONS", "PUT", "DELETE", "PROPFIND"]:
            answer = self.passed("/polls/1", self.voter, ("Origin", ORIGIN), method=method)
            self.assertTrue(answer.reached[0][0].startswith(f"{method} /polls/1 "))
            self.is_voter(answer)

    def test_a_page_of_another_site_changes_nothing(self):
        own, other = ("Origin", ORIGIN), ("Origin", "https://evil.example")
        for method in ["POST", "PUT", "DELETE", "FOO", "get"]:
            for fields in [[CROSS], [other], [("Sec-Fetch-Site", "same-site"), own], [("Origin", "null")]]:
                self.refused(None, "/polls/1", self.voter, *fields, method=method, body=b"vote=1")
                # The method that counts is the one of the request line.
                lies = [(name, "GET") for name in ["X-Forwarded-Method", "X-Original-Method", "X-HTTP-Method-Override"]]
                self.refused(None, "/polls/1", self.voter, *fields, *lies, method=method, body=b"vote=1")
        self.refused(403, "/polls/1", self.voter, CROSS, method="POST", body=b"vote=1")
        self.passed("/polls/1", self.voter, CROSS)
        self.passed("/polls/1", self.voter, CROSS, ("X-Forwarded-Uri", "//evil.example"))
        for name in ["X-Forwarded-Method", "X-Original-Method"]:
            self.passed("/polls/1", self.voter, CROSS, (name, "DELETE"))
        for fields in [[own], [("Sec-Fetch-Site", "same-origin"), own], []]:
            answer = self.passed("/polls/1", self.voter, *fields, method="POST", body=b"vote=1" * 2000)
            self.assertEqual(answer.reached[0][2], b"vote=1" * 2000)
        chunked, body = ("Transfer-Encoding", "chunked"), b"6\r\nvote=1\r\n1\r\n2\r\n0\r\n\r\n"
        answer = self.passed("/polls/1", self.voter, own, chunked, method="POST", body=body)
        self.assertEqual(answer.reached[0][2], b"vote=12")
        self.refused(403, "/polls/1", self.voter, CROSS, chunked, method="POST", body=body)
        way = self.refused(302, "/polls/1", None, HTML, ("X-Forwarded-Uri", "/a"), ("X-Original-URI", "/b"))
        self.assertEqual(parse_qs(urlsplit(way.field("Location")).query), {"next": ["/polls/1"]})

    def test_the_question_is_asked_in_the_proxys_own_words(self):
        names = ["X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-For", "X-Forwarded-Uri", "X-Original-URI",
                 "X-Forwarded-Method", "X-Original-Method"]
        lies = [(name, "evil") for name in names]
        world.way.sent = b""
        self.passed("/polls/1?a=b", self.voter, *lies, *lies, method="PUT", body=b"a secret ballot")
        head, _, rest = world.way.sent.partition(b"\r\n\r\n")
        self.assertEqual(rest, b"", "the body is none of Signet's business")
        line, *fields = head.decode().split("\r\n")
        self.assertRegex(line, r"^GET /v1/verify\?permission=polls\.vote&identity=true(&redirect=true)? HTTP/1\.[01]$")
        told = {name: [] for name in ["host", "proto", "for", "uri", "method", "length"]}
        for name, value in (field.split(": ", 1) for field in fields if ": " in field):
            if (kind := name.lower().split("-")[-1]) in told and name.lower() != "host":
                told[kind].append(value)
        self.assertIn(told.pop("length"), [[], ["0"]])
        self.assertEqual(told, {
            "host": ["app.example"], "proto": ["http"], "for": ["127.0.0.1"], "uri": ["/polls/1?a=b"], "method": ["PUT"],
        })

    def test_a_page_of_another_site_opens_no_websocket(self):
        evil, own = ("Origin", "https://evil.example"), ("Origin", ORIGIN)
        for fields in [[evil], [CROSS, evil], [CROSS, ("Sec-Fetch-Mode", "websocket")]]:
            self.refused(403, "/polls/1", self.voter, *WEBSOCKET, *fields)
        self.refused(401, "/polls/1", None, *WEBSOCKET, own)
        answer = self.ask("/polls/1", self.voter, *WEBSOCKET, own, body=b"ping")
        self.assertEqual((answer.status, answer.body), (101, b"ping"), self.proxy.said())
        self.is_voter(answer)
        self.assertEqual(self.ask("/public/", None, *WEBSOCKET, body=b"ping").body, b"ping")

    def test_large_fields_pass_or_are_refused(self):
        self.is_voter(self.passed("/polls/1", self.voter, ("X-Large", "a" * 5000)))
        for size in [9_000, 20_000, 70_000]:
            for client in [None, self.guest]:
                answer = self.refused(None, "/polls/1", client, ("X-Large", "a" * size))
                self.assertIn(answer.status, [0, 400, 401, 403, 413, 414, 431, 494, 500, 502, 503])
            answer = self.ask("/polls/1", self.voter, ("X-Large", "a" * size))
            if answer.reached:
                self.is_voter(answer)
        many = [(f"X-Many-{number}", "a") for number in range(95)]
        self.refused(None, "/polls/1", self.guest, *many)
        # A session that is full of data is a long cookie.
        full = world.person("voter")
        full.call("PATCH", "/v1/session", {"text": "a" * 1800})
        self.assertGreater(len(full.cookie), 2500)
        self.is_voter(self.passed("/polls/1", full), full)

    def test_what_was_granted_or_ended_acts_on_the_next_request(self):
        someone = world.person("voter")
        self.is_voter(self.passed("/polls/1", someone), someone)
        left = Client(world.signet, someone.cookie)
        self.assertEqual(someone.call("POST", "/v1/logout")[0], 204)
        self.refused(401, "/polls/1", left)
        self.refused(403, "/polls/1", self.guest)
        guest = f"/v1/users/{world.ids['guest']}"
        try:
            world.must("PATCH", guest, {"groups": ["voters"]})
            self.passed("/polls/1", self.guest)
        finally:
            world.must("PATCH", guest, {"groups": []})
        self.refused(403, "/polls/1", self.guest)
        # By the proxy too.
        someone = world.person("voter")
        self.refused(204, "/v1/logout", someone, ("Origin", ORIGIN), method="POST")
        self.refused(401, "/polls/1", someone)

    def test_without_signet_nothing_passes(self):
        down, hanging, failing, nonsense = BROKEN[self.name]

        def nothing_passes(status):
            for client in [None, self.guest, self.voter]:
                self.refused(status, "/polls/1", client)
            self.refused(None, "/", None, HTML, *SPOOFED)
            self.refused(None, "/a", self.voter, method="POST", body=b"x")
            self.passed("/public/")

        port = world.way.port
        world.way.close()
        world.way.cut()
        try:
            self.refused(down, "/polls/1", self.voter)
            self.refused(down, "/polls/1", None, HTML)
            self.passed("/public/")
        finally:
            world.way.open_at(port)
        for status, answer in [
            (failing, b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
            (nonsense, b"220 mail.example ESMTP\r\n"),
            (None, b"HTTP/1.1 503 Service Unavailable\r\nX-Auth-User: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
            (None, b"HTTP/1.1 204 No Con"),
            (None, b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
        ]:
            world.way.broken = answer
            world.way.cut()
            try:
                nothing_passes(status)
            finally:
                world.way.broken = None
        world.signet.process.send_signal(signal.SIGSTOP)
        try:
            self.refused(hanging, "/polls/1", self.voter)
        finally:
            world.signet.process.send_signal(signal.SIGCONT)
        self.is_voter(self.passed("/polls/1", self.voter))

    def test_a_session_slides_on_through_the_proxy(self):
        someone = world.person("voter")
        self.assertEqual(self.passed("/a", someone).cookies(), ["app=1; Path=/"])
        answer, _ = someone.send("PUT", "/v1/session/expiry", {"kind": "inactivity", "seconds": 10})
        shape = re.compile(r"=[^;]*;|Max-Age=\d+|Expires=[^;]*")
        model = shape.sub("", next(value for name, value in answer.getheaders() if name.lower() == "set-cookie"))
        end = time.monotonic() + 9
        while len(cookies := self.passed("/a", someone).cookies()) == 1:
            self.assertLess(time.monotonic(), end, "not renewed")
            time.sleep(0.05)
        self.assertEqual(len(cookies), 2, cookies)
        renewed = next(cookie for cookie in cookies if cookie != "app=1; Path=/")
        self.assertTrue(renewed.startswith("__Host-signet="), renewed)
        self.assertEqual(shape.sub("", renewed), model)
        someone.cookie = renewed.split("=", 1)[1].split(";")[0]
        self.is_voter(self.passed("/polls/1", someone), someone)

    def test_an_api_token_passes_where_its_permissions_do(self):
        def token(name, permissions):
            body = {"name": name, "permissions": permissions}
            status, made = world.person(name).call("POST", "/v1/tokens", body)
            self.assertEqual(status, 201, made)
            return "Authorization", f"Bearer {made['token']}"

        voter = token("voter", ["polls.vote"])
        for method in ["GET", "POST"]:
            told = self.identity(self.passed("/polls/1", None, voter, method=method))
            proven = self.proven(told.pop(TOKEN))
            self.assertEqual((proven["sub"], proven["permissions"], proven.get("sid")), (world.ids["voter"], ["polls.vote"], None))
            self.assertEqual(
                told, {"x-auth-user": "voter", "x-auth-user-id": world.ids["voter"], "x-auth-permissions": "polls.vote"}
            )
        self.refused(401, "/polls/1", None, (voter[0], voter[1][:-4]))
        # A cookie decides alone.
        self.refused(403, "/polls/1", self.guest, voter)
        self.refused(403, "/polls/1", None, voter, CROSS, method="POST", body=b"x")

    def test_the_connection_to_signet_is_kept_where_the_proxy_can(self):
        self.passed("/polls/1", self.voter)
        before = world.way.connections
        for _ in range(10):
            self.passed("/polls/1", self.voter)
        made = world.way.connections - before
        if self.name in KEEPS_CONNECTIONS:
            self.assertLessEqual(made, 1)
        else:
            self.assertEqual(made, 10, "it keeps connections: say so in proxies/README.md")

    def test_the_address_is_the_clients_own_and_not_the_one_it_claims(self):
        name = f"from {self.name}"
        claims = [("X-Forwarded-For", "203.0.113.9"), ("Forwarded", "for=203.0.113.9"), ("X-Real-IP", "203.0.113.9"),
                  ("Content-Type", "application/json"), ("Origin", ORIGIN)]
        body = json.dumps({"username": name, "password": "wrong"}).encode()
        self.refused(401, "/v1/login", None, *claims, method="POST", body=body, source="127.0.0.2")
        events = world.admin.get("/v1/audit?limit=50")["items"]
        addresses = [event["address"] for event in events if name in json.dumps(event)]
        self.assertEqual(addresses, ["127.0.0.2"])


for chosen in os.environ.get("SIGNET_PROXIES", " ".join(COMMANDS)).split():
    title = chosen.capitalize()
    globals()[title] = type(title, (Behaviour, unittest.TestCase), {"name": chosen, "__module__": __name__})
