// The metrics of an operator: `output_rows=48.00 K, elapsed_compute=61.54µs, …`.

import { parseQuantity, type Quantity } from "./quantity";

/** A metric of an operator. */
export interface Metric {
  name: string;
  text: string;
  quantity: Quantity | undefined;
}

/** Parses metrics. Those of several partitions are summed. */
export function parseMetrics(text: string): Metric[] {
  const metrics = new Map<string, Metric>();
  for (const part of splitOutside(text)) {
    const metric = parseMetric(part);
    if (metric === undefined) {
      continue;
    }
    const known = metrics.get(metric.name);
    if (known?.quantity !== undefined && metric.quantity?.kind === known.quantity.kind) {
      known.quantity.value += metric.quantity.value;
      known.text = `${known.text} + ${metric.text}`;
    } else if (known === undefined) {
      metrics.set(metric.name, metric);
    }
  }
  return [...metrics.values()];
}

function parseMetric(text: string): Metric | undefined {
  const labels = text.indexOf("{");
  const equals = text.indexOf("=");
  const hasLabels = labels > 0 && labels < equals;
  const end = hasLabels ? text.lastIndexOf("}=") + 1 : equals;
  const name = text.slice(0, hasLabels ? labels : equals).trim();
  if (equals <= 0 || end <= 0 || !/^\w+$/.test(name)) {
    return undefined;
  }
  const value = text.slice(end + 1).trim();
  return { name, text: value, quantity: parseQuantity(name, value) };
}

/** Splits a text at commas that are in no brackets. */
export function splitOutside(text: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let start = 0;
  for (let i = 0; i < text.length; i++) {
    const character = text[i];
    if (character === "{" || character === "(" || character === "[") {
      depth += 1;
    } else if (character === "}" || character === ")" || character === "]") {
      depth -= 1;
    } else if (character === "," && depth <= 0) {
      parts.push(text.slice(start, i));
      start = i + 1;
    }
  }
  parts.push(text.slice(start));
  return parts;
}
