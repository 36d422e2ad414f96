"""What the tests of examples/verify share: people, a way in between that can be watched and shut, and a running gate."""

import http.client
import json
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from email import message_from_bytes, policy
from pathlib import Path

from signet import ADMIN, CLEAN, ROOT, Client, pump

EXAMPLES = ROOT / "examples" / "verify"
PASSWORD = "correct horse battery staple"
READER = "signet.view_revocations"
# Longer than anything takes on a busy machine.
PATIENCE = 30


def admin_of(server):
    admin = Client(server)
    assert admin.log_in("admin", ADMIN)
    return admin


def somebody(server, name):
    """A new user who is logged in, and the user's id."""
    client = Client(server)
    new = {"username": name, "password": PASSWORD, "email": f"{name}@example.com"}
    status, answer = client.call("POST", "/v1/register", new)
    assert status == 201, answer
    return client, answer["user"]["id"]


def again(server, name):
    """The same user on another device."""
    client = Client(server)
    assert client.log_in(name, PASSWORD)
    return client


def done(answer, expected=204):
    assert answer[0] == expected, answer
    return answer[1]


def api_token(client, *permissions):
    return done(client.call("POST", "/v1/tokens", {"name": "gate", "permissions": permissions}), 201)


def reader(server, admin):
    """A user with the right to read what has ended."""
    done(admin.call("POST", "/v1/permissions", {"name": READER}), 201)
    client, user = somebody(server, "reader")
    done(admin.call("PATCH", f"/v1/users/{user}", {"user_permissions": [READER]}), 200)
    return client


def mailed(server, page):
    """The token of a link to a page, from the newest such mail."""
    def found():
        for mail in (server.folder / "mail").glob("*.eml"):
            text = message_from_bytes(mail.read_bytes(), policy=policy.default).get_content()
            if token := re.search(rf"/{page}#token=(\S+)", text):
                return token[1]
    return eventually(found)


def eventually(true, seconds=PATIENCE):
    """What `true` gives as soon as it gives something."""
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline, "it does not come true"
        time.sleep(0.02)
    return found


class Way:
    """A TCP way to a server that can be led elsewhere or held, and remembers what was asked."""

    def __init__(self, server):
        self.asked = bytearray()
        self.passing = threading.Event()
        self.passing.set()
        self.lead(server)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.base = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def lead(self, server):
        host, port = server.host.rsplit(":", 1)
        self.target = host, int(port)

    def cut(self):
        """From now on nothing comes through the connections that there are, and no word of it."""
        self.passing.clear()
        self.passing = threading.Event()
        self.passing.set()

    def count(self, path):
        """How often a path was asked for."""
        return len(re.findall(rb"GET " + re.escape(path.encode()) + rb"[? ]", bytes(self.asked)))

    def accept(self):
        while True:
            near, _ = self.listener.accept()
            try:
                far = socket.create_connection(self.target)
            except OSError:
                near.close()
                continue
            for ends in ((near, far, self.asked), (far, near, bytearray())):
                threading.Thread(target=self.carry, args=(*ends, self.passing), daemon=True).start()

    @staticmethod
    def carry(source, target, record, passing):
        def each(data):
            passing.wait()
            record.extend(data)

        pump(source, target, each)


class Gate:
    """The example's service, run as it stands, with an API token in a file."""

    def __init__(self, base, token, **environment):
        self.folder = tempfile.TemporaryDirectory(prefix="signet-gate-")
        self.token_file = Path(self.folder.name) / "token"
        self.token_file.write_text(token)
        self.log = Path(self.folder.name) / "log"
        environment = {**CLEAN, "SIGNET": base, "SIGNET_TOKEN_FILE": str(self.token_file), **environment}
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-B", EXAMPLES / "gate.py", "0"], env=environment, stdout=subprocess.PIPE, stderr=log,
                text=True,
            )
        self.host = self.process.stdout.readline().split("//")[1].strip()
        self.connection = http.client.HTTPConnection(self.host, timeout=PATIENCE)

    def send(self, **headers):
        self.connection.request("GET", "/", headers=headers)
        answer = self.connection.getresponse()
        return answer.status, json.loads(answer.read())

    def ask(self, client):
        """Status and answer for somebody's cookie."""
        return self.send(Cookie=f"__Host-signet={client.cookie}")

    def says(self, client):
        return self.ask(client)[0]

    def stop(self):
        self.connection.close()
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.folder.cleanup()


class Filter:
    """A verifying example, run as it stands: a token in, a line out."""

    def __init__(self, *words, **environment):
        self.process = subprocess.Popen(
            list(map(str, words)), env={**CLEAN, **environment}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def judge(self, token):
        """The claims of a token, or None when it is refused, and what was said."""
        self.process.stdin.write(f"{token}\n")
        self.process.stdin.flush()
        said = self.process.stdout.readline().strip()
        assert said, "the example has ended"
        return (None if said.startswith("refused: ") else json.loads(said)), said

    def stop(self):
        self.process.stdin.close()
        code = self.process.wait(timeout=PATIENCE)
        self.process.stdout.close()
        assert code == 0, code
