/** The form that runs the code of the editor without storing anything. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { Button, ErrorNote, Select, TextField } from "../ui";
import { DryRunOutcome } from "./dry-run";
import { editedPlugin, filesOf } from "./plugin-draft";
import { type DryRunInput, runDraft } from "./plugins";
import { RowFields } from "./run-fields";
import { type DryRun, parseArguments } from "./triggers";

/** The form. */
export function DryRunForm({ database }: { database: string }): JSX.Element {
  const draft = editedPlugin.value;
  const [kind, setKind] = useState<DryRunInput["kind"]>("rows");
  const [lines, setLines] = useState("");
  const [cron, setCron] = useState("");
  const [argumentText, setArgumentText] = useState("");
  const [outcome, setOutcome] = useState<DryRun>();
  const [error, setError] = useState<unknown>();
  const [isBusy, setBusy] = useState(false);
  const given = parseArguments(argumentText);
  const isReady =
    filesOf(draft).some(({ content }) => content.trim() !== "") &&
    typeof given !== "string" &&
    (kind === "schedule" || lines.trim() !== "");
  const run = async () => {
    setBusy(true);
    setError(undefined);
    setOutcome(undefined);
    const input: DryRunInput = kind === "rows" ? { kind, lines } : { kind, cron };
    try {
      const args = typeof given === "string" ? {} : given;
      setOutcome(await runDraft(database, filesOf(draft), draft.folder?.name, input, args));
    } catch (failure) {
      setError(failure);
    }
    setBusy(false);
  };
  return (
    <section class="admin-section" aria-labelledby="dry-run-title">
      <h2 id="dry-run-title">Dry run</h2>
      <p class="muted">Runs the code of the editor with real queries. Nothing is stored.</p>
      <Select
        label="Run it"
        value={kind}
        options={[
          { value: "rows", label: "On rows" },
          { value: "schedule", label: "As a schedule" },
        ]}
        onChange={(value) => setKind(value as DryRunInput["kind"])}
      />
      {kind === "rows" ? (
        <RowFields database={database} table={undefined} lines={lines} onLines={setLines} />
      ) : (
        <TextField label="Schedule" value={cron} onInput={setCron} placeholder="* * * * * *" isMonospace />
      )}
      <TextField
        label="Arguments"
        value={argumentText}
        onInput={setArgumentText}
        lines={2}
        placeholder="limit=30"
        error={typeof given === "string" ? given : undefined}
        isMonospace
      />
      <div>
        <Button icon="play" onClick={() => void run()} disabled={!isReady} isBusy={isBusy}>
          Run without storing
        </Button>
      </div>
      {error !== undefined && <ErrorNote title="The run could not start" error={error} />}
      {outcome !== undefined && <DryRunOutcome outcome={outcome} canWrite={false} />}
    </section>
  );
}
