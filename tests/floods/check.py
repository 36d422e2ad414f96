"""What floods cost everybody else: latency of `GET /v1/session` and resident memory, beside each kind of flood."""

import json
import multiprocessing
import os
import resource
import secrets
import signal
import socket
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import signet  # noqa: E402

IDLE = int(sys.argv[1]) if len(sys.argv) > 1 else 3_000
SLOW = 1_000
SECONDS = 3
# Generous: the machine is shared with the floods themselves. In milliseconds and mebibytes.
P99_MAX = 250
MEMORY_MAX = 600


def connect(host):
    name, port = host.rsplit(":", 1)
    return socket.create_connection((name, int(port)), timeout=30)


def ask(method, path, host, fields="", body=b""):
    head = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{fields}"
    if body:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


def answer(stream):
    """The status of one answer, which is read to its end."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += (more := stream.recv(65536))
        if not more:
            raise RuntimeError("the connection ended")
    head, body = data.split(b"\r\n\r\n", 1)
    lines = head.lower().split(b"\r\n")
    length = next((int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:")), 0)
    while len(body) < length:
        body += stream.recv(65536)
    return int(head.split(b" ")[1])


def hold(host, count, say, ready):
    """Opens connections, says something on each, and holds them."""
    held = []
    for _ in range(count):
        stream = connect(host)
        stream.sendall(say)
        held.append(stream)
    ready.set()
    signal.pause()


def flood(host, requests, lanes, ready):
    """Calls without end, each lane one after the other."""
    def lane():
        stream = connect(host)
        while True:
            for request in requests:
                stream.sendall(request())
                answer(stream)

    for _ in range(lanes):
        threading.Thread(target=lane, daemon=True).start()
    time.sleep(0.3)
    ready.set()
    signal.pause()


def memory(pid):
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0]) / 1024


def measure(server, cookie):
    """Median and 99th percentile in milliseconds, and the resident memory in mebibytes."""
    stream = connect(server.host)
    request = ask("GET", "/v1/session", server.host, f"Cookie: __Host-signet={cookie}\r\n")
    times, end = [], time.monotonic() + SECONDS
    while time.monotonic() < end:
        began = time.monotonic()
        stream.sendall(request)
        if (status := answer(stream)) != 200:
            raise RuntimeError(f"GET /v1/session: {status}")
        times.append(1000 * (time.monotonic() - began))
        time.sleep(0.001)
    # A connection of one's own is served too.
    stream = connect(server.host)
    stream.sendall(request)
    answer(stream)
    times.sort()
    return times[len(times) // 2], times[len(times) * 99 // 100], memory(server.process.pid)


def main():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    fork = multiprocessing.get_context("fork")
    good = bad = 0
    with signet.Server() as server:
        client = signet.Client(server)
        if not client.log_in("admin", signet.ADMIN):
            raise RuntimeError("no log-in")
        head, claims, seal = client.cookie.split(".")
        host = server.host
        session = lambda token: ask("GET", "/v1/session", host, f"Cookie: __Host-signet={token}\r\n")

        def unknown_key():
            import base64
            fields = {"alg": "EdDSA", "typ": "JWT", "kid": secrets.token_hex(8)}
            return session(base64.urlsafe_b64encode(json.dumps(fields).encode()).rstrip(b"=").decode() + f".{claims}.{seal}")

        def bad_signature():
            return session(f"{head}.{claims}.{secrets.token_urlsafe(63)}AA")

        def log_in():
            body = json.dumps({"username": f"u{secrets.token_hex(4)}", "password": "a wrong password"}).encode()
            return ask("POST", "/v1/login", host, body=body)

        def register():
            body = json.dumps({"username": f"u{secrets.token_hex(6)}", "password": secrets.token_hex(9)}).encode()
            return ask("POST", "/v1/register", host, body=body)

        # Not whole: the rest never comes.
        header = b"GET /v1/session HTTP/1.1\r\nHost: a\r\n" + b"".join(b"X-%d: %s\r\n" % (n, b"x" * 1000) for n in range(30))
        body = b"POST /v1/login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 60000\r\n\r\n{" + b" " * 30000
        unread = ask("GET", "/openapi.json", host) * 20
        kinds = [
            ("quiet", None, ()),
            (f"{IDLE:,} idle connections", hold, (IDLE, ask("GET", "/livez", host))),
            (f"{SLOW:,} headers of 30 KB that never end", hold, (SLOW, header)),
            (f"{SLOW:,} bodies that never end", hold, (SLOW, body)),
            (f"{SLOW:,} readers that read nothing", hold, (SLOW, unread)),
            ("tokens of unknown keys", flood, ([unknown_key], 16)),
            ("tokens with bad signatures", flood, ([bad_signature], 16)),
            ("500 log-ins at once", flood, ([log_in], 500)),
            ("100 that register", flood, ([register], 100)),
        ]
        print("| beside | p50 | p99 | memory |\n| --- | --- | --- | --- |")
        for name, job, arguments in kinds:
            process = None
            if job:
                ready = fork.Event()
                process = fork.Process(target=job, args=(host, *arguments, ready), daemon=True)
                process.start()
                if not ready.wait(60):
                    raise RuntimeError(f"{name}: did not begin")
            half, most, resident = measure(server, client.cookie)
            # The machine may have done something else in those seconds; memory that was taken counts whenever it was.
            for _ in range(2):
                if most < P99_MAX:
                    break
                again = measure(server, client.cookie)
                half, most, resident = min(half, again[0]), min(most, again[1]), max(resident, again[2])
            if process:
                process.kill()
                process.join()
            fine = most < P99_MAX and resident < MEMORY_MAX
            good, bad = good + fine, bad + (not fine)
            print(f"| {name} | {half:.2f} ms | {most:.2f} ms | {resident:.0f} MiB |{'' if fine else ' TOO MUCH'}", flush=True)
    print(f"# pass {good}\n# fail {bad}")
    sys.exit(bad > 0)


main()
