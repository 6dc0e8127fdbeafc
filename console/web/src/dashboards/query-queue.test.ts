import { expect, it } from "vitest";
import { enqueue } from "./query-queue";

/** A task that ends when it is told to. */
function task(): { run(): Promise<string>; end(): void; hasStarted: boolean } {
  let end = (): void => {};
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  const self = {
    hasStarted: false,
    end: () => end(),
    run: async () => {
      self.hasStarted = true;
      await ended;
      return "done";
    },
  };
  return self;
}

it("runs four tasks at the same time, and forgets those that are not needed any more", async () => {
  const tasks = Array.from({ length: 6 }, task);
  const controllers = tasks.map(() => new AbortController());
  const results = tasks.map((one, i) => enqueue((controllers[i] as AbortController).signal, one.run));
  await Promise.resolve();
  expect(tasks.map(({ hasStarted }) => hasStarted)).toEqual([true, true, true, true, false, false]);
  controllers[4]?.abort(new Error("gone"));
  await expect(results[4]).rejects.toThrow("gone");
  tasks[0]?.end();
  await expect(results[0]).resolves.toBe("done");
  await Promise.resolve();
  expect(tasks[5]?.hasStarted).toBe(true);
  expect(tasks[4]?.hasStarted).toBe(false);
  for (const one of tasks) {
    one.end();
  }
  await Promise.all(results.filter((_, i) => i !== 4));
});

it("refuses a task whose signal was aborted before", async () => {
  await expect(enqueue(AbortSignal.abort(new Error("gone")), async () => "done")).rejects.toThrow("gone");
});
