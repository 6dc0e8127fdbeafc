/** The uploads of the page. They go on while other views are shown, one after the other. */

import { computed, signal } from "@preact/signals";
import { isLive } from "./live";
import { forgetPosition, rememberPosition } from "./positions";
import { refreshDatabases } from "./rights";
import type { Upload, UploadPhase } from "./upload";

/** The uploads, newest first. */
export const uploads = signal<readonly Upload[]>([]);

/** Maximum number of ended uploads that stay in the list. */
const MAX_UPLOADS = 20;

const ENDED: readonly UploadPhase[] = ["done", "cancelled"];
const ACTIVE: readonly UploadPhase[] = ["queued", "sending", "waiting"];

/** Whether an upload is on its way. */
export const isUploading = computed(() => uploads.value.some((upload) => ACTIVE.includes(upload.state.value.phase)));

let turn: Promise<void> = Promise.resolve();

/** Adds an upload, which begins when those before it have ended. */
export function addUpload(upload: Upload): void {
  const kept = uploads.value.filter((other, index) => index < MAX_UPLOADS - 1 || !isEnded(other));
  uploads.value = [upload, ...kept];
  startUpload(upload);
}

/** Starts an upload, or continues it. */
export function startUpload(upload: Upload): void {
  upload.queue();
  turn = turn.then(() => run(upload));
}

/** Removes an upload that does not run from the list. */
export function removeUpload(upload: Upload): void {
  uploads.value = uploads.value.filter((other) => other !== upload);
}

/** Returns whether an upload has ended for good. */
export function isEnded(upload: Upload): boolean {
  return ENDED.includes(upload.state.value.phase);
}

async function run(upload: Upload): Promise<void> {
  if (upload.state.value.phase !== "queued") {
    return;
  }
  await upload.run();
  if (isEnded(upload)) {
    forgetPosition(upload);
  } else {
    rememberPosition(upload);
  }
  await refreshDatabases();
}

if (typeof window !== "undefined") {
  window.addEventListener("beforeunload", (event) => {
    for (const upload of uploads.value.filter((other) => !isEnded(other))) {
      rememberPosition(upload);
    }
    if (isUploading.value || isLive.value) {
      event.preventDefault();
    }
  });
}
