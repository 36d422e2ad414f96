"""What Signet has ended, kept in memory and followed, so that no request has to ask for it. `gate.py` shows its use."""

import json
import logging
import math
import os
import random
import time
import urllib.error
import urllib.request
from datetime import datetime

from verify import LEEWAY, SIGNET, keys

TOKEN_FILE = os.environ.get("SIGNET_TOKEN_FILE", "token")  # an API token that may `signet.view_revocations`
SILENCE = 12  # seconds without a heartbeat, which comes every five, after which nothing is known


class Unknown(Exception):
    """Whether a session lives cannot be said at present."""


class Revocations:
    """What has ended. `follow` keeps it up to date, in a thread of its own."""

    def __init__(self):
        self.sessions = {}  # sid: until
        self.users = {}  # sub: the lowest `gen` that lives, the lowest `rev` that is fresh, until
        self.epoch = None
        self.lose()

    def lose(self):
        """Knows nothing any more: refuses until the list is loaded, and the stream has caught up."""
        self.position = None  # in the stream
        self.told = -math.inf  # when a heartbeat last said that everything before it was told

    def check(self):
        """Raises Unknown rather than let anybody guess."""
        if time.monotonic() - self.told > SILENCE:
            raise Unknown

    def is_live(self, claims):
        """Whether nothing has ended the session of a token that verified."""
        self.check()
        generation, *_ = self.users.get(claims["sub"], (0, 0, 0))
        return claims["epoch"] == self.epoch and claims["sid"] not in self.sessions and claims["gen"] >= generation

    def has_fresh_rights(self, claims):
        """Whether groups, permissions and flags are still what the token says."""
        return claims["rev"] >= self.users.get(claims["sub"], (0, 0, 0))[1]

    def learn(self, entry):
        if entry["kind"] == "epoch":
            self.epoch = entry["epoch"]
            return
        until = datetime.fromisoformat(entry["until"]).timestamp()
        if entry["kind"] == "session":
            self.sessions[entry["id"]] = max(until, self.sessions.get(entry["id"], 0))
        else:  # what was told twice comes in any order: the higher number holds
            old = self.users.get(entry["id"], (0, 0, 0))
            self.users[entry["id"]] = tuple(map(max, old, (entry["generation"], entry["rights_version"], until)))

    def load(self):
        keys.get_jwk_set(refresh=True)  # everything may have been ended because a key has leaked
        page = {"next": ""}
        while page["next"] is not None:
            with get("/v1/revocations" + (page["next"] and f"?cursor={page['next']}")) as answer:
                page = json.load(answer)
            for entry in page["items"]:
                self.learn(entry)
        self.position = page["position"]

    def listen(self):
        """Follows the stream for as long as it goes on."""
        with get("/v1/revocations/stream", {"Last-Event-ID": self.position}) as stream:
            event = {}
            for line in stream:
                name, _, value = line.decode().strip().partition(": ")
                if name:
                    event[name] = value
                    continue
                entry, position, event = json.loads(event["data"]), event["id"], {}
                if entry["kind"] in ("reset", "epoch"):
                    return self.lose()
                if entry["kind"] != "heartbeat":
                    self.learn(entry)
                else:
                    self.told, now = time.monotonic(), time.time() - LEEWAY  # what is over needs no entry
                    self.sessions = {sid: until for sid, until in self.sessions.items() if until > now}
                    self.users = {sub: marks for sub, marks in self.users.items() if marks[2] > now}
                self.position = position

    def follow(self):
        """Loads and listens for ever. Tries again after any fault: until that succeeds, silence refuses."""
        pause = 0.1
        while True:
            began = time.monotonic()
            try:
                if self.position is None:
                    self.load()
                self.listen()
            except Exception as fault:
                logging.warning("no revocations: %s", fault)
                if isinstance(fault, urllib.error.HTTPError) and fault.code in (401, 403):
                    logging.error("the API token is refused: nobody passes until %s holds a good one", TOKEN_FILE)
                    self.lose()
            pause = 0.1 if self.told > began else min(2 * pause, 5)
            time.sleep(random.uniform(pause / 2, pause))


def get(path, headers={}):
    """An open answer of Signet's. Whoever says nothing for eight seconds is given up, early enough to try again."""
    with open(TOKEN_FILE) as file:
        headers = {"Authorization": f"Bearer {file.read().strip()}", **headers}
    return urllib.request.urlopen(urllib.request.Request(SIGNET + path, headers=headers), timeout=8)
