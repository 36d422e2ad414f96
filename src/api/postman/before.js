// Names that the run makes carry this, so that the collection can be run again on the same server.
if (!pm.collectionVariables.get("run")) {
    pm.collectionVariables.set("run", Date.now().toString(36));
}
