/** Saved queries and dashboards, which the server keeps in the bucket. */

import { getJson, request } from "./client";

/** The kinds of documents that a database stores. */
export type DocumentKind = "dashboard" | "query";

/** A document without its content. */
export interface DocumentHead {
  id: string;
  kind: DocumentKind;
  name: string;
  /** Increases with each change. */
  version: number;
  updated_at: string;
  updated_by?: string;
}

/** A document. */
export interface StoredDocument<T> extends DocumentHead {
  content: T;
}

const PATH = "/api/v3/console/documents";

/** The maximum size of a document, in bytes. */
export const MAX_DOCUMENT_BYTES = 256 * 1024;

/** Lists the documents of a kind in a database, by name. */
export async function listDocuments(database: string, kind: DocumentKind): Promise<DocumentHead[]> {
  const { documents } = await getJson<{ documents: DocumentHead[] }>(PATH, { query: { db: database, kind } });
  return documents.sort((left, right) => left.name.localeCompare(right.name));
}

/** Reads a document. */
export async function readDocument<T>(database: string, id: string): Promise<StoredDocument<T>> {
  return getJson(`${PATH}/${encodeURIComponent(id)}`, { query: { db: database } });
}

/** Creates a document. */
export async function createDocument<T>(
  database: string,
  kind: DocumentKind,
  name: string,
  content: T,
): Promise<StoredDocument<T>> {
  return getJson(PATH, { method: "POST", query: { db: database }, json: { kind, name, content } });
}

/** Replaces a document. Throws `ApiError` with status 409 if `version` is not the present one. */
export async function updateDocument<T>(
  database: string,
  id: string,
  version: number,
  name: string,
  content: T,
): Promise<StoredDocument<T>> {
  const path = `${PATH}/${encodeURIComponent(id)}`;
  return getJson(path, { method: "PUT", query: { db: database }, json: { name, content, version } });
}

/** Deletes a document. Throws `ApiError` with status 409 if `version` is not the present one. */
export async function deleteDocument(database: string, id: string, version: number): Promise<void> {
  const path = `${PATH}/${encodeURIComponent(id)}`;
  await request(path, { method: "DELETE", query: { db: database, version } });
}
