"""What the tests of generated clients share: the README's snippets, the generators, a server over https.

Each folder beside this file generates clients by the very commands of the README's section "Generated clients", from
the committed document, below `target/clients/`; checks their types; runs the snippet; and runs one and the same scenario:
register, log in, write and read session data, be refused, be granted a permission by an administrator, pass, list the
devices, log out, be refused.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from signet import ADMIN, CLEAN, ROOT, Client, Server

TARGET = ROOT / "target" / "clients"
# The user of the snippets.
ALICE = {"username": "alice", "password": "correct horse battery staple"}
# The generators stand beside the Python that runs this.
PATH = f"{Path(sys.executable).parent}:{os.environ['PATH']}"


def run(words, folder, **environment):
    """Standard output and standard error of a command that has to succeed."""
    environment = {**CLEAN, "PATH": PATH, "JAVA_OPTS": "-Xmx512m", **environment}
    done = subprocess.run(
        list(map(str, words)), cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=900,
    )
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, words))}: {done.returncode}\n{done.stdout}")
    return done.stdout


def snippet(title):
    """The command that generates and the code that uses, from the README's section of this title."""
    section = (ROOT / "README.md").read_text().split("\n## Generated clients\n")[1].split("\n## ")[0]
    part = section.split(f"\n**{title}**")[1].split("\n**")[0]
    command, code = re.findall(r"```\w+\n(.*?)```", part, re.S)
    return command, code


def workplace(name):
    """A new folder in which the README's commands find the document."""
    folder = TARGET / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "openapi").symlink_to(ROOT / "openapi")
    return folder


def generate(title, folder):
    """Runs the README's command; what the generator printed must hold no error. Gives the snippet's code."""
    command, code = snippet(title)
    said = run(["bash", "-euc", command], folder)
    faults = [line for line in said.splitlines() if re.search(r"\b(ERROR|Exception)\b|Warning\(s\)", line)]
    if faults:
        raise AssertionError("\n".join(faults))
    return code


class Live(Server):
    """A server over https with the user of the snippets, and how the scenarios are told of it."""

    def __init__(self):
        super().__init__(tls=True)
        status, answer = Client(self).call("POST", "/v1/register", ALICE)
        assert status == 201, answer

    def here(self, code):
        """The snippet, with this server's address."""
        assert "https://localhost:8000" in code
        return code.replace("https://localhost:8000", self.base)

    def run(self, *words):
        """Output of a program, in the folder in which the server has made its certificate."""
        place = {"BASE": self.base, "AUTHORITY": str(self.authority), "PASSWORD": ADMIN}
        return run(words, self.folder, NODE_EXTRA_CA_CERTS=str(self.authority), **place)
