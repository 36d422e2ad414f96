"""Checks a Signet session's token by itself, with nothing but the public keys.

    python verify.py < tokens      a token a line in; its claims, or `refused: …`, out
"""

import json
import os
import sys

import jwt

SIGNET = os.environ.get("SIGNET", "http://localhost:8000")
ISSUER = os.environ.get("SIGNET_ISSUER", "signet")
AUDIENCE = os.environ.get("SIGNET_AUDIENCE", "signet")
CLAIMS = ["iss", "aud", "sub", "sid", "iat", "nbf", "exp", "gen", "rev", "epoch"]
LEEWAY = 5  # seconds by which two clocks may differ

# Fetched once in five minutes, and for a key that is not known yet, but then not more often than every five seconds:
# anybody can make up the name of a key.
keys = jwt.PyJWKClient(f"{SIGNET}/.well-known/jwks.json", lifespan=300, cooldown_duration=5, timeout=5)


def verify(token):
    """The claims of a session's token. Raises jwt.PyJWTError when it is none of ours, or over, or nobody's."""
    token = jwt.decode_complete(
        token,
        keys.get_signing_key_from_jwt(token),
        algorithms=["EdDSA"],  # never what the token asks for
        issuer=ISSUER,
        audience=AUDIENCE,
        leeway=LEEWAY,
        options={"require": CLAIMS},
    )
    # Links in mails and API tokens are signed with the same keys.
    if token["header"].get("typ") != "session+jwt":
        raise jwt.InvalidTokenError("not the token of a session")
    return token["payload"]


if __name__ == "__main__":
    for line in sys.stdin:
        try:
            print(json.dumps(verify(line.strip())), flush=True)
        except jwt.PyJWTError as refusal:
            print("refused:", type(refusal).__name__, flush=True)
