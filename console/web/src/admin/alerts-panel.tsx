/** Lists rules with their alerts, and creates alerts from queries. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { formatDuration } from "../api/format-value";
import { LANGUAGE_NAMES, languageOf, QUERY_LANGUAGES } from "../api/query";
import { may } from "../api/session";
import { useLoaded } from "../api/use-loaded";
import { link, route, setParams } from "../router";
import { zone } from "../time/zone";
import { Button, ConfirmDialog, EmptyState, ErrorNote, notify, Select, Spinner, TextField } from "../ui";
import { counted } from "../write/names";
import { AdminTable, shortTime } from "./admin-table";
import {
  type ActiveAlert,
  type AlertDraft,
  type AlertKind,
  createAlert,
  deleteGroup,
  historyQuery,
  listRuleGroups,
  type Rule,
  type RuleGroup,
  shownValue,
} from "./alerts";
import { ChangeDialog } from "./change-dialog";
import { durationError } from "./durations";

/** The time between two reads of the states, in milliseconds. */
const REFRESH_MS = 10_000;

/** Active alerts of a rule that are shown. */
const MAX_SHOWN = 20;

/** The panel. */
export function AlertsPanel({ database }: { database: string }): JSX.Element {
  const groups = useLoaded(database, () => listRuleGroups(database), REFRESH_MS);
  const params = route.value.params;
  const draft = params.get("q");
  const [isCreating, setCreating] = useState(draft !== null);
  const [deleted, setDeleted] = useState<RuleGroup>();
  const mayWrite = may("write", database);
  const closeDraft = () => {
    setCreating(false);
    setParams({ q: undefined, lang: undefined });
  };
  return (
    <section class="admin-section" aria-labelledby="alerts-title">
      <header class="admin-head">
        <h2 id="alerts-title">
          Alerts and rules of <span class="preview-name">{database}</span>
        </h2>
        {groups.value !== undefined && groups.value.length > 0 && (
          <a href={link("explore", { db: database, q: historyQuery() })}>History</a>
        )}
        {mayWrite && (
          <Button icon="add" onClick={() => setCreating(true)}>
            Create alert
          </Button>
        )}
      </header>
      {groups.error !== undefined && <ErrorNote error={groups.error} onRetry={groups.reload} />}
      {groups.value === undefined && groups.error === undefined && <Spinner label="Loading" />}
      {groups.value?.length === 0 && (
        <EmptyState icon="warning" title="No rule yet">
          <p>
            An alert fires while its query has results. The server sends it to the targets of{" "}
            <code>--notify-target</code>, such as an Alertmanager, which silences and routes alerts.{" "}
            <code>neap create rules</code> loads rule files.
          </p>
        </EmptyState>
      )}
      {groups.value !== undefined && groups.value.length > 0 && (
        <RuleTable groups={groups.value} onDelete={mayWrite ? setDeleted : undefined} />
      )}
      {isCreating && (
        <CreateAlertDialog
          database={database}
          query={draft ?? ""}
          language={languageOf(params.get("lang"))}
          onCreated={groups.reload}
          onClose={closeDraft}
        />
      )}
      {deleted !== undefined && (
        <ConfirmDialog
          title="Delete the rules"
          action="Delete"
          onConfirm={async () => {
            await deleteGroup(database, deleted);
            groups.reload();
          }}
          onClose={() => setDeleted(undefined)}
        >
          <p>
            The group “<bdi>{deleted.name}</bdi>” has {counted(deleted.rules.length, "rule")}:{" "}
            <bdi>{deleted.rules.map(({ name }) => name).join(", ")}</bdi>. Their alerts end without a notification. What
            they have recorded stays.
          </p>
        </ConfirmDialog>
      )}
    </section>
  );
}

interface RuleTableProps {
  groups: readonly RuleGroup[];
  /** Absent: the caller may not delete rules. */
  onDelete?: ((group: RuleGroup) => void) | undefined;
}

function RuleTable({ groups, onDelete }: RuleTableProps): JSX.Element {
  const heads = ["Rule", "State", "Active alerts", "Expression", "Group", `Evaluated (${zone.value})`];
  return (
    <AdminTable label="All rules" heads={heads} hasActions={onDelete !== undefined}>
      {groups.flatMap((group) =>
        group.rules.map((rule, index) => (
          <tr key={`${group.file} ${group.name} ${index}`}>
            <th scope="row">
              <span class="preview-cell">{rule.name}</span>
            </th>
            <td class="admin-wrap">
              <RuleState rule={rule} />
            </td>
            <td class="admin-wrap">
              <ActiveAlerts alerts={rule.alerts ?? []} />
            </td>
            <td class="admin-wrap">
              <code>{rule.query.slice(0, 2_000)}</code>
            </td>
            <td class="admin-wrap">
              {group.file} / {group.name}, every {seconds(group.interval)}
            </td>
            <td>{rule.health === "unknown" ? "" : shortTime(rule.lastEvaluation)}</td>
            {onDelete && (
              <td class="admin-actions">
                {index === 0 && (
                  <Button
                    kind="quiet"
                    icon="trash"
                    title={`Delete the group ${group.name}`}
                    onClick={() => onDelete(group)}
                  >
                    Delete
                  </Button>
                )}
              </td>
            )}
          </tr>
        )),
      )}
    </AdminTable>
  );
}

function seconds(count: number): string {
  return formatDuration(count * 1e9);
}

function RuleState({ rule }: { rule: Rule }): JSX.Element {
  const { health, lastError = "", state = "records", duration = 0 } = rule;
  return (
    <>
      <span class={state === "firing" ? "field-error" : ""}>{state}</span>
      {duration > 0 && <span class="muted"> after {seconds(duration)}</span>}
      {health === "unknown" && <span class="muted">, not evaluated yet</span>}
      {health === "err" && <span class="field-error">: {lastError.slice(0, 1_000)}</span>}
    </>
  );
}

function ActiveAlerts({ alerts }: { alerts: readonly ActiveAlert[] }): JSX.Element {
  return (
    <>
      {alerts.slice(0, MAX_SHOWN).map((alert) => (
        <div key={JSON.stringify(alert.labels)}>
          {alert.state}: {labelText(alert.labels)} <strong>{shownValue(alert.value)}</strong>{" "}
          <span class="muted">since {shortTime(alert.activeAt)}</span>
        </div>
      ))}
      {alerts.length > MAX_SHOWN && <div class="muted">and {alerts.length - MAX_SHOWN} more</div>}
    </>
  );
}

function labelText(labels: Record<string, string>): string {
  const entries = Object.entries(labels).filter(([name]) => name !== "alertname");
  return entries
    .map(([name, value]) => `${name}=${value}`)
    .join(", ")
    .slice(0, 500);
}

const KINDS: readonly { value: AlertKind; label: string }[] = [
  { value: "above", label: "the last value is above" },
  { value: "below", label: "the last value is below" },
  { value: "change", label: "the value changes by more than" },
  { value: "missing", label: "a series has no new rows" },
];

const LANGUAGES = QUERY_LANGUAGES.map((value) => ({ value, label: LANGUAGE_NAMES[value] }));

interface CreateAlertDialogProps {
  database: string;
  /** A query of Explore, or the empty text. */
  query: string;
  language: AlertDraft["language"];
  onCreated(): void;
  onClose(): void;
}

function CreateAlertDialog({ database, query, language, onCreated, onClose }: CreateAlertDialogProps): JSX.Element {
  const [draft, setDraft] = useState<Omit<AlertDraft, "limit">>({
    name: "",
    language,
    query,
    kind: "above",
    window: "10m",
    hold: "",
    summary: "",
    severity: "",
  });
  const [limit, setLimit] = useState("");
  const change = (part: Partial<typeof draft>) => setDraft({ ...draft, ...part });
  const windowError = durationError(draft.window);
  const holdError = draft.hold === "" ? undefined : durationError(draft.hold);
  const hasLimit = draft.kind === "missing" || (limit.trim() !== "" && Number.isFinite(Number(limit)));
  const isReady = draft.name.trim() !== "" && draft.query.trim() !== "" && hasLimit && !windowError && !holdError;
  const create = async () => {
    const name = draft.name.trim();
    const count = await createAlert(database, { ...draft, name, limit: Number(limit) });
    notify("success", `The alert ${name.slice(0, 60)} is created. Its condition is true for ${count} series now.`);
  };
  return (
    <ChangeDialog
      title="Create an alert"
      action="Create alert"
      isReady={isReady}
      change={create}
      onChanged={onCreated}
      onClose={onClose}
    >
      <TextField
        label="Name"
        value={draft.name}
        onInput={(name) => change({ name })}
        hint="An alert of this page with the same name is replaced."
        autoFocus
      />
      <Select
        label="Language"
        value={draft.language}
        options={LANGUAGES}
        onChange={(chosen) => change({ language: chosen })}
      />
      <TextField
        label="Query"
        value={draft.query}
        onInput={(text) => change({ query: text })}
        lines={6}
        isMonospace
        hint="One number and any texts in each row. $from, $to and $interval follow the window."
      />
      <div class="admin-filters">
        <Select label="Fires if" value={draft.kind} options={KINDS} onChange={(kind) => change({ kind })} />
        {draft.kind !== "missing" && <TextField label="Limit" type="number" value={limit} onInput={setLimit} />}
        <TextField label="Window" value={draft.window} onInput={(window) => change({ window })} error={windowError} />
        <TextField
          label="For at least"
          value={draft.hold}
          onInput={(hold) => change({ hold })}
          placeholder="at once"
          error={holdError}
        />
        <TextField
          label="Severity"
          value={draft.severity}
          onInput={(severity) => change({ severity })}
          suggestions={["info", "warning", "critical"]}
        />
      </div>
      <TextField
        label="Summary"
        value={draft.summary}
        onInput={(summary) => change({ summary })}
        placeholder="{{ $labels.room }} is at {{ $value }}"
      />
    </ChangeDialog>
  );
}
