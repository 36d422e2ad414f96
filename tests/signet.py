"""Signet as its users meet it: the binary's commands, a server that runs, and a client that keeps the cookie.

For the tests that stand outside of the program. `SIGNET_BINARY` names another binary than the release.
"""

import http.client
import json
import os
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BINARY = os.environ.get("SIGNET_BINARY") or str(ROOT / "target" / "release" / "signet")
ADMIN = "a password of the tests"
# Variables of the one who runs the tests shall not change what is tested.
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("SIGNET_")}


def command(*words):
    """Exit code, standard output and standard error of a command."""
    done = subprocess.run([BINARY, *map(str, words)], capture_output=True, text=True, env=CLEAN, timeout=300)
    return done.returncode, done.stdout, done.stderr


class Server:
    """A server on the folder's data with the superuser `admin`, until `stop`; without a folder, on a new one.

    `base` is its address; with `tls`, `authority` is the file of the certificate that its clients have to trust.
    `under` is a command that runs it.
    """

    def __init__(self, folder=None, *flags, tls=False, throttle=False, under=()):
        self.own = None if folder else tempfile.TemporaryDirectory(prefix="signet-")
        self.folder = Path(folder or self.own.name)
        password = self.folder / "admin-password"
        password.write_text(ADMIN)
        listen = "localhost:0" if tls else "127.0.0.1:0"
        words = [*under, BINARY, "serve", "--listen", listen]
        words += ["--data", self.folder / "data", "--keys", self.folder / "keys"]
        words += ["--admin-password-file", password, "--throttle", "on" if throttle else "off"]
        words += ["--tls", "dev" if tls else "off", *flags]
        self.authority = self.folder / "keys/tls/localhost.pem" if tls else None
        self.log = open(self.folder / "log", "ab")
        self.process = subprocess.Popen(
            list(map(str, words)), cwd=self.folder, stdout=subprocess.PIPE, stderr=self.log, env=CLEAN, text=True
        )
        for line in self.process.stdout:
            if line.startswith("listening on "):
                self.base = line.removeprefix("listening on ").strip()
                self.host = self.base.split("//")[1]
                break
        else:
            raise RuntimeError(f"no server: {(self.folder / 'log').read_text()}")
        # What it says later shall not make it wait.
        self.reader = threading.Thread(target=self.process.stdout.read, daemon=True)
        self.reader.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """Ends the process, and sees that it ended well."""
        self.process.terminate()
        try:
            code = self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        self.reader.join()
        self.process.stdout.close()
        self.log.close()
        said = (self.folder / "log").read_text()
        if self.own:
            self.own.cleanup()
        if code != 0:
            raise RuntimeError(f"the server ended with {code}: {said}")


def pump(source, sink, each):
    """Carries bytes from one socket to another until either ends, and shows them to `each` before; then ends both."""
    try:
        while data := source.recv(65536):
            each(data)
            sink.sendall(data)
    except OSError:
        pass
    for end in (source, sink):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


class Client:
    """A caller that keeps the session's cookie. One connection: for one thread."""

    def __init__(self, server, cookie=None):
        if server.authority:
            trust = ssl.create_default_context(cafile=str(server.authority))
            self.connection = http.client.HTTPSConnection(server.host, timeout=60, context=trust)
        else:
            self.connection = http.client.HTTPConnection(server.host, timeout=60)
        self.cookie = cookie

    def send(self, method, path, body=None, headers=()):
        """The answer and its body as bytes. Waits when the server is busy, as it asks for."""
        headers = dict(headers)
        if body is not None:
            headers.setdefault("Content-Type", "application/json")
        if self.cookie:
            headers["Cookie"] = f"__Host-signet={self.cookie}"
        while True:
            self.connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = self.connection.getresponse()
            data = answer.read()
            for name, value in answer.getheaders():
                if name.lower() == "set-cookie" and value.startswith("__Host-signet="):
                    self.cookie = value.split("=", 1)[1].split(";")[0] or None
            if answer.status != 503:
                return answer, data
            time.sleep(0.05)

    def call(self, method, path, body=None):
        """Status and decoded body."""
        answer, data = self.send(method, path, body)
        return answer.status, json.loads(data) if data else None

    def log_in(self, username, password):
        """Whether the log-in succeeds. Anything but yes and no is an error of the server."""
        status, body = self.call("POST", "/v1/login", {"username": username, "password": password})
        if status not in (200, 401):
            raise RuntimeError(f"log-in: {status} {body}")
        return status == 200

    def get(self, path):
        """The decoded body of what has to be there."""
        status, body = self.call("GET", path)
        if status != 200:
            raise RuntimeError(f"GET {path}: {status} {body}")
        return body
