/** A plan as a tree with time, rows and bytes. */

import type { JSX, TargetedKeyboardEvent } from "preact";
import { useMemo, useRef, useState } from "preact/hooks";
import { formatNumber, unitOf } from "../chart/units";
import { Checkbox, CopyButton, Icon } from "../ui";
import { type PlanNode, parsePlan } from "./parse-plan";
import { PlanDetails } from "./plan-details";
import { figuresOf, type Totals, totalsOf, withoutPassing } from "./plan-figures";
import "./plan.css";

/** A plan as a tree with time, rows and bytes. `text` is the text of one plan. */
export function PlanTree({ text }: { text: string }): JSX.Element {
  const document = useMemo(() => parsePlan(text), [text]);
  const [isComplete, setComplete] = useState(false);
  const [isText, setText] = useState(false);
  const roots = useMemo(() => (isComplete ? document.roots : withoutPassing(document.roots)), [document, isComplete]);
  const totals = useMemo(() => totalsOf(roots), [roots]);
  if (document.roots.length === 0) {
    return (
      <div class="plan">
        <PlanText text={text} />
        <div class="plan-foot">
          <CopyButton text={text} label="Copy the plan" kind="quiet" />
        </div>
      </div>
    );
  }
  return (
    <div class="plan">
      {totals.hasMetrics && <PlanTotals totals={totals} />}
      {document.remarks.map((remark) => (
        <p key={remark} class="plan-remark">
          {remark}
        </p>
      ))}
      {isText ? <PlanText text={text} /> : <PlanGrid roots={roots} totals={totals} />}
      <div class="plan-foot">
        <Checkbox label="Show operators that only pass rows on" isChecked={isComplete} onChange={setComplete} />
        <Checkbox label="Show as text" isChecked={isText} onChange={setText} />
        <CopyButton text={text} label="Copy the plan" kind="quiet" />
      </div>
    </div>
  );
}

/** A plan as it was written. */
function PlanText({ text }: { text: string }): JSX.Element {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a wide text scrolls by keyboard.
    <pre class="plan-text" tabIndex={0} role="region" aria-label="Text of the plan">
      {text}
    </pre>
  );
}

const BYTES = unitOf("bytes");
const NANOSECONDS = unitOf("nanoseconds");

function PlanTotals({ totals }: { totals: Totals }): JSX.Element {
  const entries: [string, string][] = [
    ["Computed", NANOSECONDS.format(totals.timeNs)],
    ["Rows", totals.rows === undefined ? "–" : formatCount(totals.rows)],
    ["Read from the store", BYTES.format(totals.scannedBytes)],
  ];
  if (totals.networkBytes > 0) {
    entries.push(["Between workers", BYTES.format(totals.networkBytes)]);
  }
  if (totals.spilledBytes > 0) {
    entries.push(["Written to disk", BYTES.format(totals.spilledBytes)]);
  }
  return (
    <dl class="plan-totals">
      {entries.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

/** A row of the tree. */
interface PlanRow {
  id: string;
  node: PlanNode;
  level: number;
  parent: string | undefined;
}

function visibleRows(roots: PlanNode[], closed: ReadonlySet<string>): PlanRow[] {
  const rows: PlanRow[] = [];
  const pending: PlanRow[] = roots
    .map((node, index) => ({ id: String(index), node, level: 1, parent: undefined }))
    .reverse();
  for (let row = pending.pop(); row !== undefined; row = pending.pop()) {
    const { id, node, level } = row;
    rows.push(row);
    if (!closed.has(id)) {
      const children = node.children.map((child, index) => ({
        id: `${id}.${index}`,
        node: child,
        level: level + 1,
        parent: id,
      }));
      pending.push(...children.reverse());
    }
  }
  return rows;
}

function PlanGrid({ roots, totals }: { roots: PlanNode[]; totals: Totals }): JSX.Element {
  const [closed, setClosed] = useState<ReadonlySet<string>>(new Set());
  const [active, setActive] = useState("0");
  const body = useRef<HTMLTableSectionElement>(null);
  const rows = visibleRows(roots, closed);
  const current = rows.find(({ id }) => id === active) ?? rows[0];
  const toggle = (id: string): void => {
    const next = new Set(closed);
    if (!next.delete(id)) {
      next.add(id);
    }
    setClosed(next);
  };
  const focus = (id: string | undefined): void => {
    if (id !== undefined) {
      setActive(id);
      requestAnimationFrame(() => body.current?.querySelector<HTMLElement>(`[data-row="${id}"]`)?.focus());
    }
  };
  const onKeyDown = (event: TargetedKeyboardEvent<HTMLTableSectionElement>): void => {
    const action = treeKey(event.key, rows, current, closed);
    if (action !== undefined) {
      event.preventDefault();
      if (action.toggles !== undefined) {
        toggle(action.toggles);
      }
      focus(action.focus);
    }
  };
  return (
    <div class="plan-main">
      <div class="plan-scroll">
        <table class="plan-grid" role="treegrid" aria-label="Plan">
          <thead>
            <tr>
              <th scope="col">Operator</th>
              <th scope="col" class="plan-number plan-time">
                Time
              </th>
              <th scope="col" class="plan-number">
                Rows
              </th>
              <th scope="col" class="plan-number">
                Bytes
              </th>
            </tr>
          </thead>
          <tbody ref={body} onKeyDown={onKeyDown}>
            {rows.map((row) => (
              <PlanRowView
                key={row.id}
                row={row}
                totals={totals}
                isActive={row === current}
                isClosed={closed.has(row.id)}
                onActivate={() => setActive(row.id)}
                onToggle={() => toggle(row.id)}
              />
            ))}
          </tbody>
        </table>
      </div>
      {current && <PlanDetails node={current.node} />}
    </div>
  );
}

interface TreeAction {
  toggles?: string;
  focus?: string | undefined;
}

/** Returns what a key does in the tree. */
function treeKey(
  key: string,
  rows: PlanRow[],
  current: PlanRow | undefined,
  closed: ReadonlySet<string>,
): TreeAction | undefined {
  if (current === undefined) {
    return undefined;
  }
  const at = rows.indexOf(current);
  const isOpen = current.node.children.length > 0 && !closed.has(current.id);
  switch (key) {
    case "ArrowDown":
      return { focus: rows[at + 1]?.id };
    case "ArrowUp":
      return { focus: rows[at - 1]?.id };
    case "Home":
      return { focus: rows[0]?.id };
    case "End":
      return { focus: rows[rows.length - 1]?.id };
    case "ArrowRight":
      return closed.has(current.id) ? { toggles: current.id } : { focus: isOpen ? rows[at + 1]?.id : undefined };
    case "ArrowLeft":
      return isOpen ? { toggles: current.id } : { focus: current.parent };
    case "Enter":
    case " ":
      return current.node.children.length > 0 ? { toggles: current.id } : undefined;
    default:
      return undefined;
  }
}

/** The part of the time of a plan from which an operator is marked as slow. */
const SLOW_SHARE = 0.3;

function PlanRowView(props: {
  row: PlanRow;
  totals: Totals;
  isActive: boolean;
  isClosed: boolean;
  onActivate(): void;
  onToggle(): void;
}): JSX.Element {
  const { row, totals, isActive, isClosed, onActivate, onToggle } = props;
  const { node, level } = row;
  const figures = figuresOf(node);
  const share = totals.timeNs > 0 ? (figures.timeNs ?? 0) / totals.timeNs : 0;
  const hasChildren = node.children.length > 0;
  const bytes = figures.scannedBytes ?? figures.networkBytes ?? figures.bytes;
  return (
    <tr
      class={node.isStage ? "plan-row plan-row-stage" : "plan-row"}
      data-row={row.id}
      aria-level={level}
      aria-expanded={hasChildren ? !isClosed : undefined}
      aria-selected={isActive}
      tabIndex={isActive ? 0 : -1}
      onClick={onActivate}
      onFocus={onActivate}
      onDblClick={hasChildren ? onToggle : undefined}
    >
      <td class="plan-operator">
        <div
          class="plan-operator-line"
          style={{ paddingInlineStart: `calc(${Math.min(level - 1, 24)} * var(--plan-indent))` }}
        >
          <span
            class="plan-toggle"
            aria-hidden="true"
            onClick={(event) => {
              event.stopPropagation();
              onToggle();
            }}
          >
            {hasChildren && <Icon name={isClosed ? "chevronRight" : "chevronDown"} size={12} />}
          </span>
          <span class="plan-name">{node.name}</span>
          <bdi class="plan-detail">{shorten(node.detail)}</bdi>
          {(figures.spilledBytes ?? 0) > 0 && (
            <span class="badge plan-spilled">spilled {BYTES.format(figures.spilledBytes ?? 0)}</span>
          )}
        </div>
      </td>
      <td class="plan-number">
        {figures.timeNs !== undefined && (
          <>
            <span class={share >= SLOW_SHARE ? "plan-slow" : undefined}>
              {NANOSECONDS.format(figures.timeNs)}
              {share >= 0.01 && <span class="plan-share"> {Math.round(share * 100)} %</span>}
            </span>
            <span class="plan-bar" aria-hidden="true">
              <span style={{ width: `${(share * 100).toFixed(1)}%` }} />
            </span>
          </>
        )}
      </td>
      <td class="plan-number">{figures.rows === undefined ? "" : formatCount(figures.rows)}</td>
      <td class="plan-number" title={bytesTitle(figures)}>
        {bytes === undefined ? "" : BYTES.format(bytes)}
      </td>
    </tr>
  );
}

function bytesTitle({ scannedBytes, networkBytes, bytes }: ReturnType<typeof figuresOf>): string | undefined {
  const parts = [
    scannedBytes === undefined ? undefined : `${BYTES.format(scannedBytes)} read from the store`,
    networkBytes === undefined ? undefined : `${BYTES.format(networkBytes)} between workers`,
    bytes === undefined ? undefined : `${BYTES.format(bytes)} returned`,
  ].filter((part) => part !== undefined);
  return parts.length === 0 ? undefined : parts.join(", ");
}

/** Characters of a description in a row at most. The details have all of it. */
const MAX_DETAIL = 160;

function shorten(detail: string): string {
  const line = detail.replace(/\s+/g, " ");
  return line.length > MAX_DETAIL ? `${line.slice(0, MAX_DETAIL)}…` : line;
}

function formatCount(value: number): string {
  return value < 1e15 ? Math.round(value).toLocaleString("en") : formatNumber(value);
}
