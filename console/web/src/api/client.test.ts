import { expect, test } from "vitest";
import { parseError } from "./client";

test("the_three_forms_of_errors_have_a_message", () => {
  expect(parseError(400, "plain text", "Bad Request").message).toBe("plain text");
  expect(parseError(404, '{"error":"no such table"}', "").message).toBe("no such table");
  const v2 = parseError(400, '{"code":"invalid","message":"bad"}', "");
  expect([v2.message, v2.code, v2.status]).toEqual(["bad", "invalid", 400]);
  expect(parseError(502, "", "Bad Gateway").message).toBe("The server answers 502 Bad Gateway");
});

test("errors_of_lines_are_read_from_the_data", () => {
  const data = { original_line: "a b", line_number: 2, error_message: "no fields" };
  const lines = [{ line: 2, message: "no fields", original: "a b" }];
  expect(parseError(400, JSON.stringify({ error: "partial", data: [data] }), "").lines).toEqual(lines);
  expect(parseError(400, JSON.stringify({ error: "failed", data }), "").lines).toEqual(lines);
  expect(parseError(400, JSON.stringify({ error: "failed", data: null }), "").lines).toBeUndefined();
});
