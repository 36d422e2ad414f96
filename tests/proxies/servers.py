"""The proxies: each runs the file of proxies/ that people copy, in a folder of its own.

In those files the ports 8080, 8000 and 9000 and the path of a script are replaced, and nothing else.
"""

import os
import re
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from signet import ROOT

NGINX = """
daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    include {snippet};
}}
"""
CADDY = """
{{
    admin off
    auto_https off
}}
import {snippet}
"""
MODULES = "authz_core lua proxy proxy_http rewrite setenvif"
APACHE = """
ServerRoot {folder}
ServerName localhost
PidFile {folder}/pid
ErrorLog {folder}/log
DefaultRuntimeDir {folder}
Mutex file:{folder}
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
{modules}
Include {snippet}
"""
COMMANDS = {
    "nginx": ["nginx", "-e", "{folder}/log", "-p", "{folder}", "-c", "{main}"],
    "caddy": ["caddy", "run", "--adapter", "caddyfile", "--config", "{main}"],
    "haproxy": ["haproxy", "-db", "-f", "{snippet}"],
    "apache": ["apache2", "-D", "FOREGROUND", "-f", "{main}"],
}
FILES = {"nginx": "nginx.conf", "caddy": "Caddyfile", "haproxy": "haproxy.cfg", "apache": "apache.conf"}
MAIN = {"nginx": NGINX, "caddy": CADDY, "haproxy": "", "apache": APACHE}


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def answers_at(port):
    """Whether somebody listens there."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    except OSError:
        return False


class Proxy:
    """A running proxy on `port`, until `stop`."""

    def __init__(self, name, signet, application):
        self.temporary = tempfile.TemporaryDirectory(prefix=f"signet-{name}-")
        self.folder = Path(self.temporary.name)
        self.folder.chmod(0o755)
        self.port = free_port()
        ports = {"8080": self.port, "8000": signet, "9000": application}

        def copied(file):
            text = (ROOT / "proxies" / file).read_text()
            text = re.sub(r"\b(8080|8000|9000)\b", lambda found: str(ports[found[1]]), text)
            return re.sub(r"/etc/\w+/signet\.lua", str(self.folder / "signet.lua"), text)

        snippet, main = self.folder / FILES[name], self.folder / "main"
        snippet.write_text(copied(FILES[name]))
        script = ROOT / "proxies" / f"{name}.lua"
        if script.exists():
            (self.folder / "signet.lua").write_text(copied(script.name))
        load = "LoadModule {0}_module /usr/lib/apache2/modules/mod_{0}.so".format
        modules = "\n".join(map(load, MODULES.split()))
        if name == "apache" and os.getuid() == 0:
            modules += "\nUser www-data\nGroup www-data"
        names = {"folder": self.folder, "snippet": snippet, "main": main, "modules": modules}
        main.write_text(MAIN[name].format(**names))
        home = {"HOME": str(self.folder), "XDG_DATA_HOME": str(self.folder), "XDG_CONFIG_HOME": str(self.folder)}
        self.output = open(self.folder / "output", "wb")
        self.process = subprocess.Popen(
            [word.format(**names) for word in COMMANDS[name]], stdin=subprocess.DEVNULL, stdout=self.output,
            stderr=subprocess.STDOUT, cwd=self.folder, env=os.environ | home, start_new_session=True,
        )
        end = time.monotonic() + 20
        while not answers_at(self.port):
            if self.process.poll() is not None or time.monotonic() > end:
                said = self.said()
                self.stop()
                raise RuntimeError(f"{name} did not start: {said}")
            time.sleep(0.02)

    def said(self):
        """Its words, for whoever has to find out."""
        files = [self.folder / "output", self.folder / "log"]
        return "\n".join(file.read_text(errors="replace")[-4000:] for file in files if file.exists())

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                # Its own session: nobody else's processes.
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        self.output.close()
        self.temporary.cleanup()
