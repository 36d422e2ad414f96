"""Tokens that the examples accept with the public keys alone, and what they refuse, in Python and in Node."""

import base64
import hashlib
import hmac
import json
import signal
import sys
import time
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gates import EXAMPLES, PASSWORD, Filter, again, api_token, done, eventually, mailed, somebody
from signet import Client, Server, command


def encoded(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def part(value):
    return encoded(json.dumps(value).encode())


def decoded(text):
    return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


class Examples(unittest.TestCase):
    """Both examples beside a server with a user."""

    @classmethod
    def setUpClass(cls):
        # Only who counts failures makes cookies of known devices.
        cls.server = Server(tls=True, throttle=True)
        cls.addClassCleanup(cls.server.stop)
        place = {"SIGNET": cls.server.base}
        trust = str(cls.server.authority)
        cls.examples = {
            "Python": Filter(sys.executable, "-B", EXAMPLES / "verify.py", SSL_CERT_FILE=trust, **place),
            "Node": Filter("node", EXAMPLES / "verify.mjs", NODE_EXTRA_CA_CERTS=trust, **place),
        }
        for example in cls.examples.values():
            cls.addClassCleanup(example.stop)
        cls.alice, _ = somebody(cls.server, "alice")
        # The very key of the server: what is signed with it differs from the real thing in nothing but what is said.
        cls.pem = next((cls.server.folder / "keys").glob("*.pem"))
        cls.key = serialization.load_pem_private_key(cls.pem.read_bytes(), None)
        cls.head = jwt.get_unverified_header(cls.alice.cookie)
        cls.claims = decoded(cls.alice.cookie.split(".")[1])

    def signed(self, head={}, claims={}, key=None):
        """The token of alice's session, but for this; None leaves a claim out."""
        body = {name: value for name, value in {**self.claims, **claims}.items() if value is not None}
        text = f"{part({**self.head, **head})}.{part(body)}"
        return f"{text}.{encoded((key or self.key).sign(text.encode()))}"

    def passes(self, name, token):
        for language, example in self.examples.items():
            with self.subTest(name, language=language):
                claims, said = example.judge(token)
                self.assertEqual(claims, decoded(token.split(".")[1]), said)

    def fails(self, name, token):
        for language, example in self.examples.items():
            with self.subTest(name, language=language):
                claims, said = example.judge(token)
                self.assertIsNone(claims, said)


class Verifying(Examples):
    def test_a_sessions_token_passes(self):
        self.passes("as issued", self.alice.cookie)
        self.passes("signed by the test", self.signed())
        self.passes("somebody else's", again(self.server, "alice").cookie)

    def test_no_other_kind_of_token_passes(self):
        client = again(self.server, "alice")
        done(client.call("POST", "/v1/password/reset", {"email": "alice@example.com"}), 202)
        cookies = {}
        for answer, _ in (
            client.send("PUT", "/v1/cookies/language", {"value": "de"}),
            client.send("POST", "/v1/login", {"username": "alice", "password": PASSWORD}),
        ):
            for line in answer.headers.get_all("Set-Cookie"):
                name, _, value = line.split(";")[0].partition("=")
                cookies[name] = value
        anonymous = Client(self.server)
        anonymous.call("PUT", "/v1/session/data/cart", {"value": 1})
        kinds = {
            "api+jwt": api_token(client)["token"],
            "cookie+jwt": cookies["__Host-signet.language"],
            "device+jwt": cookies["__Host-signet-device"],
            "reset+jwt": mailed(self.server, "reset"),
            "verify+jwt": mailed(self.server, "verify"),
        }
        for typ, token in kinds.items():
            self.assertEqual(jwt.get_unverified_header(token)["typ"], typ)
            self.fails(typ, token)
            self.fails(f"{typ} with the claims of a session", self.signed({"typ": typ}))
        for typ in ("JWT", "", "session", None):
            self.fails(f"typ {typ!r}", self.signed({"typ": typ}))
        self.fails("nobody's session", anonymous.cookie)

    def test_claims_are_checked(self):
        now = int(time.time())
        self.fails("another audience", self.signed(claims={"aud": "signet/api"}))
        self.fails("another issuer", self.signed(claims={"iss": "https://example.com"}))
        self.fails("expired", self.signed(claims={"iat": now - 90, "nbf": now - 90, "exp": now - 10}))
        self.fails("not yet valid", self.signed(claims={"nbf": now + 60}))
        for name in ("iss", "aud", "sub", "sid", "iat", "nbf", "exp", "gen", "rev", "epoch"):
            self.fails(f"without {name}", self.signed(claims={name: None}))
        self.passes("a clock that is a little slow", self.signed(claims={"iat": now + 2, "nbf": now + 2}))

    def test_signatures_are_checked(self):
        head, body, signature = self.alice.cookie.split(".")
        other = Ed25519PrivateKey.generate()
        self.fails("another payload", f"{head}.{part({**self.claims, 'is_superuser': True})}.{signature}")
        self.fails("another header", f"{part({**self.head, 'x': 1})}.{body}.{signature}")
        changed = bytearray(base64.urlsafe_b64decode(signature + "=="))
        changed[7] ^= 1
        self.fails("another signature", f"{head}.{body}.{encoded(changed)}")
        self.fails("half a signature", f"{head}.{body}.{signature[:40]}")
        self.fails("no signature", f"{head}.{body}.")
        self.fails("somebody else's key under our name", self.signed(key=other))
        self.fails("an unknown key", self.signed({"kid": "unknown"}, key=other))
        self.fails("our key under an unknown name", self.signed({"kid": "unknown"}))
        self.fails("no name of a key", f"{part({'alg': 'EdDSA', 'typ': 'session+jwt'})}.{body}.{signature}")
        raw = other.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        theirs = {"kty": "OKP", "crv": "Ed25519", "x": encoded(raw), "kid": self.head["kid"], "alg": "EdDSA"}
        self.fails("a key in the token", self.signed({"jwk": theirs}, key=other))
        for alg in ("none", "None", "NONE"):
            self.fails(f"alg {alg}", f"{part({**self.head, 'alg': alg})}.{body}.")
        public = self.key.public_key()
        secrets = {
            "raw": public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw),
            "pem": public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
        }
        secrets["x"] = encoded(secrets["raw"]).encode()
        for name, secret in secrets.items():
            text = f"{part({**self.head, 'alg': 'HS256'})}.{body}"
            mac = hmac.new(secret, text.encode(), hashlib.sha256).digest()
            self.fails(f"HS256 with the public key, {name}", f"{text}.{encoded(mac)}")
        for text in ("", ".", "..", "nonsense", "a.b.c", f"{head}.{body}", f"{head}.{body}.{signature}.x", "é.é.é"):
            self.fails(f"no token: {text[:10]!r}", text)
        deep = encoded(b"[" * 5000)
        self.fails("a deep header", f"{deep}.{body}.{signature}")
        self.passes("after all of that", self.alice.cookie)


class Keys(Examples):
    def generate(self, *words):
        code, _, said = command("keys", "generate", *words, "--keys", self.server.folder / "keys")
        self.assertEqual(code, 0, said)
        self.server.process.send_signal(signal.SIGHUP)

    def signed_by(self, algorithm):
        """A token by a new key, as soon as the server has it."""
        def fresh():
            token = again(self.server, "alice").cookie
            head = jwt.get_unverified_header(token)
            return head["kid"] != self.head["kid"] and head["alg"] == algorithm and token

        return eventually(fresh)

    def test_a_new_key_is_picked_up_and_an_algorithm_is_not(self):
        self.passes("before", self.alice.cookie)
        self.generate()
        fresh = self.signed_by("EdDSA")
        self.generate("--algorithm", "es256")
        other = self.signed_by("ES256")
        for example in self.examples.values():
            eventually(lambda: example.judge(fresh)[0])
        self.passes("by the new key", fresh)
        self.passes("by the old key", self.alice.cookie)
        # Genuine, and by a key that is known; but nobody has agreed to be shown such signatures.
        self.assertIn("ES256", {key["alg"] for key in Client(self.server).get("/.well-known/jwks.json")["keys"]})
        self.assertEqual(self.examples["Python"].judge(other), (None, "refused: InvalidAlgorithmError"))
        self.assertEqual(self.examples["Node"].judge(other), (None, "refused: ERR_JOSE_ALG_NOT_ALLOWED"))
