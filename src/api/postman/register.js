// Another account each time: what is made from here on carries a new name.
const run = Date.now().toString(36);
pm.collectionVariables.set("run", run);
pm.collectionVariables.set("username", `NAME-${run}`);
pm.collectionVariables.set("email", `NAME-${run}@example.com`);
