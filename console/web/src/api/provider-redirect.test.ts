import { expect, test } from "vitest";
import { authorizationUrl, readProviderAnswer } from "./provider-redirect";

const PROVIDER = {
  issuer: "https://login.example.com",
  clientId: "neap",
  audience: "neap",
  scopes: ["openid", "profile"],
  authorizationEndpoint: "https://login.example.com/authorize?tenant=one",
};

// The verifier and challenge of RFC 7636, appendix B.
const PENDING = {
  state: "s1",
  codeVerifier: "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
  redirectUri: "https://neap.example.com/",
  hash: "#/write",
  keepInTab: true,
};

test("the_address_of_the_provider_has_the_hash_of_the_secret_and_not_the_secret", async () => {
  const text = await authorizationUrl(PROVIDER, PENDING);
  expect(text).not.toContain(PENDING.codeVerifier);
  const url = new URL(text);
  expect(url.origin + url.pathname).toBe("https://login.example.com/authorize");
  expect(Object.fromEntries(url.searchParams)).toEqual({
    tenant: "one",
    response_type: "code",
    client_id: "neap",
    redirect_uri: "https://neap.example.com/",
    scope: "openid profile",
    state: "s1",
    code_challenge: "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
    code_challenge_method: "S256",
  });
  const other = await authorizationUrl({ ...PROVIDER, audience: "api" }, PENDING);
  expect(new URL(other).searchParams.get("audience")).toBe("api");
});

test("an_address_that_is_no_web_page_is_refused", async () => {
  for (const authorizationEndpoint of ["javascript:alert(1)", "data:text/html,x", undefined]) {
    await expect(authorizationUrl({ ...PROVIDER, authorizationEndpoint }, PENDING)).rejects.toThrow();
  }
});

test("a_code_is_accepted_by_the_tab_that_has_begun_the_sign_in", () => {
  const query = new URLSearchParams({ state: "s1", code: "c" });
  const { codeVerifier, redirectUri } = PENDING;
  expect(readProviderAnswer(query, PENDING)).toEqual({
    code: { code: "c", codeVerifier, redirectUri },
    keepInTab: true,
  });
  for (const pending of [undefined, { ...PENDING, state: "s2" }]) {
    const answer = readProviderAnswer(query, pending);
    expect(answer.code).toBeUndefined();
    expect(answer.problem).toContain("has not begun");
  }
});

test("a_refusal_of_the_provider_is_shown", () => {
  const query = new URLSearchParams({ state: "s1", error: "access_denied", error_description: "Not today." });
  expect(readProviderAnswer(query, PENDING).problem).toBe("The identity provider has refused the sign-in: Not today.");
});
