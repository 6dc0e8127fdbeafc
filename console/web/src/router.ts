/** The addresses of the views, in the hash of the URL. */

import { signal } from "@preact/signals";

/** The names of the views. */
export type ViewName = "explore" | "dashboards" | "telemetry" | "write" | "administer" | "operate";

/** The place that the hash of the URL names: `#/view/segment?parameter=value`. */
export interface Route {
  view: ViewName;
  /** The segments after the view. */
  path: string[];
  params: URLSearchParams;
}

const VIEWS: readonly ViewName[] = ["explore", "dashboards", "telemetry", "write", "administer", "operate"];

/** Parses a hash. An unknown view is the first one. */
export function parseHash(hash: string): Route {
  const text = hash.replace(/^#\/?/, "");
  const [place = "", query = ""] = splitOnce(text, "?");
  const [name = "", ...path] = place.split("/").map(decode);
  const view = VIEWS.find((known) => known === name) ?? "explore";
  return { view, path: path.filter((segment) => segment !== ""), params: new URLSearchParams(query) };
}

/** Formats a hash. Empty and missing parameters are left out. */
export function formatHash(view: string, params: RouteParams = {}, path: string[] = []): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    if (value !== undefined && value !== "") {
      query.set(name, String(value));
    }
  }
  const place = [view, ...path].map(encodeURIComponent).join("/");
  const text = query.toString();
  return text === "" ? `#/${place}` : `#/${place}?${text}`;
}

/** The parameters of a place. They appear in the URL, so they must not contain secrets. */
export type RouteParams = Record<string, string | number | boolean | undefined>;

/** The present place. */
export const route = signal<Route>(parseHash(typeof location === "undefined" ? "" : location.hash));

/** Goes to a place and adds it to the browser's history. */
export function navigate(hash: string): void {
  location.hash = hash;
  route.value = parseHash(hash);
}

/** Replaces the present place in the browser's history. */
export function replace(hash: string): void {
  if (location.hash !== hash) {
    history.replaceState(null, "", hash);
  }
  route.value = parseHash(hash);
}

/** Sets parameters of the present place without an entry in the history. `undefined` removes a parameter. */
export function setParams(params: RouteParams): void {
  const { view, path, params: present } = route.value;
  replace(formatHash(view, { ...Object.fromEntries(present), ...params }, path));
}

/** Returns the hash of a view. The present database is kept unless `params` names another one. */
export function link(view: ViewName, params: RouteParams = {}, path: string[] = []): string {
  const database = route.value.params.get("db") ?? undefined;
  return formatHash(view, { db: database, ...params }, path);
}

/** Follows the browser's history. Called once. */
export function listenToHash(): void {
  window.addEventListener("hashchange", () => {
    route.value = parseHash(location.hash);
  });
}

function splitOnce(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + separator.length)];
}

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}
