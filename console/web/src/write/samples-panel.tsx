/** Sample data sets, written with one click, and the live generator. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { currentDatabase } from "../api/schema";
import { link } from "../router";
import { Button, Icon, Select } from "../ui";
import { live, startLive } from "./live";
import { formatCount } from "./names";
import { writeProblem } from "./rights";
import { rowCount, SAMPLE_SETS, type SampleSet, sampleBlob } from "./samples";
import { Upload } from "./upload";
import { addUpload } from "./upload-list";

/** The database of samples, if none is chosen. */
const SAMPLE_DATABASE = "samples";

/** The panel. */
export function SamplesPanel({ database }: { database: string }): JSX.Element {
  const target = database === "" ? SAMPLE_DATABASE : database;
  const problem = writeProblem(target);
  return (
    <div class="write-samples">
      <p class="muted">
        The values are made up. They are written into the database <span class="monospace">{target}</span>; to remove
        them, delete their tables under <a href={link("administer", {}, ["databases"])}>Administer</a>.
      </p>
      {problem !== undefined && (
        <p class="field-error" role="alert">
          {problem}
        </p>
      )}
      <ul class="sample-list">
        {SAMPLE_SETS.map((set) => (
          <SampleCard key={set.id} set={set} database={target} isDisabled={problem !== undefined} />
        ))}
      </ul>
      <LiveCard database={target} isDisabled={problem !== undefined} />
    </div>
  );
}

interface CardProps {
  set: SampleSet;
  database: string;
  isDisabled: boolean;
}

function SampleCard({ set, database, isDisabled }: CardProps): JSX.Element {
  const [isWritten, setWritten] = useState(false);
  const write = () => {
    const blob = sampleBlob(set, Math.floor(Date.now() / 1000));
    const source = { name: set.title, blob, format: "lp" as const, isGzip: false };
    addUpload(new Upload(source, { database, precision: "s", acceptPartial: true }));
    currentDatabase.value = database;
    setWritten(true);
  };
  return (
    <li class="sample-card">
      <h2>{set.title}</h2>
      <p>{set.description}</p>
      <p class="muted">
        {set.tables.length === 1 ? "Table" : "Tables"} {set.tables.join(", ")}
      </p>
      <div class="write-buttons">
        <Button icon="write" onClick={write} disabled={isDisabled}>
          Write {formatCount(rowCount(set))} rows
        </Button>
        {isWritten && <a href={link("explore", { db: database, q: set.query })}>Explore them</a>}
      </div>
    </li>
  );
}

function LiveCard({ database, isDisabled }: { database: string; isDisabled: boolean }): JSX.Element | null {
  const [id, setId] = useState("servers");
  const set = SAMPLE_SETS.find((known) => known.id === id) ?? SAMPLE_SETS[0];
  if (set === undefined) {
    return null;
  }
  return (
    <section class="live-card" aria-labelledby="live-title">
      <h2 id="live-title">
        <Icon name="operate" /> Live
      </h2>
      <p>
        Writes the values of the present second, once a second, until you stop it or close the tab. Dashboards and
        queries with automatic refresh then have something to show.
      </p>
      <div class="write-buttons">
        <Select
          label="Values"
          value={set.id}
          options={SAMPLE_SETS.map((known) => ({
            value: known.id,
            label: `${known.title}: ${known.rowsPerStep} rows/s`,
          }))}
          onChange={setId}
        />
        <Button
          kind="primary"
          icon="play"
          disabled={isDisabled}
          onClick={() => {
            startLive(database, set);
            currentDatabase.value = database;
          }}
        >
          {live.value === undefined ? "Start" : "Start again"}
        </Button>
      </div>
    </section>
  );
}
