/** The `neap import` command that fits a source. Tokens and passwords are never part of it: it names a file. */

export type ImportSource = "folder" | "running1" | "running2" | "running3" | "backup" | "lines" | "csv";

/** What the user says about a source. */
export interface ImportChoice {
  source: ImportSource;
  /** The address of a running server, or the path of a folder or file. */
  place: string;
  /** The file that contains the token of a running server, or `user:password` of InfluxDB 1. */
  tokenFile: string;
  /** Only this database or bucket. */
  sourceDatabase: string;
  measurement: string;
  start: string;
  end: string;
  conflict: "refuse" | "suffix" | "convert" | "skip";
  /** The database for everything; empty: the names of the source. */
  into: string;
}

export interface SourceKind {
  id: ImportSource;
  label: string;
  placeLabel: string;
  example: string;
  isServer: boolean;
  /** Whether the database must be named, because the source has no name for it. */
  needsInto: boolean;
  /** Whether parts can be chosen and conflicts are found before the import. */
  hasParts: boolean;
  hint: string;
}

export const SOURCE_KINDS: readonly SourceKind[] = [
  {
    id: "running1",
    label: "A running InfluxDB 1",
    placeLabel: "Address",
    example: "http://old:8086",
    isServer: true,
    needsInto: false,
    hasParts: true,
    hint: "The values come over InfluxQL. The folder of the stopped server is faster, and keeps the types of numbers apart.",
  },
  {
    id: "running2",
    label: "A running InfluxDB 2",
    placeLabel: "Address",
    example: "http://old:8086",
    isServer: true,
    needsInto: false,
    hasParts: true,
    hint: "A bucket needs a DBRP mapping. InfluxDB 2.1 and later have one for each bucket.",
  },
  {
    id: "running3",
    label: "A running InfluxDB 3",
    placeLabel: "Address",
    example: "http://old:8181",
    isServer: true,
    needsInto: false,
    hasParts: true,
    hint: "All tables of all databases that the token can read.",
  },
  {
    id: "folder",
    label: "The folder of a stopped InfluxDB 1 or 2",
    placeLabel: "Folder",
    example: "/var/lib/influxdb",
    isServer: false,
    needsInto: false,
    hasParts: true,
    hint: "The fastest source. Stop the server first: its files change while it runs.",
  },
  {
    id: "backup",
    label: "A backup of InfluxDB 1 or 2",
    placeLabel: "Folder",
    example: "/backups/2026-11-21",
    isServer: false,
    needsInto: false,
    hasParts: true,
    hint: "Of influxd backup (with or without -portable), or of influx backup.",
  },
  {
    id: "lines",
    label: "An export as line protocol",
    placeLabel: "File",
    example: "export.lp.gz",
    isServer: false,
    needsInto: true,
    hasParts: false,
    hint: "Of influx_inspect export (1) or influxd inspect export-lp (2). A small one can also be dropped on this page.",
  },
  {
    id: "csv",
    label: "Annotated CSV of Flux",
    placeLabel: "File",
    example: "answer.csv",
    isServer: false,
    needsInto: true,
    hasParts: false,
    hint: "Results of Flux queries. A small one can also be dropped on this page.",
  },
];

/** Quotes a word for a POSIX shell, if it needs it. */
export function shellQuote(word: string): string {
  return /^[A-Za-z0-9_@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** Returns the command, in lines. */
export function importCommand(choice: ImportChoice, host: string, needsToken: boolean, isDryRun: boolean): string {
  const kind = SOURCE_KINDS.find(({ id }) => id === choice.source);
  const place = choice.place === "" ? (kind?.example ?? "") : choice.place;
  const options: [string, string][] = [[flagOf(choice.source), place]];
  const add = (flag: string, value: string) => {
    if (value !== "") {
      options.push([flag, value]);
    }
  };
  if (kind?.isServer) {
    add("--source-token-file", choice.tokenFile);
  }
  if (kind?.hasParts) {
    add("--source-database", choice.sourceDatabase);
    add("--measurement", choice.measurement);
    add("--start", choice.start);
    add("--end", choice.end);
    add("--conflict", choice.conflict === "refuse" ? "" : choice.conflict);
  }
  add("--into", choice.into === "" && kind?.needsInto ? "home" : choice.into);
  options.push(["--host", host]);
  const words = options.map(([flag, value]) => `${flag} ${shellQuote(value)}`);
  const command = ["neap import influxdb", ...words, ...(isDryRun ? ["--dry-run"] : [])].join(" \\\n    ");
  return needsToken ? `export NEAP_AUTH_TOKEN="$(cat neap-token.txt)"\n${command}` : command;
}

function flagOf(source: ImportSource): string {
  switch (source) {
    case "running1":
    case "running2":
    case "running3":
      return "--from";
    case "lines":
      return "--lp";
    case "csv":
      return "--csv";
    default:
      return "--path";
  }
}
