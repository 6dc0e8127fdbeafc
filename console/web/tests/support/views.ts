/** All views of the console, for tests that concern each of them. */

/** A view, or a part of one. */
export interface TestedView {
  /** The name in messages and of screenshots. */
  name: string;
  /** The hash, without the database. */
  hash: string;
}

export const VIEWS: readonly TestedView[] = [
  { name: "explore", hash: "#/explore" },
  { name: "dashboards", hash: "#/dashboards" },
  { name: "telemetry", hash: "#/telemetry" },
  { name: "write", hash: "#/write" },
  { name: "write-files", hash: "#/write/files" },
  { name: "write-samples", hash: "#/write/samples" },
  { name: "write-import", hash: "#/write/import" },
  { name: "administer", hash: "#/administer" },
  { name: "administer-tokens", hash: "#/administer/tokens" },
  { name: "administer-views", hash: "#/administer/views" },
  { name: "administer-alerts", hash: "#/administer/alerts" },
  { name: "administer-caches", hash: "#/administer/caches" },
  { name: "administer-triggers", hash: "#/administer/triggers" },
  { name: "administer-plugins", hash: "#/administer/plugins" },
  { name: "administer-delete", hash: "#/administer/delete" },
  { name: "administer-restore", hash: "#/administer/restore" },
  { name: "administer-backups", hash: "#/administer/backups" },
  { name: "administer-imports", hash: "#/administer/imports" },
  { name: "operate", hash: "#/operate" },
  { name: "operate-cost", hash: "#/operate/cost" },
  { name: "operate-queries", hash: "#/operate/queries" },
  { name: "operate-storage", hash: "#/operate/storage" },
  { name: "operate-nodes", hash: "#/operate/nodes" },
];

/** Returns the hash of a view with a database. */
export function hashOf(view: TestedView, database: string): string {
  return `${view.hash}?db=${encodeURIComponent(database)}`;
}
