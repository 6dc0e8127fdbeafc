/** The details of an operator of a plan. */

import type { JSX } from "preact";
import { unitOf } from "../chart/units";
import { purposeOf } from "./operators";
import type { Metric } from "./parse-metrics";
import type { PlanNode } from "./parse-plan";

/** The whole description of an operator, and all its metrics. */
export function PlanDetails({ node }: { node: PlanNode }): JSX.Element {
  const purpose = purposeOf(node.name);
  const metrics = node.metrics.filter((metric) => !isZero(metric));
  const zeros = node.metrics.length - metrics.length;
  return (
    <section class="plan-details" aria-label="Details of the operator">
      <p class="plan-details-name">{node.name}</p>
      {purpose && <p>{purpose}</p>}
      {node.detail !== "" && (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a long description scrolls by keyboard.
        <pre class="plan-description" tabIndex={0}>
          {node.detail}
        </pre>
      )}
      {metrics.length > 0 && (
        <dl class="plan-metrics">
          {metrics.map((metric) => (
            <div key={metric.name}>
              <dt>{metric.name.replaceAll("_", " ")}</dt>
              <dd>{metricText(metric)}</dd>
            </div>
          ))}
        </dl>
      )}
      {zeros > 0 && <p class="plan-remark">{zeros} further metrics are zero.</p>}
    </section>
  );
}

function isZero({ quantity }: Metric): boolean {
  // DataFusion writes 1 ns for a time that was not measured.
  return quantity !== undefined && (quantity.value === 0 || (quantity.kind === "time" && quantity.value <= 4));
}

function metricText({ text, quantity }: Metric): string {
  switch (quantity?.kind) {
    case "time":
      return unitOf("nanoseconds").format(quantity.value);
    case "bytes":
      return unitOf("bytes").format(quantity.value);
    case "count":
      return Math.round(quantity.value).toLocaleString("en");
    default:
      return text;
  }
}
