"""Mail over SMTP: each check starts a mail server and Signet's release binary, and looks at what passes between."""

import asyncio
import json
import logging
import os
import pathlib
import queue
import re
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
import warnings

import trustme
from aiosmtpd.smtp import SMTP, AuthResult
from email import message_from_bytes, policy

ROOT = pathlib.Path(__file__).resolve().parents[3]
SIGNET = pathlib.Path(os.environ.get("SIGNET_BINARY") or ROOT / "target/release/signet")
PASSWORD = "correct horse battery"
NEW = "a password that is new"
SECRET = "the relay's own password"
PATIENCE = 30

SCRATCH = pathlib.Path(tempfile.mkdtemp(prefix="signet-mail-"))
CA = trustme.CA()
CA.cert_pem.write_to_path(SCRATCH / "ca.pem")


# What the mail server has to say about a handshake that was meant to fail.
logging.getLogger("mail.log").setLevel(logging.CRITICAL)
logging.getLogger("asyncio").setLevel(logging.CRITICAL)
# It is the mail server that is to be tested against, not its advice.
warnings.filterwarnings("ignore", module="aiosmtpd")


def certificate(name):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    CA.issue_cert(name).configure_cert(context)
    return context


class Relay:
    """A mail server that keeps what it hears."""

    def __init__(self, answers=(), pause=0, **options):
        self.mails, self.heard, self.logins = queue.Queue(), [], []
        self.answers, self.pause = list(answers), pause
        self.tls = options.pop("ssl_context", None)
        if "auth_required" in options:
            options["authenticator"] = self.authenticate
        self.options = options
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)

    def authenticate(self, server, session, envelope, mechanism, data):
        self.logins.append((data.login, data.password))
        # Not handled: the library answers.
        return AuthResult(success=self.logins[-1] == (b"mailer@example.com", SECRET.encode()), handled=False)

    async def handle_MAIL(self, server, session, envelope, address, options):
        self.heard.append("MAIL")
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(self, server, session, envelope, address, options):
        self.heard.append("RCPT")
        if self.answers:
            answer = self.answers.pop(0)
            if answer:
                return answer.replace("ADDRESS", address)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        if self.pause:
            await asyncio.sleep(self.pause)
        self.mails.put((envelope.mail_from, envelope.rcpt_tos, envelope.content, session.ssl is not None or bool(self.tls)))
        return "250 OK"

    def __enter__(self):
        self.thread.start()
        speak = lambda: SMTP(self, hostname="relay", enable_SMTPUTF8=True, loop=self.loop, **self.options)
        serving = self.loop.create_server(speak, "127.0.0.1", 0, ssl=self.tls)
        self.server = asyncio.run_coroutine_threadsafe(serving, self.loop).result(PATIENCE)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.server.close)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()

    def mail(self):
        return self.mails.get(timeout=PATIENCE)


class Signet:
    """The running program, in a folder of its own."""

    def __init__(self, route, trusted=True, password=None):
        self.folder = pathlib.Path(tempfile.mkdtemp(dir=SCRATCH))
        (self.folder / "admin").write_text(PASSWORD)
        (self.folder / "relay").write_text((password or SECRET) + "\n")
        arguments = [SIGNET, "--listen", "localhost:0", "--admin-password-file", "admin", "--log", "json"]
        arguments += ["--mail", route, "--mail-from", "Signet Örg <signet@example.org>"]
        if "@" in route:
            arguments += ["--mail-password-file", "relay"]
        environment = {"SSL_CERT_FILE": str(SCRATCH / "ca.pem")} if trusted else {}
        self.log = self.folder / "log"
        self.process = subprocess.Popen(
            arguments, cwd=self.folder, env=environment, stdout=subprocess.PIPE, stderr=open(self.log, "wb"), text=True
        )
        self.base = ""
        for line in self.process.stdout:
            if line.startswith("listening on "):
                self.base = line.split()[2]
            if line.startswith("mails go to "):
                assert SECRET not in line and "mailer" not in line, line
                break

    def __enter__(self):
        return self

    def __exit__(self, *_):
        code = self.stop()
        assert code == 0, f"exit code {code}: {self.logged()}"
        # Whatever happened: no address, password or token is in the log.
        for secret in ["alice", "jürgen", "mailer", SECRET, "token=", "eyJ"]:
            assert secret not in self.logged(), f"{secret} in the log: {self.logged()}"

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)

    def logged(self):
        return self.log.read_text()

    def says(self, text):
        """Waits until the log says it."""
        end = time.monotonic() + PATIENCE
        while not re.search(text, self.logged()):
            assert time.monotonic() < end, f"the log does not say {text}: {self.logged()}"
            time.sleep(0.02)

    def post(self, path, body, cookie=None):
        headers = {"Content-Type": "application/json"} | ({"Cookie": cookie} if cookie else {})
        request = urllib.request.Request(self.base + path, json.dumps(body).encode(), headers)
        try:
            answer = urllib.request.urlopen(request, timeout=PATIENCE)
        except urllib.error.HTTPError as error:
            answer = error
        content = answer.read()
        cookie = (answer.headers["Set-Cookie"] or "").split(";")[0]
        return answer.status, json.loads(content) if content else None, cookie

    def register(self, email="alice@example.com", name="alice"):
        status, body, cookie = self.post("/v1/register", {"username": name, "password": PASSWORD, "email": email})
        assert status == 201, body
        return cookie

    def me(self, cookie):
        request = urllib.request.Request(self.base + "/v1/me", headers={"Cookie": cookie})
        return json.loads(urllib.request.urlopen(request, timeout=PATIENCE).read())


def token(signet, content, page):
    mail = message_from_bytes(content, policy=policy.default)
    assert mail["To"] == "alice@example.com", mail["To"]
    assert mail["From"] == "Signet Örg <signet@example.org>", mail["From"]
    assert mail.get_content_type() == "text/plain" and not mail.is_multipart()
    assert mail["Auto-Submitted"] == "auto-generated" and mail["Date"] and mail["Message-ID"].endswith("@example.org>")
    link = next(word for word in mail.get_content().split() if "#token=" in word)
    assert link.startswith(f"{signet.base}{page}#token="), link
    return link.split("#token=")[1]


def whole_way(relay, route, encrypted):
    """Register, verify the address, forget the password, set a new one: all of it by the mails that arrive."""
    with Signet(route) as signet:
        cookie = signet.register()
        sender, recipients, content, was_encrypted = relay.mail()
        assert (sender, recipients, was_encrypted) == ("signet@example.org", ["alice@example.com"], encrypted)
        assert signet.post("/v1/email/verify/confirm", {"token": token(signet, content, "/verify")})[0] == 204
        assert signet.me(cookie)["email_verified"] is True
        assert signet.post("/v1/password/reset", {"email": "ALICE@example.com"})[0] == 202
        new = {"token": token(signet, relay.mail()[2], "/reset"), "new_password": NEW}
        assert signet.post("/v1/password/reset/confirm", new)[0] == 204
        assert signet.post("/v1/password/reset/confirm", new)[0] == 422
        assert signet.post("/v1/login", {"username": "alice", "password": PASSWORD})[0] == 401
        assert signet.post("/v1/login", {"username": "alice", "password": NEW})[0] == 200


def unencrypted_to_a_local_relay():
    with Relay() as relay:
        whole_way(relay, f"smtp+plain://127.0.0.1:{relay.port}", encrypted=False)


def starttls_with_a_private_authority():
    with Relay(tls_context=certificate("localhost"), require_starttls=True) as relay:
        whole_way(relay, f"smtp://localhost:{relay.port}", encrypted=True)


def tls_from_the_first_byte():
    with Relay(ssl_context=certificate("localhost")) as relay:
        whole_way(relay, f"smtps://localhost:{relay.port}", encrypted=True)


def starttls_with_a_log_in():
    options = {"tls_context": certificate("localhost"), "auth_required": True}
    with Relay(**options) as relay:
        whole_way(relay, f"smtp://mailer%40example.com@localhost:{relay.port}", encrypted=True)
        assert set(relay.logins) == {(b"mailer@example.com", SECRET.encode())}, relay.logins


def tls_with_a_log_in():
    options = {"ssl_context": certificate("localhost"), "auth_required": True, "auth_require_tls": False}
    with Relay(**options) as relay:
        whole_way(relay, f"smtps://mailer%40example.com@localhost:{relay.port}", encrypted=True)
        assert set(relay.logins) == {(b"mailer@example.com", SECRET.encode())}, relay.logins


def refused(relay, route, words, **options):
    """No mail leaves, the log says why, and the request was answered all the same."""
    with Signet(route, **options) as signet:
        signet.register()
        signet.says(words)
        assert relay.mails.empty() and "RCPT" not in relay.heard, relay.heard
        assert signet.post("/v1/password/reset", {"email": "alice@example.com"})[0] == 202


def a_wrong_password_is_refused_and_logged_without_it():
    with Relay(tls_context=certificate("localhost"), auth_required=True) as relay:
        refused(relay, f"smtp://mailer%40example.com@localhost:{relay.port}", "answered 535", password="wrong")


def a_server_without_starttls_gets_nothing():
    with Relay() as relay:
        refused(relay, f"smtp://localhost:{relay.port}", "STARTTLS")
        assert relay.heard == []


def a_server_without_starttls_gets_no_password():
    with Relay(auth_required=True, auth_require_tls=False) as relay:
        refused(relay, f"smtp://mailer%40example.com@localhost:{relay.port}", "STARTTLS")
        assert relay.logins == [] and relay.heard == []


def a_certificate_of_another_name_is_refused():
    with Relay(tls_context=certificate("other.example")) as relay:
        refused(relay, f"smtp://localhost:{relay.port}", "certificate")
    with Relay(ssl_context=certificate("other.example")) as relay:
        refused(relay, f"smtps://localhost:{relay.port}", "certificate")


def a_certificate_of_an_unknown_authority_is_refused():
    with Relay(tls_context=certificate("localhost")) as relay:
        refused(relay, f"smtp://localhost:{relay.port}", "certificate", trusted=False)


def a_mail_that_is_refused_for_now_is_tried_again():
    with Relay(answers=["451 4.3.0 try later <ADDRESS>"]) as relay, Signet(f"smtp+plain://127.0.0.1:{relay.port}") as signet:
        signet.register()
        assert relay.mail()[1] == ["alice@example.com"]
        assert relay.heard.count("RCPT") == 2 and relay.mails.empty()
        signet.says("answered 451")


def a_recipient_that_is_refused_is_logged_without_the_address_and_the_next_one_gets_theirs():
    with Relay(answers=["550 5.1.1 <ADDRESS> is unknown"]) as relay, Signet(f"smtp+plain://127.0.0.1:{relay.port}") as signet:
        signet.register()
        signet.says("answered 550")
        signet.register("jürgen@example.com", "other")
        mail = relay.mail()
        assert mail[1] == ["jürgen@example.com"], mail
        assert relay.heard.count("RCPT") == 2


def a_server_that_is_not_there_is_tried_again():
    with Relay() as gone:
        port = gone.port
    with Signet(f"smtp+plain://127.0.0.1:{port}") as signet:
        signet.register()
        signet.says("will be tried again")
    assert "stopped before all mails were sent" in signet.logged()


def a_stop_waits_for_the_mail_that_is_on_its_way():
    with Relay(pause=1) as relay:
        with Signet(f"smtp+plain://127.0.0.1:{relay.port}") as signet:
            signet.register()
            assert signet.post("/v1/password/reset", {"email": "alice@example.com"})[0] == 202
            assert signet.stop() == 0
        assert relay.mails.qsize() == 2, relay.mails.qsize()


CHECKS = [
    unencrypted_to_a_local_relay,
    starttls_with_a_private_authority,
    tls_from_the_first_byte,
    starttls_with_a_log_in,
    tls_with_a_log_in,
    a_wrong_password_is_refused_and_logged_without_it,
    a_server_without_starttls_gets_nothing,
    a_server_without_starttls_gets_no_password,
    a_certificate_of_another_name_is_refused,
    a_certificate_of_an_unknown_authority_is_refused,
    a_mail_that_is_refused_for_now_is_tried_again,
    a_recipient_that_is_refused_is_logged_without_the_address_and_the_next_one_gets_theirs,
    a_server_that_is_not_there_is_tried_again,
    a_stop_waits_for_the_mail_that_is_on_its_way,
]


def main():
    passed = failed = 0
    for check in CHECKS:
        name = check.__name__.replace("_", " ")
        try:
            check()
            passed += 1
            print(f"ok - {name}", flush=True)
        except Exception as error:
            failed += 1
            print(f"not ok - {name}: {type(error).__name__}: {error}", flush=True)
    print(f"# pass {passed}\n# fail {failed}")
    subprocess.run(["rm", "-rf", str(SCRATCH)], check=True)
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
