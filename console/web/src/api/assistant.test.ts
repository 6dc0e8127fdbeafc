import { afterEach, expect, test } from "vitest";
import { mayAsk } from "./assistant";
import { info, type SessionInfo } from "./session";

const READER: SessionInfo = {
  tokens_required: true,
  admin: false,
  databases: [
    { name: "garden", actions: ["read"] },
    { name: "kitchen", actions: ["write"] },
  ],
  can_create_tokens: false,
  version: "0.1.0",
};

afterEach(() => {
  info.value = undefined;
});

test("the assistant is offered if the server has one, for databases that the caller may read", () => {
  expect(mayAsk("garden")).toBe(false);
  info.value = READER;
  expect(mayAsk("garden")).toBe(false);
  info.value = { ...READER, assistant_model: "small" };
  expect(mayAsk("garden")).toBe(true);
  expect(mayAsk("kitchen")).toBe(false);
  expect(mayAsk("")).toBe(false);
  info.value = { ...READER, admin: true, assistant_model: "small" };
  expect(mayAsk("_internal")).toBe(false);
});
