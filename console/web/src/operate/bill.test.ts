import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { billBy, chargeOf, costOf, difference, type RequestCount, total } from "./bill";
import { DEFAULT_PRICES, loadPrices, PUBLISHED_PRICES, publishedPrices, savePrices } from "./prices";

const STANDARD = DEFAULT_PRICES;

function count(database: string | null, operation: string, requests: number, bytes = 0): RequestCount {
  return { database, operation, objectClass: "tail", requests, bytes };
}

test("PUT and LIST are charged as writes, GET and HEAD as reads, DELETE is free", () => {
  expect(["put", "list", "copy", "get", "head", "delete"].map(chargeOf)).toEqual([
    "write",
    "write",
    "write",
    "read",
    "read",
    "free",
  ]);
  expect(costOf(count("home", "put", 1_000_000), STANDARD)).toBeCloseTo(5);
  expect(costOf(count("home", "get", 1_000_000), STANDARD)).toBeCloseTo(0.4);
  expect(costOf(count("home", "delete", 1_000_000), STANDARD)).toBe(0);
});

test("bytes are charged where the store charges for them", () => {
  const express = PUBLISHED_PRICES.find((list) => list.id === "s3-express")?.prices ?? STANDARD;
  expect(costOf(count("home", "put", 0, 1024 ** 3), express)).toBeCloseTo(0.0032);
  expect(costOf(count("home", "put", 0, 1024 ** 3), STANDARD)).toBe(0);
});

test("a bill adds up by database, the most expensive one first", () => {
  const counts = [
    count("home", "get", 10),
    count("garden", "put", 10),
    count("home", "put", 1),
    count(null, "list", 1),
  ];
  const items = billBy(counts, STANDARD, (item) => item.database);
  expect(items.map((item) => [item.name, item.requests])).toEqual([
    ["garden", 10],
    ["home", 11],
    [null, 1],
  ]);
  expect(total(items).requests).toBe(22);
  expect(total(items).cost).toBeCloseTo(0.00006 + 0.000004);
});

test("a difference contains what happened since the earlier count", () => {
  const before = [count("home", "put", 10, 100), count("home", "get", 7)];
  const now = [count("home", "put", 15, 160), count("home", "get", 3), count("new", "put", 2, 5)];
  expect(difference(now, before)).toEqual([
    count("home", "put", 5, 60),
    count("home", "get", 3),
    count("new", "put", 2, 5),
  ]);
});

test("the prices are those of the cost estimate", () => {
  const source = readFileSync(new URL("../../../../bench/prices.py", import.meta.url), "utf8");
  const listed = (name: string): number | undefined => {
    const found = new RegExp(`"${name}": Price\\(([0-9.]+), LIST_OF_S3`).exec(source);
    return found === null ? undefined : Number(found[1]);
  };
  const [standard, express] = PUBLISHED_PRICES;
  expect(standard?.prices).toEqual({
    writePerThousand: listed("S3 Standard: a thousand PUT or LIST"),
    readPerThousand: listed("S3 Standard: a thousand GET"),
    uploadPerGib: 0,
    downloadPerGib: 0,
    storagePerGibMonth: listed("S3 Standard: a GB for a month"),
  });
  expect(express?.prices).toEqual({
    writePerThousand: listed("S3 Express: a thousand PUT or LIST"),
    readPerThousand: listed("S3 Express: a thousand GET"),
    uploadPerGib: listed("S3 Express: a GB uploaded"),
    downloadPerGib: listed("S3 Express: a GB retrieved"),
    storagePerGibMonth: listed("S3 Express: a GB for a month"),
  });
  const checked = /LIST_OF_S3 = Sight\("([0-9-]+)"/.exec(source)?.[1];
  expect(PUBLISHED_PRICES.map((list) => list.checkedOn)).toEqual([checked, checked]);
  expect(source).toContain(`REGION = "${standard?.region}"`);
});

test("edited prices survive a reload, and invalid ones do not", () => {
  const kept = new Map<string, string>();
  const storage = {
    getItem: (key: string) => kept.get(key) ?? null,
    setItem: (key: string, value: string) => void kept.set(key, value),
  };
  expect(loadPrices(storage)).toEqual(DEFAULT_PRICES);
  const edited = { ...DEFAULT_PRICES, writePerThousand: 0.0054 };
  savePrices(storage, edited);
  expect(loadPrices(storage)).toEqual(edited);
  expect(publishedPrices(edited)).toBeUndefined();
  expect(publishedPrices({ ...DEFAULT_PRICES })?.id).toBe("s3-standard");
  for (const text of ["{", "null", '{"writePerThousand":-1}', JSON.stringify({ ...edited, readPerThousand: "1" })]) {
    kept.set("neap-prices", text);
    expect(loadPrices(storage)).toEqual(DEFAULT_PRICES);
  }
});
