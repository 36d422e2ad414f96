"""The committed Postman collection, run by newman against Signet's binary.

Prints a line for each run, and at the end how many of newman's assertions passed and failed.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
import signet

HERE = Path(__file__).resolve().parent
COLLECTION = signet.ROOT / "openapi/signet.postman_collection.json"
NEWMAN = HERE / "node_modules/newman/bin/newman.js"


class Run:
    """What newman said about a collection on a server."""

    def __init__(self, server, base, collection=COLLECTION):
        words = ["node", NEWMAN, "run", collection, "--env-var", f"baseUrl={base}"]
        words += ["--env-var", f"adminPassword={signet.ADMIN}", "--timeout-request", "60000"]
        if server.authority:
            words += ["--ssl-extra-ca-certs", server.authority]
        with tempfile.TemporaryDirectory(prefix="signet-postman-") as folder:
            summary = Path(folder) / "summary.json"
            words += ["--reporters", "json", "--reporter-json-export", summary]
            done = subprocess.run(list(map(str, words)), capture_output=True, text=True, env=signet.CLEAN, timeout=300)
            if not summary.exists():
                raise RuntimeError(f"newman wrote nothing: {done.stdout}{done.stderr}")
            run = json.loads(summary.read_text())["run"]
        self.code = done.returncode
        self.assertions, self.failed = run["stats"]["assertions"]["total"], run["stats"]["assertions"]["failed"]
        self.requests = run["stats"]["requests"]["total"]
        self.statuses = [execution["response"]["code"] for execution in run["executions"] if "response" in execution]
        # A script that throws is a failure which is no assertion.
        self.broken = [failure for failure in run["failures"] if failure["error"].get("name") != "AssertionError"]
        self.failures = [
            f"{failure['source'].get('name')}: {failure['error'].get('test') or ''} {failure['error']['message']}"
            for failure in run["failures"]
        ]


def changed(change):
    """The collection with a change, as a file that lives as long as the result."""
    collection = json.loads(COLLECTION.read_text())
    change(collection)
    file = tempfile.NamedTemporaryFile("w", suffix=".json", prefix="signet-postman-")
    json.dump(collection, file)
    file.flush()
    return file


def without_jar(collection):
    for folder in collection["item"]:
        for item in folder["item"]:
            item.setdefault("protocolProfileBehavior", {})["disableCookies"] = True


def another_status(collection):
    """The first request shall answer what it does not answer."""
    script = collection["item"][0]["item"][0]["event"][-1]["script"]
    text = "\n".join(script["exec"])
    if "oneOf([201])" not in text:
        raise RuntimeError(f"the first request has another test: {text}")
    script["exec"] = text.replace("oneOf([201])", "oneOf([200])").split("\n")


class Checks:
    def __init__(self):
        self.passed = self.failed = 0

    def check(self, what, fine, why=""):
        self.passed += bool(fine)
        self.failed += not fine
        print(f"{'ok' if fine else 'FAILED'}: {what}{'' if fine else f': {why}'}", flush=True)

    def green(self, what, run, operations):
        """Adds newman's assertions; a run without any has failed."""
        self.passed += run.assertions - run.failed
        self.failed += run.failed
        print(f"{what}: {run.requests} requests, {run.assertions} assertions, {run.failed} failed", flush=True)
        for failure in run.failures:
            print(f"  {failure}")
        fine = run.code == 0 and not run.failures
        self.check(f"{what} is green", fine, f"exit code {run.code}, {len(run.broken)} broken scripts")
        self.check(f"{what} sends every operation", run.requests >= operations, run.requests)
        self.check(f"{what} tests every request", run.assertions >= 3 * run.requests, run.assertions)


def operations():
    """How many operations answer with something that ends."""
    document = json.loads((signet.ROOT / "openapi/signet.json").read_text())
    each = [operation for methods in document["paths"].values() for operation in methods.values()]
    return sum("text/event-stream" not in json.dumps(operation["responses"]) for operation in each)


def main():
    checks, count = Checks(), operations()
    code, printed, _ = signet.command("postman")
    checks.check("`signet postman` prints the committed collection", code == 0 and printed == COLLECTION.read_text())
    loads = subprocess.run(["node", HERE / "loads.js", COLLECTION], capture_output=True, text=True, timeout=60)
    checks.check("Postman's own library reads it without a loss", loads.returncode == 0, loads.stdout + loads.stderr)

    with signet.Server(tls=True) as server:
        checks.green("https", Run(server, server.base), count)
        checks.green("https, once more", Run(server, server.base), count)
        with changed(without_jar) as file:
            run = Run(server, server.base, file.name)
        checks.check("without the cookie jar it is red", run.code != 0 and 401 in run.statuses, run.statuses)
        with changed(another_status) as file:
            run = Run(server, server.base, file.name)
        fine = run.code != 0 and run.failed == 1
        checks.check("with another status to expect it is red, there alone", fine, run.failures)
    with signet.Server() as server:
        checks.green("http://localhost", Run(server, server.base.replace("127.0.0.1", "localhost")), count)

    print(f"# pass {checks.passed}\n# fail {checks.failed}")
    return checks.failed > 0


if __name__ == "__main__":
    sys.exit(main())
