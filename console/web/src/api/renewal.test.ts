import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { request } from "./client";
import { credentialOf } from "./renewal";
import { credential, setExpiredHandler } from "./token";

/** The requests that the server has received: the path and the token. */
let received: string[] = [];
let generation = 0;
let isEnded = false;
const expired = vi.fn();

function answer(path: string, options: RequestInit): Response {
  const token = new Headers(options.headers).get("authorization");
  received.push(`${path} ${token}`);
  if (path !== "/api/v3/authorize/refresh") {
    return new Response("{}", { status: token === `Bearer access-${generation}` ? 200 : 401 });
  }
  const body = JSON.parse(String(options.body)) as { refreshToken: string };
  if (isEnded || body.refreshToken !== `refresh-${generation}`) {
    return new Response("{}", { status: 401 });
  }
  generation += 1;
  return Response.json(pair());
}

function pair() {
  return { accessToken: `access-${generation}`, refreshToken: `refresh-${generation}`, expiresIn: 3600 };
}

beforeEach(() => {
  received = [];
  generation = 0;
  isEnded = false;
  expired.mockReset();
  setExpiredHandler(expired);
  vi.useFakeTimers({ toFake: ["Date"] });
  vi.stubGlobal("fetch", async (path: string, options: RequestInit) => answer(path, options));
  credential.value = credentialOf(pair());
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
  credential.value = undefined;
});

test("a_session_is_renewed_once_before_its_access_token_expires", async () => {
  await request("/a");
  expect(received).toEqual(["/a Bearer access-0"]);
  vi.setSystemTime(Date.now() + 59.5 * 60_000);
  await Promise.all([request("/b"), request("/c")]);
  expect(received.slice(1)).toEqual(["/api/v3/authorize/refresh null", "/b Bearer access-1", "/c Bearer access-1"]);
  expect(expired).not.toHaveBeenCalled();
});

test("an_access_token_that_the_server_rejects_is_renewed_and_the_request_repeated", async () => {
  credential.value = { ...credentialOf(pair()), token: "access-of-before" };
  await Promise.all([request("/a"), request("/b")]);
  expect(received.filter((line) => line.startsWith("/api"))).toHaveLength(1);
  expect(received.slice(-2).sort()).toEqual(["/a Bearer access-1", "/b Bearer access-1"]);
});

test("an_ended_session_is_reported_and_not_renewed_again", async () => {
  isEnded = true;
  vi.setSystemTime(Date.now() + 2 * 3_600_000);
  generation = 7;
  await expect(request("/a")).rejects.toMatchObject({ status: 401 });
  await expect(request("/a")).rejects.toMatchObject({ status: 401 });
  expect(received.filter((line) => line.startsWith("/api"))).toHaveLength(1);
  expect(expired).toHaveBeenCalledTimes(2);
});

test("a_token_is_never_renewed", async () => {
  credential.value = { token: "apiv3_x" };
  await expect(request("/a")).rejects.toMatchObject({ status: 401 });
  expect(received).toEqual(["/a Bearer apiv3_x"]);
});

test("a_wrong_password_does_not_end_the_session_of_the_page", async () => {
  await expect(request("/wrong", { isAnonymous: true })).rejects.toMatchObject({ status: 401 });
  expect(received).toEqual(["/wrong null"]);
  expect(expired).not.toHaveBeenCalled();
});
