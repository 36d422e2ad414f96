"""Signet as its users meet it: the binary's commands, a server that runs, and a client that keeps the cookie."""

import http.client
import json
import os
import subprocess
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BINARY = os.environ.get("SIGNET_BIN") or str(ROOT / "target" / "release" / "signet")
ADMIN = "a password of the tests"
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("SIGNET_")}


def command(*words):
    """Exit code, standard output and standard error of a command."""
    done = subprocess.run([BINARY, *map(str, words)], capture_output=True, text=True, env=CLEAN, timeout=300)
    return done.returncode, done.stdout, done.stderr


def has(flag):
    return flag in command("serve", "--help")[1]


class Server:
    """A server on the folder's data, until `stop`."""

    def __init__(self, folder):
        password = folder / "admin-password"
        password.write_text(ADMIN)
        words = [BINARY, "serve", "--listen", "127.0.0.1:0", "--data", folder / "data", "--keys", folder / "keys"]
        words += ["--admin-password-file", password]
        if has("--throttle"):
            words += ["--throttle", "off"]
        self.log = open(folder / "log", "ab")
        self.process = subprocess.Popen(list(map(str, words)), stdout=subprocess.PIPE, stderr=self.log, env=CLEAN, text=True)
        for line in self.process.stdout:
            if line.startswith("listening on "):
                self.host = line.split("//")[1].strip()
                break
        else:
            raise RuntimeError(f"no server: {(folder / 'log').read_text()}")
        # What it says later shall not make it wait.
        threading.Thread(target=self.process.stdout.read, daemon=True).start()

    def stop(self):
        self.process.terminate()
        code = self.process.wait(timeout=60)
        self.log.close()
        if code != 0:
            raise RuntimeError(f"the server ended with {code}")


class Client:
    def __init__(self, server, cookie=None):
        self.connection = http.client.HTTPConnection(server.host, timeout=60)
        self.cookie = cookie

    def call(self, method, path, body=None):
        """Status and decoded body. Waits when the server is busy, as it asks for."""
        while True:
            headers = {"Content-Type": "application/json"} if body is not None else {}
            if self.cookie:
                headers["Cookie"] = f"__Host-signet={self.cookie}"
            self.connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = self.connection.getresponse()
            data = answer.read()
            for name, value in answer.getheaders():
                if name.lower() == "set-cookie" and value.startswith("__Host-signet="):
                    self.cookie = value.split("=", 1)[1].split(";")[0] or None
            if answer.status != 503:
                return answer.status, json.loads(data) if data else None
            time.sleep(0.05)

    def log_in(self, username, password):
        """Whether the log-in succeeds. Anything but yes and no is an error of the server."""
        status, body = self.call("POST", "/v1/login", {"username": username, "password": password})
        if status not in (200, 401):
            raise RuntimeError(f"log-in: {status} {body}")
        return status == 200

    def get(self, path):
        status, body = self.call("GET", path)
        if status != 200:
            raise RuntimeError(f"GET {path}: {status} {body}")
        return body


    def check(self, names, labels):
        """What `has_perm` and `has_module_perms` answer; asked in pieces, as a body has a limit."""
        permissions, modules = {}, {}
        for at in range(0, max(len(names), len(labels)), 150):
            body = {"permissions": names[at : at + 150], "modules": labels[at : at + 150]}
            status, answer = self.call("POST", "/v1/permissions/check", body)
            if status != 200:
                raise RuntimeError(f"check: {status} {answer}")
            permissions |= answer["results"]
            modules |= answer["modules"]
        return [permissions[name] for name in names], [modules[label] for label in labels]


def export(folder):
    """The records of a stopped server's store, by kind, then by name."""
    code, out, error = command("export", "--data", folder / "data")
    if code != 0:
        raise RuntimeError(f"export: {error}")
    found = {"permission": {}, "group": {}, "user": {}}
    for line in map(json.loads, out.splitlines()):
        for kind in found.keys() & line.keys():
            record = line[kind]
            found[kind][record.get("username", record.get("name"))] = record
    return found
