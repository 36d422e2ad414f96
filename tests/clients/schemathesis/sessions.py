"""Who sends the generated requests: the session of the role that `TRY_ROLE` names, on the server at `TRY_URL`.

Loaded by schemathesis as its hooks. What would end the session is sent with one of its own, and a session that was
ended anyway, by a new epoch say, is followed by another: so no operation has to be left out.
"""

import itertools
import json
import os

import requests
import schemathesis

URL = os.environ["TRY_URL"]
ROLE = os.environ["TRY_ROLE"]
PASSWORD = os.environ["TRY_PASSWORD"]
COOKIE = "__Host-signet"

# What ends the session that asks, or the password that it was opened with.
ENDING = {
    "change_password",
    "confirm_password_reset",
    "delete_session",
    "delete_session_by_id",
    "delete_sessions",
    "login_account",
    "logout_account",
    "register_account",
    "renew_session",
}

numbers = itertools.count(1)


def ask(method, path, body=None, cookie=None):
    """The answer to one request; the cookie is put in by hand, for it is Secure and the server may be on HTTP."""
    headers = {"Cookie": f"{COOKIE}={cookie}"} if cookie else {}
    return requests.request(method, URL + path, json=body, headers=headers, timeout=30)


def opened(answer):
    """The cookie of the session that this answer opened."""
    answer.raise_for_status()
    # Two cookies come: the session's and the device's.
    for field in answer.raw.headers.getlist("Set-Cookie"):
        name, _, value = field.partition(";")[0].partition("=")
        if name == COOKIE:
            return value
    raise AssertionError(f"no session in {answer.status_code}")


def log_in(name):
    return opened(ask("POST", "/v1/login", {"username": name, "password": PASSWORD}))


def superuser():
    return log_in("admin")


def staff():
    name = f"{ROLE}-{next(numbers)}"
    body = {"username": name, "password": PASSWORD, "is_staff": True}
    ask("POST", "/v1/users", body, superuser()).raise_for_status()
    return log_in(name)


def user():
    return opened(ask("POST", "/v1/register", {"username": f"{ROLE}-{next(numbers)}", "password": PASSWORD}))


# The account that all others are made by. The superuser may take its own password away, and has done so here, with an
# identifier from the list of users: then nobody could go on.
ADMIN = ask("GET", "/v1/me", cookie=superuser()).json()["id"]
NOBODY = "A" * 22


@schemathesis.hook
def before_call(context, case, kwargs):
    """A stream that may last is over when it has told what is there."""
    if case.operation.definition.raw.get("operationId") != "stream_revocations":
        return
    seconds = (case.query or {}).get("seconds")
    if seconds is None or (isinstance(seconds, int) and 0 <= seconds <= 86400):
        case.query = {**(case.query or {}), "seconds": 0}


@schemathesis.deserializer("text/event-stream")
def events(context, response):
    """The text of each event, for that is what the document says; its data is JSON."""
    found = response.content.decode().split("\n\n")[:-1]
    for event in found:
        json.loads(next(line for line in event.splitlines() if line.startswith("data:")).removeprefix("data:"))
    return found


ROLES = {"superuser": superuser, "staff": staff, "user": user}


@schemathesis.auth(refresh_interval=None)
class Session:
    """A session that is open, for every request."""

    kept = None

    def get(self, case, context):
        if case.operation.definition.raw.get("operationId") in ENDING:
            return ROLES[ROLE]()
        if Session.kept is None or ask("GET", "/v1/me", cookie=Session.kept).status_code != 200:
            Session.kept = ROLES[ROLE]()
        return Session.kept

    def set(self, case, data, context):
        if (case.path_parameters or {}).get("id") == ADMIN:
            case.path_parameters["id"] = NOBODY
        case.cookies = {**(case.cookies or {}), COOKIE: data}
