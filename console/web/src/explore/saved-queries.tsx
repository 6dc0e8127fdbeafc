/** Lists, opens and deletes saved queries. */

import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { ApiError, messageOf } from "../api/client";
import {
  createDocument,
  type DocumentHead,
  deleteDocument,
  listDocuments,
  readDocument,
  updateDocument,
} from "../api/documents";
import { languageOf, type QueryLanguage } from "../api/query";
import { currentDatabase } from "../api/schema";
import { may } from "../api/session";
import { formatAnswerTime, zone } from "../time/zone";
import { Button, ConfirmDialog, Dialog, EmptyState, ErrorNote, IconButton, notify, Spinner, TextField } from "../ui";
import type { ParameterInput } from "./parameters";
import { openTab, type QueryTab, selectTab, tabs, updateTab } from "./query-tabs";

/** The content of a saved query. */
interface SavedQuery {
  text: string;
  language: QueryLanguage;
  parameters?: Record<string, ParameterInput>;
}

/** Saves a tab as a new query of the present database. Throws `ApiError`. */
export async function createSavedQuery(tab: QueryTab, name: string): Promise<void> {
  const database = currentDatabase.value;
  const { id, version } = await createDocument(database, "query", name, contentOf(tab));
  updateTab(tab.id, { name, saved: { id, database, version, text: tab.text }, isPreview: false });
  notify("success", `Saved “${name.slice(0, 60)}” in the database.`);
}

/** Saves the changes of a tab that shows a saved query. Tells the user about the outcome. */
export async function saveQuery(tab: QueryTab): Promise<void> {
  const { saved } = tab;
  if (!saved) {
    return;
  }
  try {
    const { version } = await updateDocument(saved.database, saved.id, saved.version, tab.name, contentOf(tab));
    updateTab(tab.id, { saved: { ...saved, version, text: tab.text } });
    notify("success", `Saved “${tab.name.slice(0, 60)}”.`);
  } catch (error) {
    if (error instanceof ApiError && error.status === 409) {
      notify("warning", "Another user has changed this query. Open it again, or use “Save as”.");
    } else {
      notify("error", `The query is not saved: ${messageOf(error)}`);
    }
  }
}

/** Lists the saved queries of the present database. */
export function SavedQueries({ onClose }: { onClose(): void }): JSX.Element {
  const database = currentDatabase.value;
  const [queries, setQueries] = useState<DocumentHead[]>();
  const [error, setError] = useState<unknown>();
  const [filter, setFilter] = useState("");
  const [deleted, setDeleted] = useState<DocumentHead>();
  const load = () => {
    setError(undefined);
    listDocuments(database, "query").then(setQueries, setError);
  };
  useEffect(load, [database]);
  const open = async (head: DocumentHead) => {
    try {
      await openSaved(database, head.id);
      onClose();
    } catch (failure) {
      setError(failure);
    }
  };
  const shown = queries?.filter(({ name }) => name.toLowerCase().includes(filter.trim().toLowerCase()));
  if (deleted) {
    return (
      <ConfirmDialog
        title="Delete the saved query"
        action="Delete the query"
        onClose={() => setDeleted(undefined)}
        onConfirm={async () => {
          await deleteDocument(database, deleted.id, deleted.version);
          load();
        }}
      >
        <p>
          “<bdi>{deleted.name}</bdi>” is deleted for all users of the database.
        </p>
      </ConfirmDialog>
    );
  }
  return (
    <Dialog
      title={`Saved queries of ${database.slice(0, 60)}`}
      size="medium"
      onClose={onClose}
      actions={<Button onClick={onClose}>Close</Button>}
    >
      {error !== undefined && <ErrorNote error={error} onRetry={load} />}
      {queries && queries.length > 0 && (
        <TextField label="Filter" isLabelHidden placeholder="Filter" value={filter} onInput={setFilter} autoFocus />
      )}
      {!queries && error === undefined && <Spinner label="Loading" />}
      {queries?.length === 0 && (
        <EmptyState icon="bookmark" title="No saved queries">
          <p>“Save” stores the query of a tab in the database, for all users that may read it.</p>
        </EmptyState>
      )}
      <ul class="query-list" aria-label="Saved queries">
        {shown?.map((head) => (
          <li key={head.id} class="query-line">
            <button type="button" class="query-item" onClick={() => void open(head)}>
              <bdi>{head.name}</bdi>
              <span class="muted">
                {formatAnswerTime(head.updated_at, zone.value)}
                {head.updated_by ? ` · ${head.updated_by}` : ""}
              </span>
            </button>
            {may("write", database) && (
              <IconButton icon="trash" label={`Delete ${head.name.slice(0, 60)}`} onClick={() => setDeleted(head)} />
            )}
          </li>
        ))}
      </ul>
    </Dialog>
  );
}

async function openSaved(database: string, id: string): Promise<void> {
  const { name, version, content } = await readDocument<Partial<SavedQuery>>(database, id);
  const text = typeof content.text === "string" ? content.text : "";
  const language = languageOf(content.language);
  const saved = { id, database, version, text };
  const isOpen = tabs.value.find((tab) => tab.saved?.id === id && tab.text === text);
  if (isOpen) {
    updateTab(isOpen.id, { name, saved });
    selectTab(isOpen.id);
  } else {
    openTab({ name, text, language, parameters: content.parameters ?? {}, saved });
  }
}

function contentOf({ text, language, parameters }: QueryTab): SavedQuery {
  return { text, language, parameters };
}
