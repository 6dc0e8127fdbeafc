/** The head of a dashboard: name, version, time range, refresh and actions. */

import type { JSX } from "preact";
import { formatHash, link, route } from "../router";
import { startTv } from "../shell/tv-mode";
import { fixedRange, type TimeRange } from "../time/range";
import type { Refresh } from "../time/refresh";
import {
  Button,
  copyText,
  IconButton,
  Menu,
  type MenuItem,
  notify,
  RefreshSelect,
  TextField,
  TimeRangePicker,
} from "../ui";
import { MAX_NAME_LENGTH } from "./dashboard";
import { formatUpdate } from "./dashboard-list";
import { NEW_ID, type OpenDashboard } from "./dashboard-store";
import { formatGrafana } from "./grafana-export";
import { setRange, setRefresh } from "./page-state";
import { formatDashboardFile } from "./validate";

/** The properties of the head of a dashboard. */
export interface DashboardHeaderProps {
  open: OpenDashboard;
  isEditing: boolean;
  isSaving: boolean;
  mayWrite: boolean;
  range: TimeRange;
  refreshSeconds: Refresh;
  onName(name: string): void;
  onEdit(): void;
  onStopEditing(): void;
  onDiscard(): void;
  onSave(): void;
  onCopy(): void;
  onDelete(): void;
  onExport(format: typeof formatDashboardFile): void;
  onRefresh(): void;
  onAddCell(): void;
  onAddNote(): void;
  onVariables(): void;
  onAnnotations(): void;
  /** Makes the present range, refresh and values those at the start. */
  onKeepView(): void;
}

/** The name of a dashboard, its time range, and what can be done with it. */
export function DashboardHeader(props: DashboardHeaderProps): JSX.Element {
  const { open, isEditing, range, refreshSeconds, onRefresh } = props;
  return (
    <header class="dashboards-head dashboard-head">
      <div class="dashboard-title">
        <a href={link("dashboards")} class="dashboard-back">
          Dashboards
        </a>
        {isEditing && <h1 class="visually-hidden">Edit a dashboard</h1>}
        {isEditing ? (
          <TextField
            label="Name of the dashboard"
            isLabelHidden
            value={open.name}
            onInput={(name) => props.onName(name.slice(0, MAX_NAME_LENGTH))}
          />
        ) : (
          <h1>
            <bdi>{open.name}</bdi>
          </h1>
        )}
        <span class="chart-note">{describeState(open)}</span>
      </div>
      <div class="dashboards-actions">
        <TimeRangePicker range={range} onChange={setRange} align="end" />
        <RefreshSelect value={refreshSeconds} onChange={setRefresh} />
        <IconButton icon="refresh" label="Refresh now" kind="plain" onClick={onRefresh} />
        {isEditing ? <EditActions {...props} /> : <ViewActions {...props} />}
      </div>
    </header>
  );
}

function EditActions(props: DashboardHeaderProps): JSX.Element {
  const { open, isSaving } = props;
  return (
    <>
      <Menu
        label="Add"
        icon="add"
        items={[
          { label: "Chart or table", icon: "chart", onSelect: props.onAddCell },
          { label: "Note", icon: "edit", onSelect: props.onAddNote },
          { label: "Variables", icon: "tag", onSelect: props.onVariables },
          { label: "Annotations", icon: "time", onSelect: props.onAnnotations },
          { label: "Present range and values as default", icon: "clock", onSelect: props.onKeepView },
        ]}
      />
      {open.isChanged ? (
        <Button onClick={props.onDiscard}>Discard</Button>
      ) : (
        <Button onClick={props.onStopEditing}>Done</Button>
      )}
      <Button kind="primary" icon="save" isBusy={isSaving} disabled={!open.isChanged} onClick={props.onSave}>
        Save
      </Button>
    </>
  );
}

function ViewActions(props: DashboardHeaderProps): JSX.Element {
  const { open, mayWrite, isSaving } = props;
  const items: MenuItem[] = [
    { label: "TV mode (Esc ends it)", icon: "fullscreen", onSelect: () => void startTv() },
    { label: "Copy a link with fixed times", icon: "clock", onSelect: () => void copyLink(props.range) },
    { label: "Export as JSON", icon: "export", onSelect: () => props.onExport(formatDashboardFile) },
    { label: "Export for Grafana", icon: "export", onSelect: () => props.onExport(formatGrafana) },
  ];
  if (mayWrite) {
    items.push({ label: "Save a copy", icon: "copy", onSelect: props.onCopy });
    if (open.id !== NEW_ID) {
      items.push({ label: "Delete", icon: "trash", isDangerous: true, onSelect: props.onDelete });
    }
  }
  return (
    <>
      {mayWrite && (
        <Button icon="edit" onClick={props.onEdit}>
          Edit
        </Button>
      )}
      {mayWrite && open.isChanged && (
        <Button kind="primary" icon="save" isBusy={isSaving} onClick={props.onSave}>
          Save
        </Button>
      )}
      <Menu label="More actions" isIconOnly items={items} />
    </>
  );
}

/** Copies a link to the dashboard with its variables and the present range. */
async function copyLink(range: TimeRange): Promise<void> {
  const { view, path, params } = route.value;
  const fixed = fixedRange(range, Date.now());
  const hash = formatHash(view, { ...Object.fromEntries(params), ...fixed }, path);
  if (await copyText(`${location.origin}${location.pathname}${hash}`)) {
    notify("success", "Copied the link.");
  }
}

function describeState({ id, version, updatedAt, updatedBy, isChanged }: OpenDashboard): string {
  if (id === NEW_ID) {
    return "Not saved yet";
  }
  const by = updatedBy ? ` by ${updatedBy}` : "";
  const saved = `Version ${version}${updatedAt ? `, ${formatUpdate(updatedAt)}` : ""}${by}`;
  return isChanged ? `${saved}. Changes are not saved` : saved;
}
