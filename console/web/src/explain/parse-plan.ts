// Trees of plans, from the text of EXPLAIN and EXPLAIN ANALYZE.
//
// An operator is a line, and its inputs are indented by two more spaces. A plan over workers is a list of boxes:
//
//   ┌───── DistributedExec
//   │ CoalescePartitionsExec
//   │   [Stage 1] => NetworkCoalesceExec: output_partitions=4
//   └──────────────────────────────────────────────────
//     ┌───── Stage 1 ── tasks=2, partitions=4
//     │ DataSourceExec: …
//     └──────────────────────────────────────────────────
//
// Texts of the database are part of plans, for example in conditions. A line that is no operator continues the one
// before it.

import { type Metric, parseMetrics } from "./parse-metrics";

/** An operator of a plan, or a stage that runs on workers. */
export interface PlanNode {
  name: string;
  /** The rest of its line, without metrics. */
  detail: string;
  metrics: Metric[];
  children: PlanNode[];
  isStage: boolean;
}

/** A plan. */
export interface PlanDocument {
  roots: PlanNode[];
  /** Lines beside the operators, such as the names of the workers. */
  remarks: string[];
}

/** Characters of a text that are parsed, and operators of a plan at most. */
const MAX_TEXT = 4_000_000;
const MAX_NODES = 20_000;

/** A line of an operator: an optional stage or task, and a name of capitalized words. */
const OPERATOR = /^(?:\[Stage (\d+)\] => )?(t\d+: )?([A-Z][A-Za-z0-9]*(?: [A-Z][A-Za-z]*){0,3})(?:: ?|(?=,)|$)(.*)$/s;

/** The head of a box, and of one that is a stage. */
const BOX = /^\s*┌─+ (.*)$/;
const STAGE = /^Stage (\d+)(?: ── (.*))?$/;
const BOX_END = /^\s*└─+\s*$/;

/** A line after a plan over workers, or in its place. */
const REMARK = /^(?:workers|not distributed): /;

/** Parses the text of a plan. A text without operators has no roots. */
export function parsePlan(text: string): PlanDocument {
  const lines = text.slice(0, MAX_TEXT).split("\n");
  return lines.some((line) => BOX.test(line)) ? parseBoxes(lines) : parseLines(lines);
}

function parseLines(lines: string[]): PlanDocument {
  const tree = new TreeBuilder();
  for (const line of lines) {
    tree.add(line);
  }
  return { roots: tree.roots, remarks: tree.remarks };
}

interface Box {
  root: PlanNode;
  stage: number | undefined;
  tree: TreeBuilder;
}

function parseBoxes(lines: string[]): PlanDocument {
  const boxes: Box[] = [];
  const outside = new TreeBuilder();
  let box: Box | undefined;
  for (const line of lines) {
    const head = BOX.exec(line)?.[1];
    if (head !== undefined) {
      box = openBox(head);
      boxes.push(box);
    } else if (BOX_END.test(line)) {
      box = undefined;
    } else if (box !== undefined) {
      box.tree.add(line.replace(/^\s*│ ?/, ""));
    } else {
      outside.add(line);
    }
  }
  for (const { root, tree } of boxes) {
    root.children = tree.roots;
  }
  return { roots: [...joinBoxes(boxes), ...outside.roots], remarks: outside.remarks };
}

function openBox(head: string): Box {
  const stage = STAGE.exec(head);
  const [name = "", ...rest] = head.split(" ── ");
  const detail = stage === null ? rest.join(" ── ") : (stage[2] ?? "");
  const root = { name: name.trim(), detail, metrics: parseMetrics(detail), children: [], isStage: stage !== null };
  return { root, stage: stage === null ? undefined : Number(stage[1]), tree: new TreeBuilder() };
}

/** Makes each stage the input of the operator that reads it. A stage follows its reader, so there are no circles. */
function joinBoxes(boxes: Box[]): PlanNode[] {
  const joined = new Set<Box>();
  boxes.forEach(({ tree }, index) => {
    for (const [node, stage] of tree.readers) {
      const box = boxes.find((one, at) => at > index && one.stage === stage && !joined.has(one));
      if (box !== undefined) {
        joined.add(box);
        node.children.push(box.root);
      }
    }
  });
  return boxes.filter((box) => !joined.has(box)).map(({ root }) => root);
}

/** A tree that grows by one line after the other. */
class TreeBuilder {
  readonly roots: PlanNode[] = [];
  readonly remarks: string[] = [];
  /** Operators that read a stage. */
  readonly readers: [PlanNode, number][] = [];
  private readonly path: PlanNode[] = [];
  private nodes = 0;
  private raw = new Map<PlanNode, string>();

  add(line: string): void {
    const content = line.trimStart();
    if (content === "") {
      return;
    }
    if (REMARK.test(line)) {
      this.remarks.push(line.trim());
      return;
    }
    const indent = line.length - content.length;
    const depth = indent / 2;
    const match = OPERATOR.exec(content);
    const isOperator = match !== null && Number.isInteger(depth) && depth <= this.path.length && this.nodes < MAX_NODES;
    // The texts of several plans may follow each other. The names of operators that run end in Exec.
    const isSecondRoot = depth === 0 && this.roots.length > 0 && !/Exec$/.test(match?.[3] ?? "");
    if (!isOperator || isSecondRoot) {
      this.continue(line);
      return;
    }
    const [, stage, task = "", name = "", rest = ""] = match;
    const node: PlanNode = { name: `${task}${name}`, detail: "", metrics: [], children: [], isStage: false };
    this.raw.set(node, rest);
    parseRest(node, rest);
    this.nodes += 1;
    this.path.length = depth;
    (this.path[depth - 1]?.children ?? this.roots).push(node);
    this.path.push(node);
    if (stage !== undefined) {
      this.readers.push([node, Number(stage)]);
    }
  }

  /** Adds a line to the operator before it. */
  private continue(line: string): void {
    const node = this.path[this.path.length - 1];
    if (node === undefined) {
      this.remarks.push(line.trim());
      return;
    }
    const rest = `${this.raw.get(node) ?? ""}\n${line}`;
    this.raw.set(node, rest);
    parseRest(node, rest);
  }
}

/** Divides the rest of a line into the description of an operator and its metrics. */
function parseRest(node: PlanNode, rest: string): void {
  const at = rest.lastIndexOf("metrics=[");
  const hasMetrics = at >= 0 && rest.trimEnd().endsWith("]");
  node.detail = (hasMetrics ? rest.slice(0, at) : rest).replace(/^[,\s]+|[,\s]+$/g, "");
  node.metrics = hasMetrics ? parseMetrics(rest.slice(at + "metrics=[".length, rest.trimEnd().length - 1)) : [];
}
