/** An identity provider with OpenID Connect, at which a test says who signs in. */
import { createHash, generateKeyPairSync, randomUUID, sign } from "node:crypto";
import { createServer, type Server as HttpServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

const KEY_ID = "one";
const { privateKey, publicKey } = generateKeyPairSync("ed25519");

const DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code";

/** A sign-in on another device (RFC 8628). */
interface DeviceSignIn {
  clientId: string | null;
  userCode: string;
  /** The user's answer in the browser. */
  answer?: "confirm" | "refuse" | undefined;
}

/** A provider whose sign-in page has a link for the user, and one for refusing. */
export class Provider {
  /** The claims of the user who signs in next. */
  claims: Record<string, unknown> = {};
  /** The requests of servers for tokens: the path and the form. */
  readonly tokenRequests: URLSearchParams[] = [];
  private readonly codes = new Map<string, URLSearchParams>();
  private readonly devices = new Map<string, DeviceSignIn>();

  private constructor(private readonly server: HttpServer) {}

  /** Starts a provider on this machine. */
  static async start(): Promise<Provider> {
    const server = createServer();
    const provider = new Provider(server);
    server.on("request", (request, response) => void provider.answer(request, response));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return provider;
  }

  get issuer(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "/", this.issuer);
    switch (url.pathname) {
      case "/.well-known/openid-configuration":
        return json(response, {
          issuer: this.issuer,
          jwks_uri: `${this.issuer}/keys`,
          authorization_endpoint: `${this.issuer}/authorize`,
          token_endpoint: `${this.issuer}/token`,
          device_authorization_endpoint: `${this.issuer}/device`,
        });
      case "/keys":
        return json(response, { keys: [{ ...publicKey.export({ format: "jwk" }), kid: KEY_ID, use: "sig" }] });
      case "/authorize":
        return this.showSignIn(url.searchParams, response);
      case "/token":
        return this.giveTokens(new URLSearchParams(await bodyOf(request)), response);
      case "/device":
        return this.startDevice(new URLSearchParams(await bodyOf(request)), response);
      case "/activate":
        return this.showDevice(url.searchParams, response);
      default:
        response.writeHead(404).end();
    }
  }

  private showSignIn(query: URLSearchParams, response: ServerResponse): void {
    const code = randomUUID();
    this.codes.set(code, query);
    const back = (answer: Record<string, string>) => {
      const url = new URL(query.get("redirect_uri") ?? "");
      url.search = new URLSearchParams({ ...answer, state: query.get("state") ?? "" }).toString();
      return url.href.replaceAll("&", "&amp;");
    };
    const refusal = back({ error: "access_denied", error_description: "The user has refused." });
    const links = `<a href="${back({ code })}">Sign in here</a> <a href="${refusal}">Refuse</a>`;
    response.writeHead(200, { "content-type": "text/html" }).end(links);
  }

  private startDevice(form: URLSearchParams, response: ServerResponse): void {
    const device_code = randomUUID();
    const userCode = device_code.slice(0, 8).toUpperCase();
    this.devices.set(device_code, { clientId: form.get("client_id"), userCode });
    const verification_uri = `${this.issuer}/activate`;
    const verification_uri_complete = `${verification_uri}?code=${userCode}`;
    const times = { expires_in: 120, interval: 1 };
    json(response, { device_code, user_code: userCode, verification_uri, verification_uri_complete, ...times });
  }

  private showDevice(query: URLSearchParams, response: ServerResponse): void {
    const code = query.get("code");
    const device = [...this.devices.values()].find(({ userCode }) => userCode === code);
    const answer = query.get("answer");
    if (device && (answer === "confirm" || answer === "refuse")) {
      device.answer = answer;
    }
    const link = (text: string) => `<a href="/activate?code=${code}&amp;answer=${text}">${text}</a>`;
    const body = device?.answer ? "Done" : `${code} ${link("confirm")} ${link("refuse")}`;
    response.writeHead(200, { "content-type": "text/html" }).end(body);
  }

  private giveDeviceTokens(form: URLSearchParams, response: ServerResponse): void {
    const code = form.get("device_code") ?? "";
    const device = this.devices.get(code);
    if (device === undefined || device.clientId !== form.get("client_id")) {
      json(response, { error: "invalid_grant" }, 400);
    } else if (device.answer === undefined) {
      json(response, { error: "authorization_pending" }, 400);
    } else {
      this.devices.delete(code);
      const isConfirmed = device.answer === "confirm";
      const tokens = { token_type: "Bearer", access_token: "opaque", id_token: this.idToken(device.clientId) };
      json(response, isConfirmed ? tokens : { error: "access_denied" }, isConfirmed ? 200 : 400);
    }
  }

  private giveTokens(form: URLSearchParams, response: ServerResponse): void {
    if (form.get("grant_type") === DEVICE_GRANT) {
      this.giveDeviceTokens(form, response);
      return;
    }
    this.tokenRequests.push(form);
    const query = this.codes.get(form.get("code") ?? "");
    this.codes.delete(form.get("code") ?? "");
    const challenge = createHash("sha256")
      .update(form.get("code_verifier") ?? "")
      .digest("base64url");
    const isRight =
      query?.get("code_challenge") === challenge &&
      query.get("code_challenge_method") === "S256" &&
      query.get("redirect_uri") === form.get("redirect_uri") &&
      query.get("client_id") === form.get("client_id");
    if (!isRight) {
      json(response, { error: "invalid_grant" }, 400);
      return;
    }
    json(response, { token_type: "Bearer", access_token: "opaque", id_token: this.idToken(form.get("client_id")) });
  }

  private idToken(audience: string | null): string {
    const nowSeconds = Math.floor(Date.now() / 1_000);
    const head = { alg: "EdDSA", typ: "JWT", kid: KEY_ID };
    const claims = { iss: this.issuer, aud: audience, iat: nowSeconds, exp: nowSeconds + 300, ...this.claims };
    const signed = [head, claims].map((part) => Buffer.from(JSON.stringify(part)).toString("base64url")).join(".");
    return `${signed}.${sign(null, Buffer.from(signed), privateKey).toString("base64url")}`;
  }
}

function json(response: ServerResponse, value: unknown, status = 200): void {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value));
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) {
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks).toString("utf8");
}
