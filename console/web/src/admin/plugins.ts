/** Uploaded plugins, the files of plugins that triggers run, and their code. */

import { ApiError, getJson, request } from "../api/client";
import { queryRows } from "../api/query";
import { INTERNAL_DATABASE } from "../api/schema";
import { type DryRun, runOnRows, runOnSchedule } from "./triggers";

const FILES = "/api/v3/plugins/files";
const DIRECTORY = "/api/v3/plugins/directory";

/** The file that holds the functions of a plugin of several files. */
export const INIT = "__init__.py";

/** A file of a plugin. */
export interface PluginFile {
  /** The trigger, or for a plugin that no trigger runs its own name. */
  plugin_name: string;
  /** The name of the plugin; for a file of a folder, followed by the path in the folder. */
  file_name: string;
  file_path: string;
  size_bytes: number;
  /** Milliseconds since the Unix epoch. */
  last_modified: number;
}

/** A plugin of the server. */
export interface ServerPlugin {
  /** The name of its file or folder. */
  name: string;
  /** The trigger that runs it; `undefined` for an upload that no trigger runs. */
  trigger: string | undefined;
  files: number;
  bytes: number;
}

/** A file of a plugin with its code. */
export interface SourceFile {
  /** The path in the folder of the plugin; the name of the file if the plugin is a single file. */
  path: string;
  content: string;
}

/** The code of a plugin. */
export interface PluginCode {
  /** Whether the plugin is a folder. */
  is_package: boolean;
  files: SourceFile[];
}

/** Lists the files. Administrators only. */
export async function listPluginFiles(): Promise<PluginFile[]> {
  const text = "SELECT * FROM system.plugin_files ORDER BY plugin_name, file_name";
  return queryRows<PluginFile>(INTERNAL_DATABASE, text);
}

/** Returns the plugins that files belong to, in the order of their first files. */
export function groupPlugins(files: readonly PluginFile[]): ServerPlugin[] {
  const byOwner = new Map<string, PluginFile[]>();
  for (const file of files) {
    byOwner.set(file.plugin_name, [...(byOwner.get(file.plugin_name) ?? []), file]);
  }
  return [...byOwner].map(([owner, own]) => {
    const name = pluginName(own.map((file) => file.file_name));
    return {
      name,
      trigger: name === owner ? undefined : owner,
      files: own.length,
      bytes: own.reduce((sum, file) => sum + file.size_bytes, 0),
    };
  });
}

/** Returns the name of the plugin that has these files: the folder that is a package, or else the first file. */
function pluginName(files: readonly string[]): string {
  const packages = files.filter((name) => name.endsWith(`/${INIT}`)).sort((one, other) => one.length - other.length);
  return packages[0]?.slice(0, -INIT.length - 1) ?? files[0] ?? "";
}

/** Returns the names under which triggers can run the plugins of some files. */
export function pluginNames(files: readonly PluginFile[]): string[] {
  return [...new Set(groupPlugins(files).map(({ name }) => name))].sort();
}

/** Returns why a plugin cannot have a name; `undefined` if it can. */
export function pluginNameError(name: string, isFolder = false): string | undefined {
  if (name.startsWith("gh:")) {
    return "A plugin of the public repository cannot be changed: give your copy another name.";
  }
  if (!/^[\w.-]+(\/[\w.-]+)*$/.test(name) || name.split("/").some((part) => /^\.+$/.test(part))) {
    return isFolder
      ? "A name such as alarm."
      : "A name such as alarm.py, or folder/__init__.py for a plugin of several files.";
  }
  return isFolder || name.endsWith(".py") ? undefined : "The name of a file of Python ends in .py.";
}

/** Reads the code of an upload. */
export async function readUpload(name: string): Promise<PluginCode> {
  return getJson<PluginCode>(FILES, { query: { plugin_name: name } });
}

/** Reads the code that a trigger runs. */
export async function readTriggerCode(db: string, trigger: string): Promise<PluginCode> {
  return getJson<PluginCode>(FILES, { query: { trigger_name: trigger, db } });
}

/** Returns whether an error says that the server has no copy of the code, because it is in the folder of a server. */
export function isCodeElsewhere(error: unknown): boolean {
  return error instanceof ApiError && (error.status === 404 || error.message.startsWith("Plugin error:"));
}

/** Uploads a file. It replaces an earlier upload of the same name; triggers keep their code. */
export async function uploadPlugin(name: string, content: string): Promise<void> {
  await request(FILES, { method: "POST", json: { plugin_name: name, content } });
}

/** Uploads files of a folder, one after the other. */
export async function uploadFolder(name: string, files: readonly SourceFile[]): Promise<void> {
  for (const { path, content } of files) {
    await uploadPlugin(`${name}/${path}`, content);
  }
}

/** Changes the code that a trigger runs, on all servers: its only file, or the `__init__.py` of its folder. */
export async function updateTriggerCode(db: string, trigger: string, content: string): Promise<void> {
  await request(FILES, { method: "PUT", json: { plugin_name: trigger, db, content } });
}

/** Replaces all files of the folder that a trigger runs, on all servers. */
export async function updateTriggerFolder(db: string, trigger: string, files: readonly SourceFile[]): Promise<void> {
  await request(DIRECTORY, { method: "PUT", json: { plugin_name: trigger, db, files } });
}

/** Deletes an uploaded plugin. Triggers keep their code. */
export async function deletePlugin(name: string): Promise<void> {
  await request(FILES, { method: "DELETE", query: { plugin_name: name } });
}

/** A plugin of the repository of the server. */
export interface AvailablePlugin {
  /** The name with which it is installed. */
  plugin: string;
  version: string;
  triggers: string[];
  /** The Python packages that it needs. */
  python: string[];
  /** The plugins that it needs. */
  plugins: string[];
  description: string;
}

/** Lists the plugins of the repository. */
export async function listAvailablePlugins(): Promise<AvailablePlugin[]> {
  return getJson<AvailablePlugin[]>("/api/v3/plugins/available");
}

/** An installation of Python packages takes minutes. */
const INSTALL_TIMEOUT_MS = 10 * 60_000;

/** Installs a plugin with the plugins and packages that it needs. Returns the names of the plugins. */
export async function installPlugin(plugin: string): Promise<string[]> {
  const options = { json: { plugin }, timeoutMs: INSTALL_TIMEOUT_MS };
  const installed = await getJson<{ name: string; python: string[] }[]>("/api/v3/plugins/install", options);
  const packages = [...new Set(installed.flatMap(({ python }) => python))];
  if (packages.length > 0) {
    const path = "/api/v3/configure/plugin_environment/install_packages";
    await request(path, { json: { packages }, timeoutMs: INSTALL_TIMEOUT_MS });
  }
  return installed.map(({ name }) => name);
}

/** What a dry run of a draft gets. */
export type DryRunInput = { kind: "rows"; lines: string } | { kind: "schedule"; cron: string };

/**
 * Runs code that is not uploaded, without storing anything: uploads it under a name of its own, and deletes it after
 * the run. `folder`: the name of the folder of the files; `undefined` for a single file.
 */
export async function runDraft(
  database: string,
  files: readonly SourceFile[],
  folder: string | undefined,
  input: DryRunInput,
  given: Record<string, string>,
): Promise<DryRun> {
  const random = crypto.getRandomValues(new Uint32Array(2));
  const name = `console_draft_${[...random].map((part) => part.toString(36)).join("")}`;
  const upload = folder === undefined ? `${name}.py` : name;
  // The modules of a package import it by the last part of its name.
  const plugin = folder === undefined ? upload : `${name}/${folder.split("/").at(-1)}`;
  try {
    if (folder === undefined) {
      await uploadPlugin(upload, files[0]?.content ?? "");
    } else {
      await uploadFolder(plugin, files);
    }
    return await runPlugin(database, plugin, input, given);
  } finally {
    // A draft that cannot be deleted is in the list of plugins. The error of the run says more.
    await deletePlugin(upload).catch(() => undefined);
  }
}

/** Runs a plugin of the server without storing anything. */
export async function runPlugin(
  database: string,
  name: string,
  input: DryRunInput,
  given: Record<string, string>,
): Promise<DryRun> {
  return input.kind === "rows"
    ? runOnRows(database, name, input.lines, given)
    : runOnSchedule(database, name, input.cron, given);
}
