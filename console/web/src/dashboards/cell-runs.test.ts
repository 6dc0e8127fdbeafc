import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { endRun, forgetRun, refreshCheck, startRun } from "./cell-runs";

const DATABASE = "home";
const cells = [{}, {}];

/** The stamp of the present state of the database. */
let present = "1";

function headers(stamp: string): Headers {
  return new Headers({ "x-neap-as-of": stamp });
}

/** Runs all queries, whose results show a state. */
function runAll(stamp: string): void {
  for (const cell of cells) {
    startRun(cell, DATABASE);
    endRun(cell, headers(stamp));
  }
}

beforeEach(() => {
  present = "1";
  vi.stubGlobal("fetch", async () => new Response("[]", { headers: headers(present) }));
});

afterEach(() => {
  cells.forEach(forgetRun);
  vi.unstubAllGlobals();
});

test("queries_whose_results_show_the_present_state_do_not_run_again", async () => {
  const isDue = refreshCheck("data", DATABASE);
  runAll("1");
  expect(await isDue()).toBe(false);
  present = "2";
  expect(await isDue()).toBe(true);
  // A write between the question for the stamp and the queries: they show more than was asked for.
  present = "3";
  runAll("3");
  expect(await isDue()).toBe(false);
  // By the button of the page, after a write.
  present = "4";
  runAll("4");
  expect(await isDue()).toBe(false);
});

test("queries_with_results_of_several_states_run_again_once", async () => {
  const isDue = refreshCheck("data", DATABASE);
  runAll("1");
  present = "2";
  startRun(cells[0] as object, DATABASE);
  endRun(cells[0] as object, headers("2"));
  expect(await isDue()).toBe(true);
  runAll("2");
  expect(await isDue()).toBe(false);
});

test("queries_that_fail_run_again_once_for_each_state", async () => {
  const isDue = refreshCheck("data", DATABASE);
  for (const [stamp, expected] of [
    ["1", true],
    ["1", false],
    ["2", true],
    ["2", false],
  ] as const) {
    present = stamp;
    startRun(cells[0] as object, DATABASE);
    endRun(cells[0] as object);
    expect(await isDue()).toBe(expected);
  }
});

test("queries_that_run_are_not_started_again", async () => {
  for (const chosen of ["data", 5] as const) {
    const isDue = refreshCheck(chosen, DATABASE);
    startRun(cells[0] as object, DATABASE);
    expect(await isDue()).toBe(false);
    endRun(cells[0] as object);
    expect(await isDue()).toBe(true);
  }
});

test("a_slow_answer_about_the_state_starts_one_refresh", async () => {
  const isDue = refreshCheck("data", DATABASE);
  expect(await Promise.all([isDue(), isDue()])).toEqual([true, false]);
});
