// What holds for every answer, whatever was asked.
const cookies = pm.response.headers
    .filter((header) => header.key.toLowerCase() === "set-cookie")
    .map((header) => header.value);

if (cookies.length > 0) {
    pm.test("every cookie is HttpOnly, Secure, SameSite=Strict, Path=/ and without a domain", () => {
        for (const line of cookies) {
            const [pair, ...attributes] = line.split(/; */);
            pm.expect(pair).to.match(/^__Host-/);
            pm.expect(attributes).to.include.members(["HttpOnly", "Secure", "SameSite=Strict", "Path=/"]);
            pm.expect(attributes.filter((attribute) => /^domain/i.test(attribute))).to.be.empty;
        }
        pm.expect(pm.response.headers.get("Cache-Control")).to.equal("no-store");
    });
}

pm.test("no cookie's value is in the body", () => {
    const given = cookies.map((line) => line.split(/[=;]/)[1]);
    const kept = pm.cookies.all().map((cookie) => cookie.value);
    for (const value of [...given, ...kept].filter((value) => value)) {
        pm.expect(pm.response.text().includes(value)).to.be.false;
    }
});

if (pm.response.code >= 400) {
    pm.test("a failure is a problem (RFC 9457)", () => {
        pm.expect(pm.response.headers.get("Content-Type")).to.equal("application/problem+json");
        const problem = pm.response.json();
        pm.expect(problem.status).to.equal(pm.response.code);
        pm.expect(problem).to.include.all.keys("type", "title", "detail", "code", "request_id");
        pm.expect(problem.type).to.equal(`/problems/${problem.code}`);
    });
}
