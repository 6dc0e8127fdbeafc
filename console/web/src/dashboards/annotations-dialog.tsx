/** Edits the annotations of a dashboard. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { Button, Dialog, TextField } from "../ui";
import { MAX_QUERY_LENGTH } from "./dashboard";

const EXAMPLE = 'SELECT time, alertname, alertstate FROM "ALERTS"\nWHERE time >= $from AND time < $to';

/** The properties of the dialog. */
export interface AnnotationsDialogProps {
  annotations: string;
  onSave(annotations: string): void;
  onClose(): void;
}

/** Edits the query of the annotations of a dashboard. */
export function AnnotationsDialog({ annotations, onSave, onClose }: AnnotationsDialogProps): JSX.Element {
  const [query, setQuery] = useState(annotations);
  const isTooLong = query.length > MAX_QUERY_LENGTH;
  const save = (): void => onSave(query.trim());
  const actions = (
    <>
      <Button onClick={onClose}>Cancel</Button>
      <Button kind="primary" type="submit" disabled={isTooLong}>
        Apply
      </Button>
    </>
  );
  return (
    <Dialog title="Annotations" size="medium" onClose={onClose} onSubmit={() => !isTooLong && save()} actions={actions}>
      <TextField
        label="Query in SQL"
        value={query}
        onInput={setQuery}
        lines={6}
        isMonospace
        placeholder={EXAMPLE}
        hint="All charts mark the time of each row, and show the other columns below the pointer."
        error={isTooLong ? `A query has at most ${MAX_QUERY_LENGTH} characters.` : undefined}
        autoFocus
      />
    </Dialog>
  );
}
