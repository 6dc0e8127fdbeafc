/** The uploads and the live generator, with their progress. */

import type { JSX } from "preact";
import { formatBytes } from "../api/format-value";
import { link } from "../router";
import { Button, Icon, IconButton } from "../ui";
import { live, liveEnd, stopLive } from "./live";
import { counted, download, fileName, formatCount } from "./names";
import { exploreTable, IssueList } from "./preview-tables";
import type { Upload, UploadPhase, UploadState } from "./upload";
import { isEnded, removeUpload, startUpload, uploads } from "./upload-list";

const PHASES: Record<UploadPhase, string> = {
  queued: "waits for its turn",
  sending: "is being written",
  waiting: "waits for the server",
  paused: "paused",
  failed: "stopped",
  cancelled: "cancelled",
  done: "done",
};

/** Shows the uploads; nothing if there are none. */
export function UploadsPanel(): JSX.Element | null {
  if (uploads.value.length === 0) {
    return null;
  }
  return (
    <section class="uploads" aria-label="Uploads">
      {uploads.value.map((upload) => (
        <UploadRow key={keyOf(upload)} upload={upload} />
      ))}
    </section>
  );
}

const keys = new WeakMap<Upload, number>();
let nextKey = 1;

function keyOf(upload: Upload): number {
  const key = keys.get(upload) ?? nextKey++;
  keys.set(upload, key);
  return key;
}

function UploadRow({ upload }: { upload: Upload }): JSX.Element {
  const state = upload.state.value;
  const { source, target } = upload;
  const into = target.mapping?.table ? `${target.database} / ${target.mapping.table}` : target.database;
  return (
    <article class={`upload upload-${state.phase}`} aria-label={`Upload of ${source.name}`}>
      <header class="upload-head">
        <Icon name={state.phase === "done" ? "check" : state.phase === "failed" ? "error" : "upload"} />
        <strong class="preview-name">{source.name}</strong>
        <span class="muted preview-name">into {into}</span>
        <span class="upload-phase" role="status">
          {PHASES[state.phase]}
        </span>
        <UploadButtons upload={upload} />
      </header>
      <UploadProgress upload={upload} state={state} />
      {state.problem !== undefined && <p class={state.phase === "failed" ? "field-error" : "muted"}>{state.problem}</p>}
      {state.phase === "failed" && state.position > 0 && (
        <p class="muted">
          Everything before byte {formatCount(state.position)} is answered. If you reload the page, choose the same file
          again to continue there.
        </p>
      )}
      {state.refused > 0 && <Refusals upload={upload} state={state} />}
    </article>
  );
}

function UploadButtons({ upload }: { upload: Upload }): JSX.Element {
  const { phase } = upload.state.value;
  const isRunning = phase === "sending" || phase === "waiting" || phase === "queued";
  const canContinue = phase === "paused" || phase === "failed";
  return (
    <span class="upload-buttons">
      {isRunning && (
        <Button kind="quiet" icon="pause" onClick={() => upload.pause()}>
          Pause
        </Button>
      )}
      {canContinue && (
        <Button kind="quiet" icon="play" onClick={() => startUpload(upload)}>
          Continue
        </Button>
      )}
      {!isEnded(upload) && (
        <Button kind="quiet" icon="stop" onClick={() => upload.cancel()}>
          Cancel
        </Button>
      )}
      {phase === "done" && <a href={exploreUpload(upload)}>Explore</a>}
      {isEnded(upload) && <IconButton icon="close" label="Remove from the list" onClick={() => removeUpload(upload)} />}
    </span>
  );
}

function exploreUpload({ target }: Upload): string {
  const table = target.mapping?.table ?? "";
  return table === "" ? link("explore", { db: target.database }) : exploreTable(target.database, table);
}

function UploadProgress({ upload, state }: { upload: Upload; state: UploadState }): JSX.Element {
  const { isGzip, blob } = upload.source;
  const rate = state.elapsedMs > 0 ? (state.rows / state.elapsedMs) * 1000 : 0;
  return (
    <div class="upload-progress">
      <progress
        aria-label={`Progress of ${upload.source.name}`}
        max={1}
        value={state.phase === "done" ? 1 : isGzip ? undefined : state.position / Math.max(1, blob.size)}
      />
      <p class="muted">
        {counted(Math.max(0, state.rows - state.refused), "row")} stored
        {state.refused > 0 && `, ${formatCount(state.refused)} refused`}; {formatBytes(state.position)}
        {isGzip ? " decompressed" : ` of ${formatBytes(blob.size)}`}
        {rate >= 1 && `; ${formatCount(Math.round(rate))} rows/s`}
      </p>
    </div>
  );
}

function Refusals({ upload, state }: { upload: Upload; state: UploadState }): JSX.Element {
  const save = () => {
    const lines = state.refusals.map(({ row, message, original }) => `${row}\t${message}\t${original ?? ""}`);
    download(`refused-${fileName(upload.source.name)}.txt`, `row\treason\ttext\n${lines.join("\n")}\n`);
  };
  return (
    <details class="upload-refusals" open={state.phase === "done"}>
      <summary>
        {formatCount(state.refused)} refused {state.refused === 1 ? "row" : "rows"}
      </summary>
      <IssueList
        label="Refused rows"
        issues={state.refusals.map(({ row, message, original }) => ({ line: row, message, text: original }))}
      />
      <Button icon="download" onClick={save}>
        Save the list
      </Button>
    </details>
  );
}

/** Shows the live generator while it runs, and why it has ended. */
export function LiveStatus(): JSX.Element | null {
  const state = live.value;
  if (state === undefined) {
    return liveEnd.value === undefined ? null : (
      <p class="live-status live-ended" role="alert">
        <Icon name="error" /> The live generator has stopped: {liveEnd.value}
        <IconButton
          icon="close"
          label="Dismiss"
          onClick={() => {
            liveEnd.value = undefined;
          }}
        />
      </p>
    );
  }
  return (
    <div class="live-status" role="status">
      <span class="live-dot" aria-hidden="true" />
      <p>
        <strong>{state.set.title}</strong> go on in <span class="monospace">{state.database}</span>:{" "}
        {formatCount(state.rows)} rows
        {state.latencyMs !== undefined && `, the last second was stored in ${Math.round(state.latencyMs)} ms`}
        {state.problem !== undefined && <span class="field-error">; {state.problem}</span>}
      </p>
      <Button kind="danger" icon="stop" onClick={stopLive}>
        Stop
      </Button>
    </div>
  );
}
