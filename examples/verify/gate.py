"""A small service around `revocations.py`: who has sent the cookie of a session?

    SIGNET_TOKEN_FILE=token python gate.py [PORT]

200 and who it is; 401 for nobody; 503 while that cannot be known.
"""

import http.server
import json
import sys
import threading

import jwt

from revocations import Revocations, Unknown
from verify import verify

revocations = Revocations()
NOBODY = 401, {"error": "not logged in"}
UNKNOWN = 503, {"error": "cannot tell at present"}


def judge(cookies):
    """Status and answer for the `Cookie` fields of a request."""
    pairs = [pair.strip().partition("=") for pair in ";".join(cookies).split(";")]
    tokens = [value for name, _, value in pairs if name == "__Host-signet"]
    try:
        revocations.check()  # before a key is asked for
        if len(tokens) != 1:
            return NOBODY
        claims = verify(tokens[0])
        if not revocations.is_live(claims):
            return NOBODY
    except (Unknown, jwt.PyJWKClientConnectionError):
        return UNKNOWN
    except jwt.PyJWTError:
        return NOBODY
    # Rights that were changed since are not those in the token. Signet knows them, and renews the token on its next use.
    rights = "stale"
    if revocations.has_fresh_rights(claims):
        rights = {"groups": claims.get("groups", []), "permissions": claims.get("permissions", [])}
    return 200, {"user": claims["sub"], "name": claims["preferred_username"], "rights": rights}


class Gate(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body leave together

    def do_GET(self):
        status, answer = judge(self.headers.get_all("Cookie", []))
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Says nothing."""


if __name__ == "__main__":
    threading.Thread(target=revocations.follow, daemon=True).start()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", int((sys.argv[1:] or [8001])[0])), Gate)
    print(f"listening on http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
