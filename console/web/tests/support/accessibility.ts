/** Checks pages with axe-core. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

import type { Page } from "playwright-core";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** The rules that pages must satisfy: WCAG 2.0 to 2.2, levels A and AA, and the best practices of axe-core. */
const TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

interface Violation {
  id: string;
  help: string;
  nodes: { target: unknown[]; failureSummary?: string }[];
}

/** Throws if axe-core finds a violation in the page as it is now. */
export async function expectAccessible(page: Page): Promise<void> {
  // Transitions that have not ended would be measured with colours between two themes.
  await page.evaluate(() => Promise.allSettled(document.getAnimations().map((animation) => animation.finished)));
  // Evaluated over the debugger's connection, which the content security policy of the page does not concern.
  await page.evaluate(AXE);
  const violations = await page.evaluate(async (tags): Promise<Violation[]> => {
    const { axe } = globalThis as unknown as { axe: { run(root: Document, options: unknown): Promise<unknown> } };
    const results = await axe.run(document, { runOnly: { type: "tag", values: tags }, resultTypes: ["violations"] });
    return (results as { violations: Violation[] }).violations;
  }, TAGS);
  if (violations.length > 0) {
    const lines = violations.map(({ id, help, nodes }) => {
      const places = nodes.slice(0, 5).map((node) => `    ${node.target.join(" ")}: ${node.failureSummary ?? ""}`);
      return `${id}: ${help}\n${places.join("\n")}`;
    });
    throw new Error(`axe-core finds violations in ${page.url()}:\n${lines.join("\n")}`);
  }
}
