// Open dashboards: what is stored, and what the user changed and has not saved. Changes stay while the user is in
// other views.

import { signal } from "@preact/signals";
import { ApiError } from "../api/client";
import {
  createDocument,
  type DocumentHead,
  deleteDocument,
  listDocuments,
  readDocument,
  updateDocument,
} from "../api/documents";
import { type Dashboard, emptyDashboard } from "./dashboard";
import { parseDashboard } from "./validate";

/** The id of a dashboard that was not saved yet. */
export const NEW_ID = "new";

/** The kind of documents. */
const KIND = "dashboard";

/** A dashboard that is open. */
export interface OpenDashboard {
  database: string;
  /** The id of the document; `new` until it is saved. */
  id: string;
  name: string;
  dashboard: Dashboard;
  /** The version that the changes are based on; 0 until it is saved. */
  version: number;
  updatedAt?: string;
  updatedBy?: string;
  isChanged: boolean;
}

/** The result of a save. A conflict has the version that another user saved meanwhile. */
export type SaveOutcome =
  | { kind: "saved"; open: OpenDashboard }
  | { kind: "conflict"; theirs: OpenDashboard | undefined };

/** The open dashboards, by database and id. */
export const openDashboards = signal<ReadonlyMap<string, OpenDashboard>>(new Map());

/** Returns the key of an open dashboard. */
export function openKey(database: string, id: string): string {
  return JSON.stringify([database, id]);
}

/** Lists the dashboards of a database. */
export function listDashboards(database: string): Promise<DocumentHead[]> {
  return listDocuments(database, KIND);
}

/** Opens a dashboard that is not saved yet. */
export function openNew(database: string, name: string, dashboard: Dashboard): OpenDashboard {
  const open = { database, id: NEW_ID, name, dashboard, version: 0, isChanged: true };
  keep(open);
  return open;
}

/** Opens a dashboard. Changes that are not saved are kept unless `isForced`. */
export async function openDashboard(database: string, id: string, isForced = false): Promise<OpenDashboard> {
  const known = openDashboards.peek().get(openKey(database, id));
  if (known?.isChanged && !isForced) {
    return known;
  }
  if (id === NEW_ID) {
    return openNew(database, "New dashboard", emptyDashboard());
  }
  const open = await readStored(database, id);
  keep(open);
  return open;
}

async function readStored(database: string, id: string): Promise<OpenDashboard> {
  const document = await readDocument<unknown>(database, id);
  return fromDocument(database, document, parseDashboard(document.content));
}

function fromDocument(database: string, head: DocumentHead, dashboard: Dashboard): OpenDashboard {
  return {
    database,
    id: head.id,
    name: head.name,
    dashboard,
    version: head.version,
    updatedAt: head.updated_at,
    updatedBy: head.updated_by,
    isChanged: false,
  };
}

/** Changes an open dashboard without saving it. */
export function change(open: OpenDashboard, part: Partial<Pick<OpenDashboard, "name" | "dashboard">>): void {
  keep({ ...open, ...part, isChanged: true });
}

/** Saves an open dashboard: over its own version, or over that of another user with `version`. */
export async function save(open: OpenDashboard, version = open.version): Promise<SaveOutcome> {
  const { database, id, name, dashboard } = open;
  const title = name.trim() === "" ? "Dashboard" : name.trim();
  if (id === NEW_ID) {
    const saved = fromDocument(database, await createDocument(database, KIND, title, dashboard), dashboard);
    forget(open);
    keep(saved);
    return { kind: "saved", open: saved };
  }
  try {
    const document = await updateDocument(database, id, version, title, dashboard);
    const saved = fromDocument(database, document, dashboard);
    keep(saved);
    return { kind: "saved", open: saved };
  } catch (error) {
    if (!(error instanceof ApiError) || (error.status !== 409 && error.status !== 404)) {
      throw error;
    }
    return { kind: "conflict", theirs: error.status === 404 ? undefined : await readStored(database, id) };
  }
}

/** Stores a dashboard as a new document. */
export async function saveCopy(database: string, name: string, dashboard: Dashboard): Promise<OpenDashboard> {
  const saved = fromDocument(database, await createDocument(database, KIND, name, dashboard), dashboard);
  keep(saved);
  return saved;
}

/** Deletes the stored document of a dashboard. */
export async function remove(database: string, id: string, version: number): Promise<void> {
  await deleteDocument(database, id, version);
  forget({ database, id });
}

/** Drops an open dashboard with its changes. */
export function forget({ database, id }: Pick<OpenDashboard, "database" | "id">): void {
  const rest = new Map(openDashboards.peek());
  rest.delete(openKey(database, id));
  openDashboards.value = rest;
}

function keep(open: OpenDashboard): void {
  openDashboards.value = new Map(openDashboards.peek()).set(openKey(open.database, open.id), open);
}
