/** Where interrupted uploads continue. The tab remembers it, so that a file can be chosen again after a reload. */

import type { Upload, UploadTarget } from "./upload";
import type { UploadSource } from "./upload-parts";

/** Where an upload continues. */
export interface UploadPosition {
  position: number;
  rows: number;
}

const STORAGE_KEY = "neap-upload-positions";

/** Maximum number of positions that are remembered. */
const MAX_POSITIONS = 20;

interface Entry extends UploadPosition {
  key: string;
}

/** Returns where the upload of a file continues; `undefined` if it has not begun, or has ended. */
export function findPosition(source: UploadSource, target: UploadTarget): UploadPosition | undefined {
  const key = keyOf(source, target);
  return read().find((entry) => entry.key === key);
}

/** Remembers the position of an upload that has begun. */
export function rememberPosition(upload: Upload): void {
  const { position, rows } = upload.state.value;
  const key = keyOf(upload.source, upload.target);
  if (key !== undefined && position > 0) {
    write([{ key, position, rows }, ...read().filter((entry) => entry.key !== key)]);
  }
}

/** Forgets the position of an upload. */
export function forgetPosition(upload: Upload): void {
  const key = keyOf(upload.source, upload.target);
  const entries = read();
  if (entries.some((entry) => entry.key === key)) {
    write(entries.filter((entry) => entry.key !== key));
  }
}

/** A file is the same if its name, size and time are. A text that was typed has none of them. */
function keyOf({ name, blob, format }: UploadSource, { database, mapping }: UploadTarget): string | undefined {
  if (!(blob instanceof File)) {
    return undefined;
  }
  return JSON.stringify([name, blob.size, blob.lastModified, format, database, mapping?.table ?? ""]);
}

function read(): Entry[] {
  try {
    const entries: unknown = JSON.parse(sessionStorage.getItem(STORAGE_KEY) ?? "[]");
    return Array.isArray(entries) ? (entries as Entry[]) : [];
  } catch {
    return [];
  }
}

function write(entries: Entry[]): void {
  try {
    sessionStorage.setItem(STORAGE_KEY, JSON.stringify(entries.slice(0, MAX_POSITIONS)));
  } catch {
    // The storage is full or forbidden: the position is lost with the page.
  }
}
