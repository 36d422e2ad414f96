"""The files of operations/ by the programs that they are for."""

import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.parse
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from signet import ADMIN, BINARY, ROOT, Client, Server

OPERATIONS = ROOT / "operations"
TOKEN = "a-token-for-the-one-that-scrapes"


def run(*words, **options):
    return subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=60, **options)


def eventually(what, seconds=60):
    """What it gives when that is something."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            found = what()
        except OSError:
            found = None
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError("it never came to be")


class Measured(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if not shutil.which("promtool"):
            raise unittest.SkipTest("promtool is not installed; tests/run installs it")
        cls.folder = tempfile.TemporaryDirectory(prefix="signet-")
        cls.token = Path(cls.folder.name) / "token"
        cls.token.write_text(TOKEN + "\n")
        cls.server = Server(None, "--metrics-token-file", cls.token)

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        cls.folder.cleanup()

    def some_life(self):
        client = Client(self.server)
        client.log_in("admin", "not the right one")
        self.assertTrue(client.log_in("admin", ADMIN))
        client.get("/v1/me")
        client.call("GET", "/v1/nothing")
        client.call("POST", "/v1/logout")

    def test_promtool_finds_nothing_wrong_with_the_meters(self):
        self.some_life()
        request = urllib.request.Request(self.server.base + "/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            text = answer.read().decode()
        self.assertIn("signet_http_requests_total", text)
        checked = run("promtool", "check", "metrics", input=text)
        self.assertEqual((checked.returncode, checked.stdout, checked.stderr), (0, "", ""))

    def test_a_prometheus_reads_them_and_every_alert_and_panel_says_something(self):
        rules = OPERATIONS / "prometheus-alerts.yml"
        checked = run("promtool", "check", "rules", rules)
        self.assertEqual(checked.returncode, 0, checked.stderr)
        if not shutil.which("prometheus"):
            self.skipTest("prometheus is not installed; tests/run installs it")
        folder = Path(self.folder.name)
        (folder / "prometheus.yml").write_text(
            json.dumps(
                {
                    "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
                    "rule_files": [str(rules)],
                    "scrape_configs": [
                        {
                            "job_name": "signet",
                            "authorization": {"credentials_file": str(self.token)},
                            "static_configs": [{"targets": [self.server.host]}],
                        }
                    ],
                }
            )
        )
        with socket.create_server(("127.0.0.1", 0)) as free:
            address = "127.0.0.1:%d" % free.getsockname()[1]
        words = ["prometheus", f"--config.file={folder / 'prometheus.yml'}", f"--web.listen-address={address}"]
        words += [f"--storage.tsdb.path={folder / 'tsdb'}"]
        with open(folder / "prometheus.log", "w") as log:
            prometheus = subprocess.Popen(words, stdout=log, stderr=log, cwd=folder)
        try:
            self.ask_everything(address)
        finally:
            prometheus.terminate()
            prometheus.wait()

    def ask_everything(self, address):
        def api(path, **parameters):
            url = f"http://{address}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
            with urllib.request.urlopen(url, timeout=10) as answer:
                return json.load(answer)["data"]

        def result(expression):
            return api("query", query=expression)["result"]

        eventually(lambda: result('up{job="signet"} == 1'))
        self.some_life()
        eventually(lambda: result('increase(signet_audit_events_total{action="login",outcome="refused"}[1m]) > 0'))
        dashboard = json.loads((OPERATIONS / "grafana.json").read_text())
        # Nobody was throttled, and no mail was sent.
        quiet = ("signet_throttled_total",)
        for panel in dashboard["panels"]:
            for target in panel["targets"]:
                expression = target["expr"].replace("$instance", ".*").replace("$__rate_interval", "1m")
                if not any(name in expression for name in quiet):
                    self.assertTrue(eventually(lambda: result(expression), 20), expression)
                else:
                    result(expression)
        groups = eventually(lambda: [g for g in api("rules")["groups"] if all(r.get("lastEvaluation") for r in g["rules"])])
        alerts = {rule["name"]: rule for group in groups for rule in group["rules"]}
        self.assertGreaterEqual(len(alerts), 12)
        for name, rule in alerts.items():
            self.assertEqual(rule["health"], "ok", name)
            # One slow moment of the machine begins these two, which fire when it lasts.
            states = ("inactive", "pending") if name in ("SignetStoreSlow", "SignetDown") else ("inactive",)
            self.assertIn(rule["state"], states, name)
            for label in ("summary", "remedy"):
                self.assertTrue(rule["annotations"][label], name)


class Unit(unittest.TestCase):
    def setUp(self):
        if not shutil.which("systemd-analyze"):
            self.skipTest("systemd-analyze is not installed")

    def test_systemd_takes_the_unit_and_its_sandbox_is_narrow(self):
        with tempfile.TemporaryDirectory(prefix="signet-") as folder:
            unit = Path(folder) / "signet.service"
            text = (OPERATIONS / "signet.service").read_text()
            self.assertIn("ExecStart=/usr/local/bin/signet serve", text)
            # What it starts has to be there, and is not installed for a test.
            unit.write_text(text.replace("/usr/local/bin/signet", BINARY))
            verified = run("systemd-analyze", "verify", "--recursive-errors=no", "--man=no", unit)
            said = [line for line in verified.stderr.splitlines() if "signet" in line]
            self.assertEqual((verified.returncode, said), (0, []))
            judged = run("systemd-analyze", "security", "--offline=true", "--threshold=15", "--no-pager", unit)
            self.assertEqual(judged.returncode, 0, judged.stdout)
            # The flags of the unit are flags that there are.
            flags = next(line for line in text.splitlines() if line.startswith("ExecStart=")).split()[2:]
            known = run(BINARY, "serve", "--help").stdout
            for flag in flags:
                if flag.startswith("--"):
                    self.assertIn(flag + " ", known)


class Image(unittest.TestCase):
    def test_a_static_binary_needs_nothing_but_itself(self):
        """As the image has it: an empty root, with the names of hosts that the runtime puts there."""
        binary = ROOT / "target/x86_64-unknown-linux-gnu/release/signet"
        self.assertIn(f"COPY {binary.relative_to(ROOT)} /signet", (OPERATIONS / "Containerfile").read_text())
        if not binary.exists():
            self.fail("no static binary: operations/README.md, A container, tells how it is built")
        with tempfile.TemporaryDirectory(prefix="signet-") as folder:
            shutil.copy(binary, folder)
            made = run("chroot", folder, "/signet", "keys", "generate", "--kid", "first")
            if "Operation not permitted" in made.stderr:
                self.skipTest("only root may change the root")
            self.assertEqual((made.returncode, made.stderr), (0, ""))
            relay = socket.create_server(("127.0.0.1", 0))
            self.addCleanup(relay.close)
            (Path(folder) / "etc").mkdir()
            (Path(folder) / "etc/hosts").write_text("127.0.0.1 relay.test\n")
            words = ["chroot", folder, "/signet", "serve", "--listen", "127.0.0.1:0"]
            words += ["--mail", f"smtp+plain://relay.test:{relay.getsockname()[1]}"]
            serving = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            try:
                base = next(line for line in serving.stdout if line.startswith("listening on ")).split()[-1]
                with urllib.request.urlopen(base + "/readyz", timeout=10) as answer:
                    self.assertEqual(json.load(answer), {"status": "ok"})
                account = {"username": "someone", "password": "correct horse 9", "email": "someone@example.org"}
                request = urllib.request.Request(base + "/v1/register", json.dumps(account).encode())
                request.add_header("content-type", "application/json")
                with urllib.request.urlopen(request, timeout=10) as answer:
                    self.assertEqual(answer.status, 201)
                # The mail that proves the address: the relay was found by its name, though no library was loaded.
                relay.settimeout(10)
                relay.accept()[0].close()
            finally:
                serving.terminate()
                serving.communicate()
            self.assertEqual(serving.returncode, 0)


if __name__ == "__main__":
    unittest.main()
