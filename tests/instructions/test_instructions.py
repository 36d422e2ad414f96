"""Instructions that the server spends on a request, from its arrival at the socket to the answer, counted by callgrind.

A figure of time needs a quiet machine; this one shows that something became dearer wherever it runs. What grows for a
reason gets a new bound here, and the reason in the commit.
"""

import re
import socket
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import signet  # noqa: E402

REQUESTS = 300
# For one request, with a margin of a sixth over what was counted.
BOUNDS = {
    "GET /livez": 32_500,
    "GET /v1/session": 21_500,
    "GET /v1/verify": 25_700,
    "PATCH /v1/session": 249_000,
}


class Instructions(unittest.TestCase):
    """One server under callgrind for all of them."""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="signet-")
        self.addCleanup(self.folder.cleanup)
        self.out = Path(self.folder.name) / "callgrind"
        under = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={self.out}"]
        self.server = signet.Server(under=under)
        self.addCleanup(self.server.process.kill)
        host, port = self.server.host.rsplit(":", 1)
        self.line = socket.create_connection((host, int(port)), timeout=120)
        self.addCleanup(self.line.close)

    def ask(self, method, path, cookie="", body=""):
        """The whole answer, over the one connection."""
        head = f"{method} {path} HTTP/1.1\r\nHost: {self.server.host}\r\n"
        head += f"Cookie: {cookie}\r\n" if cookie else ""
        head += "X-Forwarded-Method: GET\r\n" if path == "/v1/verify" else ""
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n" if body else ""
        self.line.sendall(f"{head}\r\n{body}".encode())
        data = b""
        while True:
            data += self.line.recv(65536)
            head, found, rest = data.partition(b"\r\n\r\n")
            length = re.search(rb"(?i)content-length: (\d+)", head)
            if found and len(rest) >= (int(length[1]) if length else 0):
                self.assertRegex(data, rb"^HTTP/1.1 20[04] ", data)
                return data.decode()

    def control(self, *words):
        done = subprocess.run(["callgrind_control", *words], capture_output=True, text=True, timeout=120)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def count(self, *request):
        """Instructions of one request, among many."""
        for _ in range(REQUESTS // 3):
            self.ask(*request)
        process = str(self.server.process.pid)
        self.control("--zero", process)
        for _ in range(REQUESTS):
            self.ask(*request)
        before = set(self.out.parent.glob("callgrind.*"))
        self.control("--dump", process)
        until = time.monotonic() + 30
        while not (new := set(self.out.parent.glob("callgrind.*")) - before):
            self.assertLess(time.monotonic(), until, "callgrind wrote nothing")
            # Something has to happen in the program before it looks.
            self.ask("GET", "/livez")
        totals = re.search(r"^(?:summary|totals): (\d+)", new.pop().read_text(), re.MULTILINE)
        return int(totals[1]) // REQUESTS

    def test_no_request_costs_more_than_it_did(self):
        body = f'{{"username":"admin","password":"{signet.ADMIN}"}}'
        cookie = re.search(r"(?i)set-cookie: (__Host-signet=[^;]+)", self.ask("POST", "/v1/login", body=body))[1]
        found = {
            "GET /livez": self.count("GET", "/livez"),
            "GET /v1/session": self.count("GET", "/v1/session", cookie),
            "GET /v1/verify": self.count("GET", "/v1/verify", cookie),
            "PATCH /v1/session": self.count("PATCH", "/v1/session", cookie, '{"theme":"dark"}'),
        }
        for what, count in found.items():
            print(f"{what}: {count} instructions, bound {BOUNDS[what]}")
        dearer = [what for what, count in found.items() if count > BOUNDS[what]]
        self.assertEqual(dearer, [])
