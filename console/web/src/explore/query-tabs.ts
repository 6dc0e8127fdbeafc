/** The tabs of queries, which stay while the tab of the browser is open. */

import { computed, signal } from "@preact/signals";
import { QUERY_LANGUAGES, type QueryLanguage } from "../api/query";
import { onForget } from "../api/token";
import type { ChartSettings } from "../chart/settings";
import type { ResolvedRange } from "../time/range";
import { notify } from "../ui";
import type { ParameterInput } from "./parameters";
import { readStored, writeStored } from "./storage";

/** A saved query that a tab shows. */
export interface SavedReference {
  id: string;
  database: string;
  version: number;
  /** The text that was saved, to tell whether it was changed. */
  text: string;
}

/** A tab of the editor. */
export interface QueryTab {
  id: string;
  name: string;
  text: string;
  language: QueryLanguage;
  parameters: Record<string, ParameterInput>;
  chart?: ChartSettings;
  saved?: SavedReference;
  /** The extent of the data that the query reads, if it is known. */
  extent?: ResolvedRange;
  /** What the chart of the query leaves out. */
  note?: string;
  /** The table whose rows the chart draws. */
  table?: string;
  /** Whether the next preview replaces the tab. A change by the user ends that. */
  isPreview?: boolean;
}

/** The maximum number of tabs. */
export const MAX_TABS = 30;

const KEY = "tabs";

const stored = typeof sessionStorage === "undefined" ? undefined : readStored(() => sessionStorage, KEY, isTabs);

/** The tabs, from left to right. There is always one. */
export const tabs = signal<readonly QueryTab[]>(stored && stored.length > 0 ? stored : [newTab({ name: "Query 1" })]);

const currentId = signal(tabs.value[0]?.id ?? "");

/** The tab that is shown. */
export const currentTab = computed<QueryTab>(() => {
  return tabs.value.find(({ id }) => id === currentId.value) ?? tabs.value[0] ?? newTab({ name: "Query 1" });
});

// After an expired token, the same user goes on.
onForget((reason) => {
  if (reason === "signed out") {
    tabs.value = [newTab({ name: "Query 1" })];
  }
});

/** Shows a tab. */
export function selectTab(id: string): void {
  currentId.value = id;
}

/** Opens a tab and shows it. */
export function openTab(given: Partial<Omit<QueryTab, "id">>): QueryTab {
  const isUntouched = currentTab.value.text.trim() === "" && currentTab.value.saved === undefined;
  const replaced = given.isPreview ? tabs.value.find(({ isPreview }) => isPreview) : undefined;
  const target = replaced ?? (isUntouched ? currentTab.value : undefined);
  const tab = newTab(target ? { name: target.name, ...given } : given);
  if (target) {
    setTabs(tabs.value.map((other) => (other.id === target.id ? tab : other)));
  } else if (tabs.value.length >= MAX_TABS) {
    notify("warning", `There are ${MAX_TABS} tabs. Close one before you open another.`);
    return currentTab.value;
  } else {
    setTabs([...tabs.value, tab]);
  }
  currentId.value = tab.id;
  return tab;
}

/** Opens an empty tab, or shows the present one if it is empty. */
export function openEmptyTab(): void {
  openTab({ language: currentTab.value.language });
}

/** Changes a tab. */
export function updateTab(id: string, change: Partial<QueryTab>): void {
  setTabs(tabs.value.map((tab) => (tab.id === id ? { ...tab, ...change } : tab)));
}

/** Closes a tab. If it has a text, the user can take that back for a few seconds. */
export function closeTab(id: string): void {
  const index = tabs.value.findIndex((tab) => tab.id === id);
  const closed = tabs.value[index];
  if (!closed) {
    return;
  }
  const rest = tabs.value.filter((tab) => tab !== closed);
  if (currentTab.value === closed) {
    currentId.value = (rest[index] ?? rest[index - 1])?.id ?? "";
  }
  setTabs(rest.length > 0 ? rest : [newTab({ name: "Query 1", language: closed.language })]);
  if (closed.text.trim() !== "" && !closed.isPreview) {
    notify("info", `Closed ${closed.name}.`, () => {
      setTabs([...tabs.value.slice(0, index), closed, ...tabs.value.slice(index)]);
      currentId.value = closed.id;
    });
  }
}

/** Shows the tab beside the present one. */
export function selectNeighbour(step: 1 | -1): void {
  const at = tabs.value.findIndex(({ id }) => id === currentTab.value.id);
  const next = tabs.value[(at + step + tabs.value.length) % tabs.value.length];
  if (next) {
    currentId.value = next.id;
  }
}

function setTabs(next: readonly QueryTab[]): void {
  tabs.value = next;
  writeStored(() => sessionStorage, KEY, next);
}

function newTab(given: Partial<Omit<QueryTab, "id">>): QueryTab {
  const id = crypto.getRandomValues(new Uint32Array(2)).join("-");
  return { name: given.name ?? nextName(), text: "", language: "sql", parameters: {}, ...given, id };
}

function nextName(): string {
  const names = new Set(tabs.value.map(({ name }) => name));
  let number = 1;
  while (names.has(`Query ${number}`)) {
    number++;
  }
  return `Query ${number}`;
}

function isTabs(value: unknown): value is QueryTab[] {
  return Array.isArray(value) && value.length <= MAX_TABS && value.every(isTab);
}

function isTab(value: unknown): boolean {
  const tab = value as Partial<QueryTab> | null;
  return (
    typeof tab === "object" &&
    tab !== null &&
    typeof tab.id === "string" &&
    typeof tab.name === "string" &&
    typeof tab.text === "string" &&
    typeof tab.parameters === "object" &&
    tab.parameters !== null &&
    QUERY_LANGUAGES.some((language) => language === tab.language)
  );
}
