import { expect, test } from "vitest";
import { fillInfluxql } from "./influxql";

test("the interval of windows and the values in regular expressions are filled", () => {
  const text = `SELECT mean(v) FROM m WHERE "host" =~ /^$host$/ AND a = $host AND b !~ /x\\/$rack/ GROUP BY time($interval)`;
  expect(fillInfluxql(text, { interval: "5 minutes", host: "a.b/c", rack: null })).toBe(
    `SELECT mean(v) FROM m WHERE "host" =~ /^a\\.b\\/c$/ AND a = $host AND b !~ /x\\/.*/ GROUP BY time(5m)`,
  );
  expect(fillInfluxql("SELECT v FROM m WHERE a =~ /$b/", {})).toBe("SELECT v FROM m WHERE a =~ /$b/");
});
