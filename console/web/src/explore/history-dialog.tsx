/** Shows the queries that were run. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { LANGUAGE_NAMES } from "../api/query";
import { currentDatabase } from "../api/schema";
import { formatWall, zone } from "../time/zone";
import { Button, Dialog, EmptyState, notify, TextField } from "../ui";
import { clearHistory, type HistoryEntry, history, restoreHistory } from "./history";
import { openTab } from "./query-tabs";

/** The maximum number of characters that an entry shows. */
const MAX_SHOWN_CHARS = 400;

/** Lists the queries that were run in this browser. */
export function HistoryDialog({ onClose }: { onClose(): void }): JSX.Element {
  const [filter, setFilter] = useState("");
  const wanted = filter.trim().toLowerCase();
  const entries = history.value.filter(({ text, database }) => `${text} ${database}`.toLowerCase().includes(wanted));
  const open = ({ text, language, database }: HistoryEntry) => {
    onClose();
    currentDatabase.value = database;
    openTab({ text, language });
  };
  const clear = () => {
    const cleared = history.value;
    clearHistory();
    notify("info", "Cleared the history.", () => restoreHistory(cleared));
  };
  const actions = (
    <>
      <Button kind="quiet" icon="trash" onClick={clear} disabled={history.value.length === 0}>
        Clear the history
      </Button>
      <Button onClick={onClose}>Close</Button>
    </>
  );
  return (
    <Dialog title="History" size="medium" onClose={onClose} actions={actions}>
      <TextField label="Filter" isLabelHidden placeholder="Filter" value={filter} onInput={setFilter} autoFocus />
      {entries.length === 0 ? (
        <EmptyState icon="history" title={wanted === "" ? "No queries yet" : "No query matches"}>
          <p>Queries that you run appear here. They stay in this browser, without texts that look like a token.</p>
        </EmptyState>
      ) : (
        <ul class="query-list" aria-label="Queries">
          {entries.map((entry) => (
            <li key={`${entry.atMs} ${entry.text}`}>
              <button type="button" class="query-item" onClick={() => open(entry)}>
                <code>{entry.text.slice(0, MAX_SHOWN_CHARS)}</code>
                <span class="muted">
                  {formatWall(entry.atMs, zone.value)} · <bdi>{entry.database.slice(0, 80)}</bdi> ·{" "}
                  {LANGUAGE_NAMES[entry.language]}
                </span>
              </button>
            </li>
          ))}
        </ul>
      )}
    </Dialog>
  );
}
