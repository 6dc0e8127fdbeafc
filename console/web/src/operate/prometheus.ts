/** The labels of a sample, by name. */
export type Labels = Readonly<Record<string, string>>;

/** One value of a metric. */
export interface Sample {
  labels: Labels;
  value: number;
}

/** The maximum number of samples that a text may have. The server bounds its labels far below this. */
const MAX_SAMPLES = 200_000;

/** The metrics of a process at one moment. */
export class Metrics {
  private constructor(private readonly byName: ReadonlyMap<string, Sample[]>) {}

  /** Parses the text format of Prometheus. Lines that are not samples are left out. */
  static parse(text: string): Metrics {
    const byName = new Map<string, Sample[]>();
    let count = 0;
    for (const line of text.split("\n")) {
      const parsed = line.startsWith("#") ? undefined : parseLine(line);
      if (parsed === undefined) {
        continue;
      }
      count += 1;
      if (count > MAX_SAMPLES) {
        break;
      }
      const [name, sample] = parsed;
      const samples = byName.get(name);
      if (samples === undefined) {
        byName.set(name, [sample]);
      } else {
        samples.push(sample);
      }
    }
    return new Metrics(byName);
  }

  /** Returns the samples of a metric, in the order of the text. */
  samples(name: string): readonly Sample[] {
    return this.byName.get(name) ?? [];
  }

  /** Returns the sum of the samples that have these labels, or `undefined` if there are none. */
  sum(name: string, labels: Labels = {}): number | undefined {
    const wanted = Object.entries(labels);
    const matching = this.samples(name).filter((sample) =>
      wanted.every(([label, value]) => sample.labels[label] === value),
    );
    return matching.length === 0 ? undefined : matching.reduce((sum, sample) => sum + sample.value, 0);
  }
}

/** Parses `name{label="value",…} number [time]`. */
function parseLine(line: string): [string, Sample] | undefined {
  const head = /^([a-zA-Z_:][a-zA-Z0-9_:]*)\s*/.exec(line);
  const name = head?.[1];
  if (head === null || name === undefined) {
    return undefined;
  }
  let at = head[0].length;
  let labels: Labels = {};
  if (line[at] === "{") {
    const parsed = parseLabels(line, at + 1);
    if (parsed === undefined) {
      return undefined;
    }
    [labels, at] = parsed;
  }
  const value = parseNumber(line.slice(at).trim().split(/\s+/)[0] ?? "");
  return value === undefined ? undefined : [name, { labels, value }];
}

/** Parses labels up to the closing brace, and returns them with the place after it. */
function parseLabels(line: string, start: number): [Labels, number] | undefined {
  const labels: Record<string, string> = Object.create(null);
  const label = /\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*,?\s*/y;
  let at = start;
  while (line[at] !== "}") {
    label.lastIndex = at;
    const found = label.exec(line);
    if (found === null) {
      return undefined;
    }
    labels[found[1] ?? ""] = unescapeLabel(found[2] ?? "");
    at = label.lastIndex;
  }
  return [labels, at + 1];
}

function unescapeLabel(text: string): string {
  return text.replace(/\\(.)/g, (_, character: string) => (character === "n" ? "\n" : character));
}

function parseNumber(text: string): number | undefined {
  if (/^[+-]?inf(inity)?$/i.test(text)) {
    return text.startsWith("-") ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  }
  if (/^nan$/i.test(text)) {
    return Number.NaN;
  }
  const value = text === "" ? Number.NaN : Number(text);
  return Number.isNaN(value) ? undefined : value;
}
