"""Three nodes behind HAProxy, as examples/nodes/ says: a session is everybody's, and nobody notices a restart."""

import http.client
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from signet import ADMIN, BINARY, CLEAN, ROOT, Client  # noqa: E402

POSTGRES = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: float(folder.parent.name))


def free_ports(count):
    """Ports that nobody has now."""
    taken = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [server.getsockname()[1] for server in taken]
    for server in taken:
        server.close()
    return ports


def wait(until, what, seconds=30):
    """Waits until it is so."""
    end = time.monotonic() + seconds
    while not until():
        if time.monotonic() > end:
            raise AssertionError(what)
        time.sleep(0.02)


class Database:
    """PostgreSQL in a temporary folder."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="signet-nodes-")
        os.chmod(self.folder.name, 0o777)
        self.data = str(Path(self.folder.name) / "data")
        (self.port,) = free_ports(1)
        self.user = None
        if os.geteuid() == 0:
            # It does not run as root.
            self.user = pwd.getpwnam("postgres").pw_uid
        words = ["--no-sync", "--auth=trust", "--username=signet", "--encoding=UTF8", "--locale=C", "-D", self.data]
        subprocess.run([POSTGRES / "initdb", *words], check=True, capture_output=True, cwd="/", user=self.user)
        settings = ["listen_addresses=127.0.0.1", "unix_socket_directories=", f"port={self.port}"]
        words = [word for setting in settings for word in ("-c", setting)]
        self.process = subprocess.Popen(
            [POSTGRES / "postgres", "-D", self.data, *words],
            cwd="/", user=self.user, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        ask = [POSTGRES / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        wait(lambda: subprocess.run(ask).returncode == 0, "PostgreSQL does not start")
        self.url = f"postgres://signet@127.0.0.1:{self.port}/postgres?sslmode=disable"

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout=60)
        self.folder.cleanup()


class Node:
    """A node at a port of its own, which it keeps."""

    authority = None

    def __init__(self, folder, port, store):
        self.host = f"127.0.0.1:{port}"
        password = folder / "admin-password"
        password.write_text(ADMIN)
        self.words = [BINARY, "serve", "--listen", self.host, "--data", folder / "data", "--keys", folder / "keys"]
        self.words += ["--admin-password-file", password, "--throttle", "off", "--stop-delay", "3s"]
        self.words += ["--trusted-proxy", "127.0.0.1", "--origin", "http://localhost:8080"]
        self.environment = CLEAN | {"SIGNET_STORE": store}
        self.log = folder / f"log-{port}"
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            list(map(str, self.words)), env=self.environment, stdout=subprocess.PIPE, stderr=self.log.open("ab"), text=True
        )
        for line in self.process.stdout:
            if line.startswith("listening on "):
                return
        raise RuntimeError(self.log.read_text())

    def restart(self):
        """In order, and with another one after it at the same place."""
        self.process.send_signal(signal.SIGTERM)
        if self.process.wait(timeout=60) != 0:
            raise RuntimeError(self.log.read_text())
        self.process.stdout.close()
        self.start()

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class Place:
    """Where HAProxy listens."""

    authority = None

    def __init__(self, port):
        self.host = f"127.0.0.1:{port}"


class Nodes(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="signet-nodes-")
        folder = Path(cls.folder.name)
        cls.database = Database()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.addClassCleanup(cls.database.stop)
        environment = CLEAN | {"SIGNET_STORE": cls.database.url}
        for words in (["migrate"], ["keys", "generate", "--keys", folder / "keys"]):
            subprocess.run([BINARY, *words], check=True, env=environment, capture_output=True)
        web, *ports = free_ports(4)
        cls.nodes = []
        for port in ports:
            node = Node(folder, port, cls.database.url)
            cls.nodes.append(node)
            cls.addClassCleanup(node.stop)
        text = (ROOT / "examples/nodes/haproxy.cfg").read_text()
        for written, port in zip((8080, 8001, 8002, 8003), (web, *ports)):
            assert f"127.0.0.1:{written}" in text
            text = text.replace(f"127.0.0.1:{written}", f"127.0.0.1:{port}")
        (folder / "haproxy.cfg").write_text(text)
        haproxy = shutil.which("haproxy", path=os.environ["PATH"] + ":/usr/sbin")
        cls.proxy = subprocess.Popen([haproxy, "-db", "-q", "-f", folder / "haproxy.cfg"], stderr=subprocess.DEVNULL)
        cls.addClassCleanup(lambda: (cls.proxy.kill(), cls.proxy.wait()))
        cls.web = Place(web)
        wait(cls.answers, "HAProxy does not answer")

    @classmethod
    def answers(cls):
        try:
            return cls.ask(None) == 200
        except OSError:
            return False

    @classmethod
    def ask(cls, cookie, connection=None):
        """The status of a session's request through HAProxy, on a connection of its own if there is none."""
        own = connection or http.client.HTTPConnection(cls.web.host, timeout=30)
        own.request("GET", "/v1/session", headers={"Cookie": f"__Host-signet={cookie}"} if cookie else {})
        answer = own.getresponse()
        answer.read()
        if connection is None:
            own.close()
        return answer.status

    def logged_in(self):
        client = Client(self.web)
        self.assertTrue(client.log_in("admin", ADMIN))
        return client

    def test_a_session_is_known_to_every_node_and_so_is_its_end(self):
        client = self.logged_in()
        cookie = client.cookie
        for node in self.nodes:
            self.assertEqual(Client(node, cookie).call("GET", "/v1/session")[0], 200)
        self.assertEqual(client.call("POST", "/v1/logout")[0], 204)
        for node in self.nodes:
            wait(lambda: Client(node, cookie).call("GET", "/v1/session")[0] == 401, "it goes on", seconds=10)

    def test_every_node_is_restarted_and_nobody_notices(self):
        cookie = self.logged_in().cookie
        over, answers = threading.Event(), []

        def load(is_kept):
            connection = http.client.HTTPConnection(self.web.host, timeout=30) if is_kept else None
            while not over.is_set():
                answers.append(self.ask(cookie, connection))
                time.sleep(0.005)

        threads = [threading.Thread(target=load, args=(kept,)) for kept in (True, True, False, False)]
        for thread in threads:
            thread.start()
        try:
            for node in self.nodes:
                node.restart()
                # Until HAProxy has seen that it is back, before the next one goes.
                time.sleep(1.5)
        finally:
            over.set()
            for thread in threads:
                thread.join()
        self.assertGreater(len(answers), 500)
        self.assertEqual(set(answers), {200})
        self.assertTrue(self.logged_in())

    def test_a_node_that_dies_is_left_out_and_its_sessions_go_on(self):
        cookie = self.logged_in().cookie
        victim = self.nodes[0]
        victim.stop()
        wait(lambda: all(self.ask(cookie) == 200 for _ in range(12)), "the sessions do not go on", seconds=10)
        victim.start()
        wait(lambda: Client(victim, cookie).call("GET", "/v1/session")[0] == 200, "it does not come back")


if __name__ == "__main__":
    unittest.main()
