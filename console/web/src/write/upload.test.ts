import { expect, test } from "vitest";
import { ApiError } from "../api/client";
import { requestOf, type SendPart, Upload, type UploadTarget } from "./upload";
import { type UploadPart, type UploadSource, uploadParts } from "./upload-parts";

const TARGET: UploadTarget = { database: "db", precision: "auto", acceptPartial: true };

function lines(count: number): UploadSource {
  const text = Array.from({ length: count }, (_, at) => `m,t=a v=${at} ${at}\n`).join("");
  return { name: "x.lp", blob: new Blob([text]), format: "lp", isGzip: false };
}

async function textOf(part: UploadPart): Promise<string> {
  return typeof part.body === "string" ? part.body : part.body.text();
}

function upload(source: UploadSource, send: SendPart, from?: { position: number; rows: number }): Upload {
  return new Upload(source, TARGET, send, from, [0, 0]);
}

test("all parts together are the file", async () => {
  const source = lines(1_000);
  const sent: string[] = [];
  let position = 0;
  for await (const part of uploadParts(source, 0, () => 700)) {
    expect(part.from).toBe(position);
    position = part.to;
    sent.push(await textOf(part));
  }
  expect(sent.length).toBeGreaterThan(5);
  expect(sent.join("")).toBe(await source.blob.text());
});

test.each(["lp", "csv", "jsonl"] as const)("a %s file continues where a part ended", async (format) => {
  const row = { lp: (n: number) => `m é=${n}\n`, csv: (n: number) => `${n},é\n`, jsonl: (n: number) => `{"é":${n}}\n` }[
    format
  ];
  const head = format === "csv" ? "\ufefftime,a\n" : "";
  const text = head + Array.from({ length: 200 }, (_, at) => row(at)).join("");
  const source: UploadSource = { name: "x", blob: new Blob([text]), format, isGzip: false };
  const all: UploadPart[] = [];
  for await (const part of uploadParts(source, 0, () => 300)) {
    all.push(part);
  }
  const third = all[3];
  const rest: UploadPart[] = [];
  for await (const part of uploadParts(source, third?.from ?? 0, () => 300)) {
    rest.push(part);
  }
  expect(rest[0]).toEqual(third);
  expect(rest.reduce((sum, part) => sum + (part.records ?? 0), 0)).toBe(
    all.slice(3).reduce((sum, part) => sum + (part.records ?? 0), 0),
  );
});

test("refused rows have their number in the file", async () => {
  let rows = 0;
  const job = upload(lines(30_000), async (_, __, part) => {
    const first = rows;
    rows += part.records ?? 0;
    if (first > 0) {
      throw new ApiError("partial write", 400, undefined, [{ line: 1, message: "bad" }]);
    }
  });
  // Smaller parts than a whole file of this size need several megabytes.
  const many = new Upload(
    { ...job.source, blob: new Blob([job.source.blob, job.source.blob, job.source.blob, job.source.blob]) },
    TARGET,
    job.send,
  );
  await many.run();
  const state = many.state.value;
  expect(state.phase).toBe("done");
  expect(state.rows).toBe(120_000);
  expect(state.refused).toBe(state.refusals.length);
  expect(state.refusals[0]?.row).toBeGreaterThan(1);
});

test("an overloaded server is asked again", async () => {
  let attempts = 0;
  const job = upload(lines(10), async () => {
    attempts += 1;
    if (attempts === 1) {
      throw new ApiError("busy", 503);
    }
  });
  await job.run();
  expect(attempts).toBe(2);
  expect(job.state.value).toMatchObject({ phase: "done", rows: 10, problem: undefined });
});

test("a server that stays away leaves the position, from which the upload continues", async () => {
  let isAway = true;
  const sent: string[] = [];
  const job = upload(lines(10), async (_, __, part) => {
    if (isAway) {
      throw new ApiError("The server does not answer.", 0, "unreachable");
    }
    sent.push(await textOf(part));
  });
  await job.run();
  expect(job.state.value).toMatchObject({ phase: "failed", position: 0, problem: "The server does not answer." });
  isAway = false;
  await job.run();
  expect(job.state.value.phase).toBe("done");
  expect(sent.join("")).toBe(await job.source.blob.text());
});

test("a request that is too large is sent in smaller parts", async () => {
  const sizes: number[] = [];
  const job = upload(lines(60_000), async (_, __, part) => {
    const size = (await textOf(part)).length;
    sizes.push(size);
    if (size > 300_000) {
      throw new ApiError("max request size (300000 bytes) exceeded", 413);
    }
  });
  await job.run();
  expect(job.state.value).toMatchObject({ phase: "done", rows: 60_000 });
  expect(sizes.filter((size) => size <= 300_000).reduce((sum, size) => sum + size, 0)).toBe(job.source.blob.size);
});

test("without partial writes, the first refused row stops the upload", async () => {
  const target = { ...TARGET, acceptPartial: false };
  const job = new Upload(lines(10), target, async () => {
    throw new ApiError("parsing failed for write_lp endpoint", 400, undefined, [{ line: 3, message: "bad" }]);
  });
  await job.run();
  expect(job.state.value).toMatchObject({ phase: "failed", position: 0, rows: 0 });
  expect(job.state.value.problem).toContain("Row 3: bad");
});

test("a cancelled upload stays cancelled", async () => {
  const job = upload(lines(10), async (_, __, ___, signal) => {
    job.cancel();
    signal.throwIfAborted();
  });
  await job.run();
  expect(job.state.value.phase).toBe("cancelled");
});

test("a paused upload ends after the part in flight", async () => {
  const job = upload(lines(60_000), async () => job.pause());
  await job.run();
  expect(job.state.value.phase).toBe("paused");
  expect(job.state.value.position).toBeGreaterThan(0);
  expect(job.state.value.position).toBeLessThan(job.source.blob.size);
});

test("a file that is not UTF-8 is refused instead of changed", async () => {
  const source: UploadSource = {
    name: "x",
    blob: new Blob([new Uint8Array([109, 32, 0xff, 61, 49])]),
    format: "lp",
    isGzip: false,
  };
  const job = upload(source, async () => undefined);
  await job.run();
  expect(job.state.value).toMatchObject({ phase: "failed", problem: "The file is not UTF-8 text." });
});

test("gzip is decompressed before it is cut", async () => {
  const plain = lines(1_000);
  const stream = plain.blob.stream().pipeThrough(new CompressionStream("gzip"));
  const blob = await new Response(stream).blob();
  const sent: string[] = [];
  const job = upload({ ...plain, blob, isGzip: true }, async (_, __, part) => {
    sent.push(await textOf(part));
  });
  await job.run();
  expect(sent.join("")).toBe(await plain.blob.text());
});

test("the columns of a file are parameters of its requests", () => {
  const mapping = { table: "a b", tags: ["x", "y"], timeColumn: "ts", timeFormat: "%d.%m.%Y", timeZone: "" };
  const source: UploadSource = { name: "x", blob: new Blob([]), format: "csv", isGzip: false };
  const { path, headers } = requestOf({ ...TARGET, mapping }, source);
  expect(path).toBe(
    "/api/v3/write_file?db=db&precision=auto&accept_partial=true&format=csv&table=a+b&time_column=ts&time_format=%25d.%25m.%25Y&tag=x&tag=y",
  );
  expect(headers["content-type"]).toBe("text/csv");
});
