/** The code that is being edited. It stays in memory while other views are shown, and is lost with the page. */

import { signal } from "@preact/signals";
import { notify } from "../ui";
import { INIT, type PluginCode, type SourceFile } from "./plugins";

/** The folder of a plugin of several files. */
export interface DraftFolder {
  /** The name of the plugin: that of its folder. */
  name: string;
  files: readonly SourceFile[];
  /** The path of the file that the editor shows. */
  path: string;
  /** The paths of the files that are not saved. */
  changed: readonly string[];
}

export interface PluginDraft {
  /** The name of the file, such as `alarm.py`. Unused for a folder. */
  name: string;
  /** The code that the editor shows. */
  code: string;
  /** The trigger whose code is to be changed; empty: none. */
  trigger: string;
  isChanged: boolean;
  /** The files of a plugin of several files; `undefined` for a single file. */
  folder: DraftFolder | undefined;
  /** Grows with each plugin that is opened, so that the editor forgets the changes of the one before. */
  version: number;
}

export type TemplateName = "rows" | "schedule" | "request";

/** A plugin to begin with. */
export interface Template {
  name: TemplateName;
  label: string;
  code: string;
}

export const TEMPLATES: readonly Template[] = [
  {
    name: "rows",
    label: "On written rows",
    code: `"""Runs on rows that are written, with a trigger such as table:home or all_tables."""


def process_writes(influxdb3_local, table_batches, args=None):
    limit = float((args or {}).get("limit", "25"))
    for batch in table_batches:
        for row in batch["rows"]:
            if (row.get("temp") or 0) > limit:
                influxdb3_local.warn("too hot in", row["room"])
                line = LineBuilder("alarms").tag("room", row["room"])
                influxdb3_local.write(line.float64_field("temp", row["temp"]).time_ns(row["time"]))
`,
  },
  {
    name: "schedule",
    label: "On a schedule",
    code: `"""Runs on a schedule, with a trigger such as every:5m or cron:0 0 * * * *."""


def process_scheduled_call(influxdb3_local, call_time, args=None):
    rows = influxdb3_local.query(
        "SELECT room, avg(temp) AS temp FROM home "
        "WHERE time >= now() - INTERVAL '1 hour' GROUP BY room"
    )
    influxdb3_local.info(len(rows), "rooms")
    for row in rows:
        line = LineBuilder("hourly").tag("room", row["room"]).float64_field("temp", row["temp"])
        influxdb3_local.write(line.time_ns(int(call_time.timestamp()) * 1_000_000_000))
`,
  },
  {
    name: "request",
    label: "On requests",
    code: `"""Answers requests to /api/v3/engine/PATH, with a trigger request:PATH."""


def process_request(influxdb3_local, query_parameters, request_headers, request_body, args=None):
    room = query_parameters.get("room")
    if room is None:
        return {"error": "which room?"}, 400
    rows = influxdb3_local.query("SELECT max(temp) AS temp FROM home WHERE room = $room", {"room": room})
    return {"room": room, "hottest": rows[0]["temp"]}
`,
  },
];

const FIRST: PluginDraft = { name: "", code: "", trigger: "", isChanged: false, folder: undefined, version: 0 };

/** The plugin that is being edited. */
export const editedPlugin = signal<PluginDraft>(FIRST);

/** Changes the draft. */
export function editPlugin(change: Partial<PluginDraft>): void {
  editedPlugin.value = { ...editedPlugin.value, ...change };
}

/** Replaces the draft by another plugin. Code that is not saved can be brought back. */
export function replaceDraft(name: string, code: PluginCode, trigger = ""): void {
  const before = editedPlugin.value;
  editedPlugin.value = { ...draftOf(name, code), trigger, version: before.version + 1 };
  if (before.isChanged && before.code.trim() !== "") {
    notify("info", "The code is replaced.", () => editPlugin({ ...before, version: editedPlugin.value.version + 1 }));
  }
}

/** Returns the code of a single file. */
export function singleFile(path: string, content: string): PluginCode {
  return { is_package: false, files: [{ path, content }] };
}

/** Returns the draft of a plugin of the server. A folder shows its `__init__.py` first. */
export function draftOf(name: string, { is_package, files }: PluginCode): PluginDraft {
  const first = files.find(({ path }) => path === INIT) ?? files[0] ?? { path: INIT, content: "" };
  const plugin = name.replace(/\/+$/, "");
  const folder = is_package ? { name: plugin, files, path: first.path, changed: [] } : undefined;
  return { ...FIRST, name: plugin, code: first.content, folder };
}

/** Changes the code of the file that the editor shows. */
export function editCode(code: string): void {
  const { folder } = editedPlugin.value;
  if (folder === undefined) {
    editPlugin({ code, isChanged: true });
    return;
  }
  const files = folder.files.map((file) => (file.path === folder.path ? { ...file, content: code } : file));
  const changed = [...new Set([...folder.changed, folder.path])];
  editPlugin({ code, isChanged: true, folder: { ...folder, files, changed } });
}

/** Shows another file of the folder. */
export function showFile(path: string): void {
  const { folder } = editedPlugin.value;
  const file = folder?.files.find((other) => other.path === path);
  if (folder !== undefined && file !== undefined) {
    editPlugin({ code: file.content, folder: { ...folder, path } });
  }
}

/** Remembers that the draft is saved. */
export function markSaved(): void {
  const { folder } = editedPlugin.value;
  editPlugin({ isChanged: false, folder: folder && { ...folder, changed: [] } });
}

/** Returns the name under which a trigger runs the plugin of the draft. */
export function pluginOf({ name, folder }: PluginDraft): string {
  return folder?.name ?? name;
}

/** Returns all files of the draft. */
export function filesOf({ name, code, folder }: PluginDraft): readonly SourceFile[] {
  return folder?.files ?? [{ path: name, content: code }];
}
