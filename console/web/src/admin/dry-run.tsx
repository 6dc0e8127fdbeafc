/** The outcome of a dry run: what the plugin logged, and what it would have written. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { Button, ErrorNote, Note, notify } from "../ui";
import { counted, formatCount } from "../write/names";
import { ScrollArea } from "../write/scroll-area";
import { type DryRun, writeLines } from "./triggers";

/** Maximum number of lines that are shown. */
const MAX_SHOWN = 200;

/** Shows an outcome. `canWrite`: whether its lines can be stored after all. */
export function DryRunOutcome({ outcome, canWrite }: { outcome: DryRun; canWrite: boolean }): JSX.Element {
  const writes = Object.entries(outcome.database_writes);
  const lines = writes.reduce((sum, [, own]) => sum + own.length, 0);
  return (
    <div class="dry-run" role="status">
      {outcome.errors.map((error) => (
        <ErrorNote key={error} title="The plugin failed" error={error} />
      ))}
      {outcome.trigger_time != null && <p class="muted">Run as of {outcome.trigger_time}</p>}
      <h3>Log</h3>
      <LineList label="Lines of the log" lines={outcome.log_lines} />
      <h3>{lines === 0 ? "It writes nothing" : `It writes ${counted(lines, "line")}`}</h3>
      {writes.map(([database, own]) => (
        <div key={database}>
          <p>
            into <span class="monospace">{database}</span>
          </p>
          <LineList label={`Lines for ${database}`} lines={own} />
        </div>
      ))}
      {lines > 0 && outcome.errors.length === 0 && canWrite && <WriteButton outcome={outcome} lines={lines} />}
      {lines > 0 && (
        <Note>
          <p>Nothing is stored by the run itself.</p>
        </Note>
      )}
    </div>
  );
}

function LineList({ label, lines }: { label: string; lines: readonly string[] }): JSX.Element {
  return (
    <ScrollArea class="command-text dry-run-lines" label={label}>
      <pre>{lines.slice(0, MAX_SHOWN).join("\n") || "(nothing)"}</pre>
      {lines.length > MAX_SHOWN && <p class="muted">and {formatCount(lines.length - MAX_SHOWN)} further lines</p>}
    </ScrollArea>
  );
}

function WriteButton({ outcome, lines }: { outcome: DryRun; lines: number }): JSX.Element {
  const [state, setState] = useState<"ready" | "busy" | "written">("ready");
  const [error, setError] = useState<unknown>();
  const write = async () => {
    setState("busy");
    setError(undefined);
    try {
      await writeLines(outcome.database_writes);
      setState("written");
      notify("success", `${counted(lines, "line")} stored.`);
    } catch (failure) {
      setError(failure);
      setState("ready");
    }
  };
  return (
    <>
      {error !== undefined && <ErrorNote title="The lines are not stored" error={error} />}
      <div>
        <Button icon="write" onClick={() => void write()} isBusy={state === "busy"} disabled={state === "written"}>
          {state === "written" ? "Stored" : "Store these lines"}
        </Button>
      </div>
    </>
  );
}
