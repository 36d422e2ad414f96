"""What stands around a proxy in the tests: the application behind it, the way to Signet, and a client of raw bytes.

The application tells what has reached it, as it came; the way to Signet can be closed, or lead to something broken.
"""

import base64
import hashlib
import json
import socket
import threading
from dataclasses import dataclass, field

from signet import pump


def head_of(stream):
    """The start line and the fields as they came, or nothing at the end of the stream."""
    lines = []
    while True:
        line = stream.readline()
        if not line:
            return None
        line = line.decode("latin-1").rstrip("\r\n")
        if not line:
            if lines:
                break
            continue
        lines.append(line)
    fields = [tuple(part.strip() for part in line.split(":", 1)) for line in lines[1:] if ":" in line]
    return lines[0], fields


def one(fields, name):
    """The value of a field that is there once at most."""
    found = [value for key, value in fields if key.lower() == name.lower()]
    assert len(found) < 2, (name, fields)
    return found[0] if found else None


class Listener:
    """Serves each connection on a thread of its own, on a free port of 127.0.0.1, until `close`."""

    def __init__(self):
        self.connections = 0
        self.open_at(0)

    def open_at(self, port):
        self.socket = socket.create_server(("127.0.0.1", port), backlog=128)
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.accept, args=(self.socket,), daemon=True).start()

    def accept(self, listening):
        while True:
            try:
                peer, _ = listening.accept()
            except OSError:
                return
            self.connections += 1
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self.guarded, args=(peer,), daemon=True).start()

    def guarded(self, peer):
        try:
            self.serve(peer)
        except OSError:
            pass
        finally:
            peer.close()

    def close(self):
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.socket.close()


class Application(Listener):
    """Answers every request with what has reached it, as JSON, and keeps it in `seen`. A WebSocket says four bytes back."""

    def __init__(self):
        self.seen = []
        super().__init__()

    def serve(self, peer):
        stream = peer.makefile("rb")
        while True:
            head = head_of(stream)
            if head is None:
                return
            line, fields = head
            length = int(one(fields, "content-length") or 0)
            body = stream.read(length)
            if (one(fields, "transfer-encoding") or "").lower() == "chunked":
                while size := int(stream.readline(), 16):
                    body += stream.read(size)
                    stream.readline()
                stream.readline()
            self.seen.append((line, fields, body))
            if key := one(fields, "sec-websocket-key"):
                accept = base64.b64encode(hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest())
                peer.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                             b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
                peer.sendall(stream.read(4))
                return
            text = json.dumps({"line": line, "fields": fields, "body": body.decode("latin-1")}).encode()
            answer = f"HTTP/1.1 200 OK\r\nContent-Length: {len(text)}\r\nSet-Cookie: app=1; Path=/\r\n\r\n".encode()
            peer.sendall(answer + (b"" if line.startswith("HEAD ") else text))


class Way(Listener):
    """The way to Signet: bytes go to and fro, unless something else is to happen there. `sent` is what went to it."""

    def __init__(self, host):
        name, port = host.rsplit(":", 1)
        self.target = (name, int(port))
        self.broken = None
        self.sent = b""
        self.live = set()
        super().__init__()

    def serve(self, peer):
        if self.broken:
            if head_of(peer.makefile("rb")):
                peer.sendall(self.broken)
            return
        with socket.create_connection(self.target) as far:
            self.live |= {peer, far}
            back = threading.Thread(target=pump, args=(far, peer, len), daemon=True)
            back.start()
            pump(peer, far, self.remember)
            back.join()
            self.live -= {peer, far}

    def remember(self, data):
        self.sent = (self.sent + data)[-100_000:]

    def cut(self):
        """Ends the connections that there are."""
        for end in list(self.live):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


@dataclass
class Answer:
    """What a proxy has answered; `reached` is what the application saw of the request."""

    status: int
    fields: list = field(default_factory=list)
    body: bytes = b""
    reached: list = field(default_factory=list)

    def field(self, name):
        return one(self.fields, name)

    def cookies(self):
        return [value for name, value in self.fields if name.lower() == "set-cookie"]


def send(port, line, fields=(), body=b"", source="127.0.0.1"):
    """Sends a request byte for byte and reads to the end; the status is 0 when there was no answer."""
    names = [name.lower() for name, _ in fields]
    fields = [("Host", "app.example"), *fields]
    # A WebSocket's client speaks when it was answered.
    late = "upgrade" in names
    if not late:
        fields.append(("Connection", "close"))
    if body and not late and "transfer-encoding" not in names:
        fields.append(("Content-Length", str(len(body))))
    head = "".join([line, "\r\n", *(f"{name}: {value}\r\n" for name, value in fields), "\r\n"])
    with socket.create_connection(("127.0.0.1", port), timeout=20, source_address=(source, 0)) as peer:
        try:
            peer.sendall(head.encode("latin-1") + (b"" if late else body))
        except OSError:
            pass  # It may have answered before the end.
        stream = peer.makefile("rb")
        try:
            found = head_of(stream)
            if found is None:
                return Answer(0)
            start, got = found
            if late and " 101 " in start:
                peer.sendall(body)
            length = one(got, "content-length")
            rest = stream.read() if length is None or line.startswith("HEAD ") else stream.read(int(length))
        except ConnectionResetError:
            return Answer(0)
    return Answer(int(start.split(" ")[1]), got, rest)
