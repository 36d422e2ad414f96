"""The page about moving from Django is true: every command of it runs, beside a project that Django itself has made."""

import os
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from signet import BINARY, CLEAN, ROOT, Server

PASSWORD = "the password from Django"

PEOPLE = f"""
from django.contrib.auth.models import Group, Permission, User
User.objects.create_superuser("root", "root@example.com", {PASSWORD!r})
alice = User.objects.create_user("alice", "alice@example.com", {PASSWORD!r}, is_staff=True)
group = Group.objects.create(name="readers")
group.permissions.add(Permission.objects.get(codename="view_user"))
alice.groups.add(group)
"""


def blocks():
    page = (ROOT / "README.md").read_text().split("\n## Moving from Django\n")[1].split("\n## ")[0]
    return re.findall(r"```sh\n(.*?)```", page, re.S)


class Readme(unittest.TestCase):
    def run_block(self, block, folder, environment):
        """Runs the commands, and compares each answer with the line that stands after it."""
        lines = block.strip().splitlines()
        variables, checked = "", 0
        for at, line in enumerate(lines):
            if line.startswith("# → "):
                continue
            if re.match(r"[A-Z]+=", line):
                variables += line + "\n"
                continue
            words = ["bash", "-c", variables + line]
            done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
            self.assertEqual(done.returncode, 0, f"{line}\n{done.stdout}{done.stderr}")
            if at + 1 < len(lines) and lines[at + 1].startswith("# → "):
                self.assertIn(lines[at + 1].removeprefix("# → "), done.stdout, line)
                checked += 1
        return checked

    def test_every_command_answers_what_the_page_says(self):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "bin").mkdir()
            os.symlink(BINARY, folder / "bin" / "signet")
            path = f"{folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
            environment = {**CLEAN, "PATH": path}
            start = "python -m django startproject shop . && python manage.py migrate -v 0"
            for words in (["bash", "-c", start], ["python", "manage.py", "shell", "-c", PEOPLE]):
                subprocess.run(words, cwd=folder, env=environment, check=True, capture_output=True)
            moving, using = blocks()
            self.assertEqual(self.run_block(moving, folder, environment), 4)
            server = Server(folder)
            try:
                here = using.replace("http://localhost:8000", f"http://{server.host.replace('127.0.0.1', 'localhost')}")
                self.assertEqual(self.run_block(here, folder, environment), 2)
            finally:
                server.stop()


if __name__ == "__main__":
    unittest.main()
