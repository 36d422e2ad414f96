"""The worlds of one run, made once, beside each other. The seed is said, and `SIGNET_SEED` repeats it."""

import atexit
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

SEED = os.environ.get("SIGNET_SEED") or str(random.SystemRandom().randrange(10**9))
USERS = {"plain": 2040, "custom": 160, "default": 24, "odd": 0}

scratch = None
made = {}


def get(kind):
    """The world's folder, and Django's decisions in it."""
    if not made:
        make()
    return made[kind]


def make():
    global scratch
    print(f"SIGNET_SEED={SEED}", flush=True)
    scratch = tempfile.TemporaryDirectory()
    atexit.register(scratch.cleanup)
    making = {}
    for kind, users in USERS.items():
        folder = Path(scratch.name) / kind
        folder.mkdir()
        words = [sys.executable, "-W", "ignore", Path(__file__).parent / "world.py", folder, kind, str(users), SEED]
        making[kind] = (folder, subprocess.Popen(words))
    for kind, (folder, process) in making.items():
        if process.wait() != 0:
            raise RuntimeError(f"the world {kind} could not be made")
        oracle = json.loads((folder / "oracle.json").read_text())
        for number, user in enumerate(oracle["users"]):
            user["number"] = number
        made[kind] = (folder, oracle)
