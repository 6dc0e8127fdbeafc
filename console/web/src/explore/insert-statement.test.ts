import { expect, test } from "vitest";
import { insertStatement } from "./insert-statement";
import { statementAt } from "./statements";

test("a statement replaces the one that it corrects, and no other", () => {
  const text = "SELECT 1;\nSELECT moistur FROM soil ;\nSELECT 3";
  const wrong = statementAt(text, 12, "sql");
  expect(insertStatement(text, wrong, "SELECT moisture\nFROM soil;\n", "sql")).toBe(
    "SELECT 1;\nSELECT moisture\nFROM soil ;\nSELECT 3",
  );
});

test("a statement comes last if the text has changed, or if it is a new one", () => {
  const wrong = { text: "SELECT moistur FROM soil", start: 0 };
  expect(insertStatement("SELECT 1", wrong, "SELECT 2", "sql")).toBe("SELECT 1;\nSELECT 2");
  expect(insertStatement("SELECT 1;\n", undefined, "SELECT 2", "influxql")).toBe("SELECT 1;\nSELECT 2");
  expect(insertStatement(" \n", undefined, "SELECT 2", "sql")).toBe("SELECT 2");
});

test("a text in PromQL is one statement", () => {
  expect(insertStatement("avg(up)", undefined, "sum(up)", "promql")).toBe("sum(up)");
});
