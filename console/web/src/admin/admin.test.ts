import { expect, test } from "vitest";
import { ApiError } from "../api/client";
import { cacheBody } from "./caches-panel";
import { durationError, durationSeconds, formatDurationNs } from "./durations";
import { namesOf, permissionsOf, permissionText, ruleProblem } from "./permissions";
import { editCode, editedPlugin, filesOf, markSaved, pluginOf, replaceDraft, showFile } from "./plugin-draft";
import { groupPlugins, isCodeElsewhere, pluginNameError, pluginNames } from "./plugins";
import { choiceProblem, conditionOf, parseMoment } from "./row-condition";
import { kindOf, logQuery, parseArguments, rowLine, specificationError, specificationText } from "./triggers";

test("durations are read and shown as the server does", () => {
  expect(formatDurationNs(7n * 86_400_000_000_000n + 3_600_000_000_000n)).toBe("7d 1h");
  expect(formatDurationNs(1n)).toBe("1ns");
  expect(formatDurationNs(0n)).toBe("0s");
  expect(durationSeconds("90d")).toBe(7_776_000);
  expect(durationSeconds("1h 30m")).toBe(5_400);
  expect(durationSeconds("soon")).toBeUndefined();
  expect(durationSeconds("5 apples")).toBeUndefined();
  expect(durationError("30d")).toBeUndefined();
  expect(durationError("0d")).toBe("The duration must be longer than zero.");
  expect(durationError("x")).toBeDefined();
});

test("the condition of a delete quotes names and values", () => {
  const condition = conditionOf({
    from: "2026-01-31",
    to: "2026-02-01T12:00:00+01:00",
    tags: [
      { tag: 'ro"om', values: ["it's", "b"] },
      { tag: "floor", values: [null] },
      { tag: "open", values: [] },
    ],
  });
  expect(condition).toBe(
    "time >= TIMESTAMP '2026-01-31T00:00:00Z' AND time < TIMESTAMP '2026-02-01T12:00:00+01:00' AND " +
      `("ro""om" = 'it''s' OR "ro""om" = 'b') AND "floor" IS NULL`,
  );
  expect(conditionOf({ from: "", to: "", tags: [] })).toBe("");
});

test("times of a delete are checked", () => {
  expect(parseMoment("2026-01-31 12:00")).toBe("2026-01-31T12:00:00Z");
  expect(parseMoment("2026-11-22T04:00:00.123456789Z")).toBe("2026-11-22T04:00:00.123456789Z");
  expect(parseMoment("2026-02-31")).toBeUndefined();
  expect(parseMoment("yesterday")).toBeUndefined();
  expect(choiceProblem({ from: "2026-02-01", to: "2026-01-01", tags: [] })).toBe("The end must be after the start.");
  expect(choiceProblem({ from: "x", to: "", tags: [] })).toMatch(/Write a time/);
});

test("permissions follow from the choices", () => {
  const permissions = permissionsOf({
    databases: [
      { names: "home, home, garden", actions: ["read", "write"] },
      { names: "", actions: ["read"] },
      { names: "x", actions: [] },
    ],
    system: ["metrics"],
    tokens: ["create"],
  });
  expect(permissions.map(permissionText)).toEqual([
    "db:home,garden:read,write",
    "system:metrics:read",
    "token:*:create",
  ]);
  expect(namesOf(" a ,, b ")).toEqual(["a", "b"]);
  expect(ruleProblem({ names: "*,home", actions: [] }, ["home"])).toMatch(/Either/);
  expect(ruleProblem({ names: "gone", actions: [] }, ["home"])).toMatch(/no database gone/);
  expect(ruleProblem({ names: "*", actions: [] }, [])).toBeUndefined();
});

test("the body of a cache leaves out what has a default", () => {
  const form = { table: "home", name: "", key: [], values: ["temp", "hum"], count: "3" };
  expect(cacheBody("last_cache", "db", form, undefined)).toEqual({
    db: "db",
    table: "home",
    name: undefined,
    key_columns: undefined,
    value_columns: ["temp", "hum"],
    count: 3,
    ttl: undefined,
  });
  expect(cacheBody("distinct_cache", "db", { ...form, key: ["room"] }, 60)).toMatchObject({
    columns: ["room"],
    max_cardinality: 3,
    max_age: 60,
  });
});

test("specifications of triggers are shown as on the command line", () => {
  expect(specificationText('"all_tables_wal_write"')).toBe("all_tables");
  expect(specificationText('{"single_table_wal_write":{"table_name":"cpu"}}')).toBe("table:cpu");
  expect(specificationText('{"schedule":{"schedule":"0 0 * * * *"}}')).toBe("cron:0 0 * * * *");
  expect(specificationText('{"every":{"duration":{"secs":300,"nanos":0}}}')).toBe("every:5m");
  expect(specificationText('{"request_path":{"path":"hot"}}')).toBe("request:hot");
  expect(specificationText("?")).toBe("?");
  expect([kindOf("table:a"), kindOf("every:5m"), kindOf("request:x")]).toEqual(["rows", "schedule", "request"]);
});

test("specifications of triggers are checked", () => {
  for (const text of [
    "table:cpu",
    "all_tables",
    "every:5m",
    "every:100 ms",
    "cron:0 30 7 * * 1-5",
    "cron:TZ=Europe/Berlin 0 0 7 * * *",
    "request:a/b",
  ]) {
    expect(specificationError(text), text).toBeUndefined();
  }
  for (const text of ["", "table:", "cpu", "every:soon", "cron:* * * * *", "day:1"]) {
    expect(specificationError(text), text).toBeDefined();
  }
});

test("arguments are lines", () => {
  expect(parseArguments("limit=30\n\n name = a=b ")).toEqual({ limit: "30", name: "a=b" });
  expect(parseArguments("limit")).toBe("Write each argument as name=value: limit");
});

test("the log is searched by quoted texts", () => {
  const query = logQuery({ trigger: "it's", level: "WARN", text: "100%_'", lastSeconds: 60 });
  expect(query).toContain(
    "trigger_name = 'it''s' AND log_level = 'WARN' AND strpos(lower(log_text), lower('100%_''')) > 0",
  );
  expect(query).toContain("event_time >= now() - INTERVAL '60 seconds'");
  expect(logQuery({ trigger: "", level: "", text: "", lastSeconds: 0 })).not.toContain("WHERE");
});

test("rows become lines", () => {
  const columns = [
    { name: "room", type: "tag" },
    { name: "te mp", type: "float" },
    { name: "n", type: "integer" },
    { name: "text", type: "string" },
    { name: "gone", type: "boolean" },
  ];
  const row = { room: "a b", "te mp": 1.5, n: 3, text: 'say "x"', "time ns": "1700000000000000000" };
  expect(rowLine("my home", columns, row)).toBe(
    'my\\ home,room=a\\ b te\\ mp=1.5,n=3i,text="say \\"x\\"" 1700000000000000000',
  );
});

test("a column that is absent is not taken from the language", () => {
  const columns = ["constructor", "__proto__", "toString", "v"].map((name) => ({ name, type: "float" }));
  expect(rowLine("m", columns, { v: 1, "time ns": "1" })).toBe("m v=1 1");
  expect(Object.entries(parseArguments("__proto__=x"))).toEqual([["__proto__", "x"]]);
});

test("names of plugins are paths of Python files", () => {
  expect(pluginNameError("alarm.py")).toBeUndefined();
  expect(pluginNameError("pack/__init__.py")).toBeUndefined();
  for (const name of ["../x.py", "a b.py", "alarm", "gh:x.py", "/x.py"]) {
    expect(pluginNameError(name), name).toBeDefined();
  }
  expect(pluginNameError("pack", true)).toBeUndefined();
  expect(pluginNameError("../pack", true)).toBeDefined();
});

test("the files of a folder are one plugin", () => {
  const file = { file_path: "", size_bytes: 2, last_modified: 0 };
  const files = [
    { ...file, plugin_name: "alarm", file_name: "alarm.py" },
    { ...file, plugin_name: "pack", file_name: "pack/__init__.py" },
    { ...file, plugin_name: "pack", file_name: "pack/sub/__init__.py" },
    { ...file, plugin_name: "watch", file_name: "gh:team/other/__init__.py" },
    { ...file, plugin_name: "watch", file_name: "gh:team/other/a.py" },
  ];
  expect(groupPlugins(files)).toEqual([
    { name: "alarm.py", trigger: "alarm", files: 1, bytes: 2 },
    { name: "pack", trigger: undefined, files: 2, bytes: 4 },
    { name: "gh:team/other", trigger: "watch", files: 2, bytes: 4 },
  ]);
  expect(pluginNames(files)).toEqual(["alarm.py", "gh:team/other", "pack"]);
});

test("the files of a folder are edited one by one, and saved together", () => {
  const code = {
    is_package: true,
    files: [
      { path: "__init__.py", content: "one" },
      { path: "a.py", content: "two" },
    ],
  };
  replaceDraft("pack/", code, "watch");
  expect(editedPlugin.value).toMatchObject({ code: "one", trigger: "watch", isChanged: false });
  showFile("a.py");
  editCode("three");
  showFile("__init__.py");
  expect(editedPlugin.value.code).toBe("one");
  expect(editedPlugin.value.folder?.changed).toEqual(["a.py"]);
  expect(pluginOf(editedPlugin.value)).toBe("pack");
  expect(filesOf(editedPlugin.value)).toEqual([
    { path: "__init__.py", content: "one" },
    { path: "a.py", content: "three" },
  ]);
  markSaved();
  expect(editedPlugin.value).toMatchObject({ isChanged: false, folder: { changed: [] } });
});

test("code that only another server has is told apart from other errors", () => {
  expect(isCodeElsewhere(new ApiError("Plugin not found: x", 404))).toBe(true);
  expect(isCodeElsewhere(new ApiError("Plugin error: Node not configured with plugin directory", 500))).toBe(true);
  expect(isCodeElsewhere(new ApiError("The server does not answer.", 0))).toBe(false);
});
