/** Runs the plugin of a trigger now. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { ApiError, request } from "../api/client";
import { Button, Dialog, ErrorNote, Select, TextField } from "../ui";
import { ScrollArea } from "../write/scroll-area";
import { DryRunOutcome } from "./dry-run";
import { type DryRunInput, runPlugin } from "./plugins";
import { RowFields } from "./run-fields";
import type { DryRun, Trigger } from "./triggers";

export interface RunDialogProps {
  database: string;
  trigger: Trigger;
  onClose(): void;
}

/** The dialog. */
export function RunDialog(props: RunDialogProps): JSX.Element {
  return props.trigger.kind === "request" ? <RequestDialog {...props} /> : <RunOnceDialog {...props} />;
}

function RunOnceDialog({ database, trigger, onClose }: RunDialogProps): JSX.Element {
  const [lines, setLines] = useState("");
  const [outcome, setOutcome] = useState<DryRun>();
  const [error, setError] = useState<unknown>();
  const [isBusy, setBusy] = useState(false);
  const table = trigger.specification.startsWith("table:") ? trigger.specification.slice("table:".length) : undefined;
  const isReady = trigger.kind === "schedule" || lines.trim() !== "";
  const run = async () => {
    setBusy(true);
    setError(undefined);
    setOutcome(undefined);
    const input: DryRunInput = trigger.kind === "rows" ? { kind: "rows", lines } : { kind: "schedule", cron: "" };
    try {
      setOutcome(await runPlugin(database, trigger.plugin, input, trigger.arguments));
    } catch (failure) {
      setError(failure);
    }
    setBusy(false);
  };
  const actions = (
    <>
      <Button onClick={onClose}>Close</Button>
      <Button kind="primary" icon="play" type="submit" disabled={!isReady} isBusy={isBusy}>
        Run now
      </Button>
    </>
  );
  return (
    <Dialog
      title={`Run ${trigger.name} now`}
      size="large"
      onClose={onClose}
      onSubmit={() => isReady && !isBusy && void run()}
      actions={actions}
    >
      <p class="muted">
        Runs <code>{trigger.plugin}</code> with the arguments of the trigger. You see what it writes first, and store it
        then. The state of the trigger stays as it is. If the plugin was uploaded again since, this runs the newer code.
      </p>
      {trigger.kind === "rows" && <RowFields database={database} table={table} lines={lines} onLines={setLines} />}
      {error !== undefined && <ErrorNote title="The run could not start" error={error} />}
      {outcome !== undefined && <DryRunOutcome outcome={outcome} canWrite />}
    </Dialog>
  );
}

interface Answer {
  status: number;
  contentType: string;
  text: string;
}

/** Maximum characters of an answer that are shown. */
const MAX_ANSWER_CHARS = 100_000;

function RequestDialog({ trigger, onClose }: RunDialogProps): JSX.Element {
  const path = `/api/v3/engine/${trigger.specification.slice("request:".length)}`;
  const [method, setMethod] = useState("GET");
  const [query, setQuery] = useState("");
  const [body, setBody] = useState("");
  const [answer, setAnswer] = useState<Answer>();
  const [error, setError] = useState<unknown>();
  const [isBusy, setBusy] = useState(false);
  const run = async () => {
    setBusy(true);
    setError(undefined);
    setAnswer(undefined);
    try {
      const sent = method === "GET" ? undefined : body;
      const response = await request(query === "" ? path : `${path}?${query}`, { method, body: sent });
      const text = await response.text();
      const contentType = response.headers.get("content-type") ?? "";
      setAnswer({ status: response.status, contentType, text: text.slice(0, MAX_ANSWER_CHARS) });
    } catch (failure) {
      setError(failure);
    }
    setBusy(false);
  };
  const actions = (
    <>
      <Button onClick={onClose}>Close</Button>
      <Button kind="primary" icon="play" type="submit" isBusy={isBusy}>
        Send
      </Button>
    </>
  );
  return (
    <Dialog
      title={`Send a request to ${trigger.name}`}
      size="large"
      onClose={onClose}
      onSubmit={() => !isBusy && void run()}
      actions={actions}
    >
      <p class="muted">
        <code>{path}</code> runs the plugin. What it writes is stored.
      </p>
      <div class="admin-field-row">
        <Select label="Method" value={method} options={["GET", "POST", "PUT", "DELETE"]} onChange={setMethod} />
        <TextField label="Query string" value={query} onInput={setQuery} placeholder="room=Kitchen" isMonospace />
      </div>
      {method !== "GET" && <TextField label="Body" value={body} onInput={setBody} lines={4} isMonospace />}
      {error !== undefined && (
        <ErrorNote title={error instanceof ApiError ? `Answer ${error.status}` : "The request failed"} error={error} />
      )}
      {answer !== undefined && (
        <div role="status">
          <p>
            Answer {answer.status}, <code>{answer.contentType}</code>
          </p>
          <ScrollArea class="command-text dry-run-lines" label="Answer">
            <pre>{answer.text}</pre>
          </ScrollArea>
        </div>
      )}
    </Dialog>
  );
}
