/** The spans of a trace as a tree, from top to bottom. */

/** A span as the server returns it. */
export interface SpanRow {
  span_id: string;
  parent_span_id?: string;
  name?: string;
  service?: string;
  kind?: string;
  status?: string;
  status_description?: string;
  attributes?: string;
  /** The start, in nanoseconds since that of the first span. */
  offset_nano: number;
  duration_nano?: number;
}

/** A line of a waterfall. */
export interface TraceLine {
  span: SpanRow;
  /** The number of spans above it in the tree. */
  depth: number;
  /** Whether its parent is not among the spans, though it has one. */
  isOrphan: boolean;
}

/** Returns the lines of a trace: each span before its children, and those in the order of their starts. */
export function traceLines(spans: readonly SpanRow[]): TraceLine[] {
  const ids = new Set(spans.map(({ span_id }) => span_id));
  const children = new Map<string, SpanRow[]>();
  const roots: SpanRow[] = [];
  for (const span of [...spans].sort((left, right) => left.offset_nano - right.offset_nano)) {
    const parent = span.parent_span_id ?? "";
    if (parent !== span.span_id && ids.has(parent)) {
      children.set(parent, [...(children.get(parent) ?? []), span]);
    } else {
      roots.push(span);
    }
  }
  const lines: TraceLine[] = [];
  const seen = new Set<SpanRow>();
  const walk = (root: SpanRow) => {
    const stack = [{ span: root, depth: 0 }];
    for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
      const { span, depth } = next;
      if (!seen.has(span)) {
        seen.add(span);
        const parent = span.parent_span_id ?? "";
        lines.push({ span, depth, isOrphan: depth === 0 && parent !== "" });
        const below = children.get(span.span_id) ?? [];
        stack.push(...below.toReversed().map((child) => ({ span: child, depth: depth + 1 })));
      }
    }
  };
  roots.forEach(walk);
  // Spans that are their own ancestors have no root.
  for (const span of spans) {
    if (!seen.has(span)) {
      walk(span);
    }
  }
  return lines;
}

/** Returns the length of a trace, in nanoseconds. */
export function traceLength(spans: readonly SpanRow[]): number {
  return spans.reduce((end, span) => Math.max(end, span.offset_nano + (span.duration_nano ?? 0)), 1);
}

/** Returns the attributes of a span or a log record as texts, sorted by name. */
export function attributesOf(json: string | undefined): [string, string][] {
  try {
    const parsed: unknown = JSON.parse(json ?? "{}");
    if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) {
      return [];
    }
    const entries = Object.entries(parsed).map(([name, value]): [string, string] => {
      return [name, typeof value === "string" ? value : JSON.stringify(value)];
    });
    return entries.sort(([left], [right]) => (left < right ? -1 : 1));
  } catch {
    return [];
  }
}
