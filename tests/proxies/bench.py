"""What a question to Signet costs a request through nginx, with proxies/nginx.conf, on connections that are kept.

    tests/proxies/bench [application|page|bare] …

The same nginx, the same back end, the same bytes: `/a`, for whoever is logged in, against `/public/a`, for everybody.
`application` takes 5 ms for an answer, as one does that asks a database; `page` makes its JSON at once; `bare` is the
fastest back end there is, an nginx that answers from memory. nginx has a core of its own; the back end, Signet and the
load share the others.
"""

import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from servers import Proxy, answers_at, free_port
from signet import ADMIN, Client, Server

ROUNDS, SECONDS, CONNECTIONS, TARGET = 7, 2, 32, 0.8
NODE = """
const rows = Array.from({ length: 12 }, (_, id) => ({ id, name: `report ${id}`, state: "open", at: new Date(id * 1e9) }));
const answer = (request, response) => {
  const body = JSON.stringify({ user: request.headers["x-auth-user"] ?? null, path: request.url, rows });
  response.writeHead(200, { "content-type": "application/json", "content-length": Buffer.byteLength(body) }).end(body);
};
const server = require("node:http").createServer((request, response) => WAIT);
server.keepAliveTimeout = 60000;
server.listen(PORT, "127.0.0.1");
"""
BARE = """
daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/log; events {{}}
http {{ access_log off; server {{ listen 127.0.0.1:{port}; return 200 {body}; }} }}
"""
cores = sorted(os.sched_getaffinity(0))
others = set(cores[1:]) or set(cores)


def load(port, path, cookie):
    """Requests per second, and the median latency as wrk writes it."""
    words = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "--latency", "-H", f"Cookie: __Host-signet={cookie}"]
    said = subprocess.run([*words, f"http://127.0.0.1:{port}{path}"], capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in said or "Socket errors" in said:
        sys.exit(f"{path}: {said}")
    return float(re.search(r"Requests/sec:\s*([\d.]+)", said)[1]), re.search(r"50%\s+(\S+)", said)[1]


def start_back_end(kind, port, folder):
    """The process of a back end that listens."""
    if kind == "bare":
        Path(folder, "main").write_text(BARE.format(folder=folder, port=port, body="x" * 1024))
        words = ["nginx", "-e", f"{folder}/log", "-p", folder, "-c", f"{folder}/main"]
    else:
        wait = {"application": "setTimeout(answer, 5, request, response)", "page": "answer(request, response)"}[kind]
        words = ["node", "-e", NODE.replace("PORT", str(port)).replace("WAIT", wait)]
    process = subprocess.Popen(words)
    while not answers_at(port):
        if process.poll() is not None:
            sys.exit(f"the back end {kind} does not start")
        time.sleep(0.02)
    return process


def measure(kind, server, cookie):
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        back_end = start_back_end(kind, port, folder)
        os.sched_setaffinity(0, {cores[0]})
        proxy = Proxy("nginx", server.host.split(":")[1], port)
        os.sched_setaffinity(0, others)
        try:
            rounds = [[load(proxy.port, path, cookie) for path in ("/public/a", "/a")] for _ in range(ROUNDS + 1)][1:]
        finally:
            proxy.stop()
            back_end.terminate()
            back_end.wait()
    for at, name in enumerate(("nginx alone", "with Signet")):
        rates = [pair[at][0] for pair in rounds]
        rate, median = statistics.median(rates), rounds[-1][at][1]
        print(f"{kind:12} {name}  {rate:7.0f} requests/s ({min(rates):.0f} to {max(rates):.0f}), p50 {median}")
    ratios = sorted(asked[0] / alone[0] for alone, asked in rounds)
    ratio = statistics.median(ratios)
    verdict = "reached" if ratio >= TARGET else "missed"
    if ratios[-1] > 1.5 * ratios[0]:
        verdict = "no verdict: the machine is too busy with other things"
    print(f"{kind:12} ratio {ratio:.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f}), target {TARGET}: {verdict}", flush=True)


def main():
    about = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    print(f"{about[1] if about else 'an unknown processor'}, {len(cores)} cores, load {os.getloadavg()[0]:.1f}")
    print(f"{CONNECTIONS} connections, {ROUNDS} rounds of {SECONDS} s each, in turn")
    os.sched_setaffinity(0, others)
    with Server() as server:
        client = Client(server)
        if not client.log_in("admin", ADMIN):
            sys.exit("no log-in")
        for kind in sys.argv[1:] or ["application", "page", "bare"]:
            measure(kind, server, client.cookie)


main()
