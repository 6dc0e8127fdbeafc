/** The log lines of triggers, with filters. */

import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { queryRows } from "../api/query";
import { useLoaded } from "../api/use-loaded";
import { Button, Checkbox, ErrorNote, Select, Spinner, TextField } from "../ui";
import { download, optionsOf } from "../write/names";
import { ScrollArea } from "../write/scroll-area";
import { shortTime } from "./admin-table";
import { type LogFilter, type LogLine, logQuery, MAX_LOG_LINES } from "./triggers";

const LEVELS: readonly { value: LogFilter["level"]; label: string }[] = [
  { value: "", label: "All levels" },
  { value: "INFO", label: "INFO" },
  { value: "WARN", label: "WARN" },
  { value: "ERROR", label: "ERROR" },
];

const PERIODS = [
  { value: "0", label: "All that are kept" },
  { value: "300", label: "Last 5 minutes" },
  { value: "3600", label: "Last hour" },
  { value: "86400", label: "Last day" },
];

/** The time between two reads, if the lines are to be followed. */
const FOLLOW_MS = 5_000;

/** The time without a key after which the text is searched. */
const SEARCH_DELAY_MS = 300;

export interface LogsPanelProps {
  database: string;
  /** The names of the triggers. */
  triggers: readonly string[];
  /** The trigger whose lines are shown; empty: all. */
  trigger: string;
  onTrigger(trigger: string): void;
}

/** The panel. */
export function LogsPanel({ database, triggers, trigger, onTrigger }: LogsPanelProps): JSX.Element {
  const [level, setLevel] = useState<LogFilter["level"]>("");
  const [text, setText] = useState("");
  const [period, setPeriod] = useState("0");
  const [isFollowing, setFollowing] = useState(false);
  const searched = useDelayed(text);
  const query = logQuery({ trigger, level, text: searched, lastSeconds: Number(period) });
  const lines = useLoaded(`${database}\n${query}`, (signal) => queryRows<LogLine>(database, query, "sql", { signal }));
  useEffect(() => {
    if (!isFollowing) {
      return undefined;
    }
    const timer = setInterval(lines.reload, FOLLOW_MS);
    return () => clearInterval(timer);
  }, [isFollowing, lines.reload]);
  const save = () => {
    const rows = (lines.value ?? []).map(
      (line) => `${line.event_time}Z ${line.log_level} ${line.trigger_name}: ${line.log_text}`,
    );
    download(`${database}-log.txt`, `${rows.reverse().join("\n")}\n`);
  };
  return (
    <section class="admin-section" aria-labelledby="logs-title">
      <header class="admin-head">
        <h2 id="logs-title">Log</h2>
        <Button icon="refresh" onClick={lines.reload} isBusy={lines.isLoading}>
          Refresh
        </Button>
        <Button kind="quiet" icon="download" onClick={save} disabled={(lines.value?.length ?? 0) === 0}>
          Save
        </Button>
      </header>
      <div class="admin-filters">
        <Select
          label="Trigger"
          value={trigger}
          options={[{ value: "", label: "All triggers" }, ...optionsOf(withPresent(triggers, trigger))]}
          onChange={onTrigger}
        />
        <Select label="Level" value={level} options={LEVELS} onChange={(value) => setLevel(value)} />
        <Select label="Time" value={period} options={PERIODS} onChange={setPeriod} />
        <TextField label="Contains" type="search" value={text} onInput={setText} />
        <Checkbox label="Follow" isChecked={isFollowing} onChange={setFollowing} />
      </div>
      {lines.error !== undefined && <ErrorNote error={lines.error} onRetry={lines.reload} />}
      {lines.value === undefined && lines.error === undefined && <Spinner label="Loading" />}
      {lines.value !== undefined && <LogList lines={lines.value} />}
    </section>
  );
}

/** A trigger that was deleted may still have lines. */
function withPresent(triggers: readonly string[], trigger: string): readonly string[] {
  return trigger === "" || triggers.includes(trigger) ? triggers : [...triggers, trigger];
}

function LogList({ lines }: { lines: readonly LogLine[] }): JSX.Element {
  if (lines.length === 0) {
    return (
      <p class="muted">
        No lines. Lines of other processes appear within a minute, and are kept for three days at most.
      </p>
    );
  }
  return (
    <ScrollArea class="preview-scroll log-scroll" label="Log lines">
      <ol class="log-list">
        {lines.map((line, index) => (
          <li key={`${line.event_time} ${index}`}>
            <time class="muted">{shortTime(line.event_time)}</time>
            <span class={`log-level log-${line.log_level.toLowerCase()}`}>{line.log_level}</span>
            <span class="log-trigger">{line.trigger_name}</span>
            <span class="log-text preserve-lines">{line.log_text}</span>
          </li>
        ))}
      </ol>
      {lines.length === MAX_LOG_LINES && (
        <p class="muted log-more">The newest {MAX_LOG_LINES} lines; filter for others.</p>
      )}
    </ScrollArea>
  );
}

/** Returns a text that follows another one after a pause. */
function useDelayed(text: string): string {
  const [delayed, setDelayed] = useState(text);
  useEffect(() => {
    const timer = setTimeout(() => setDelayed(text), SEARCH_DELAY_MS);
    return () => clearTimeout(timer);
  }, [text]);
  return delayed;
}
