/** Asks for the name of a query, and saves it. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { currentDatabase } from "../api/schema";
import { Button, Dialog, ErrorNote, TextField } from "../ui";
import type { QueryTab } from "./query-tabs";
import { createSavedQuery } from "./saved-queries";

/** Asks for the name of a query, and saves it. */
export function SaveDialog({ tab, onClose }: { tab: QueryTab; onClose(): void }): JSX.Element {
  const [name, setName] = useState(tab.name);
  const [isBusy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const save = async () => {
    if (name.trim() === "" || isBusy) {
      return;
    }
    setBusy(true);
    try {
      await createSavedQuery(tab, name.trim());
      onClose();
    } catch (failure) {
      setError(failure);
      setBusy(false);
    }
  };
  const actions = (
    <>
      <Button onClick={onClose}>Cancel</Button>
      <Button kind="primary" type="submit" isBusy={isBusy} disabled={name.trim() === ""}>
        Save the query
      </Button>
    </>
  );
  return (
    <Dialog title="Save the query" onClose={onClose} onSubmit={() => void save()} actions={actions}>
      <TextField
        label="Name"
        value={name}
        onInput={setName}
        autoFocus
        hint={`The database ${currentDatabase.value.slice(0, 60)} stores it. All users that may read it see it.`}
      />
      {error !== undefined && <ErrorNote error={error} />}
    </Dialog>
  );
}
