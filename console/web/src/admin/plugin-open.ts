/** Opens the code of uploads and of triggers in the editor. */

import { signal } from "@preact/signals";
import { replaceDraft, singleFile } from "./plugin-draft";
import { isCodeElsewhere, type PluginCode, readTriggerCode, readUpload } from "./plugins";

/** Code that is being read, or could not be read. */
export interface OpeningCode {
  /** The plugin: the name of its file or folder. */
  plugin: string;
  /** The trigger that runs the code; `undefined` for an upload. */
  trigger: string | undefined;
  /** Why the code could not be read; `undefined` while it is being read. */
  problem: unknown;
  /** Reads it again. */
  retry(): void;
}

/** The code that is being read. `undefined`: none, or it is in the editor. */
export const openingCode = signal<OpeningCode | undefined>(undefined);

/** Opens the code of an upload. Never throws: the outcome is in the editor or in `openingCode`. */
export async function openUpload(plugin: string): Promise<void> {
  await open(plugin, undefined, () => readUpload(plugin));
}

/** Opens the code that a trigger runs. Never throws: the outcome is in the editor or in `openingCode`. */
export async function openTrigger(database: string, trigger: string, plugin: string): Promise<void> {
  await open(plugin, trigger, () => readTriggerCode(database, trigger));
}

/** Forgets code that is being read, because the editor gets other code. */
export function dismissOpening(): void {
  openingCode.value = undefined;
}

async function open(plugin: string, trigger: string | undefined, read: () => Promise<PluginCode>): Promise<void> {
  const opening: OpeningCode = { plugin, trigger, problem: undefined, retry: () => void open(plugin, trigger, read) };
  openingCode.value = opening;
  try {
    const code = await read();
    if (openingCode.value === opening) {
      replaceDraft(plugin, code, trigger);
      openingCode.value = undefined;
    }
  } catch (problem) {
    if (openingCode.value !== opening) {
      return;
    }
    openingCode.value = { ...opening, problem };
    if (trigger !== undefined && isCodeElsewhere(problem)) {
      // The user can open the file from a disk, or write new code.
      replaceDraft(plugin, singleFile(plugin, ""), trigger);
    }
  }
}
