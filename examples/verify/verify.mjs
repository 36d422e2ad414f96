// Checks a Signet session's token by itself, with nothing but the public keys.
//
//     node verify.mjs < tokens      a token a line in; its claims, or `refused: …`, out

import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { createRemoteJWKSet, jwtVerify } from "jose";

const { SIGNET = "http://localhost:8000", SIGNET_ISSUER = "signet", SIGNET_AUDIENCE = "signet" } = process.env;

// Fetched once in five minutes, and for a key that is not known yet, but then not more often than every five seconds:
// anybody can make up the name of a key.
const keys = createRemoteJWKSet(new URL("/.well-known/jwks.json", SIGNET), {
  cacheMaxAge: 300_000,
  cooldownDuration: 5_000,
});

/** The claims of a session's token. Throws when it is none of ours, or over, or nobody's. */
export async function verify(token) {
  const { payload } = await jwtVerify(token, keys, {
    algorithms: ["EdDSA"], // never what the token asks for
    typ: "session+jwt", // links in mails and API tokens are signed with the same keys
    issuer: SIGNET_ISSUER,
    audience: SIGNET_AUDIENCE,
    clockTolerance: 5, // seconds by which two clocks may differ
    requiredClaims: ["sub", "sid", "iat", "nbf", "exp", "gen", "rev", "epoch"],
  });
  return payload;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for await (const line of createInterface({ input: process.stdin })) {
    const answer = verify(line.trim()).then(JSON.stringify, (refusal) => `refused: ${refusal.code ?? refusal}`);
    console.log(await answer);
  }
}
