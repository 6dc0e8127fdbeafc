/** A model with the interface of chat completions, at which a test says what it answers. */
import { createServer, type Server as HttpServer } from "node:http";
import type { AddressInfo } from "node:net";

/** A model on this machine. */
export class Model {
  /** The text of the next answers. */
  content = "";
  /** The status of the next answers. */
  status = 200;
  /** What the model got: the instructions and the question of each request. */
  readonly prompts: string[][] = [];

  private constructor(private readonly server: HttpServer) {}

  static async start(): Promise<Model> {
    const server = createServer();
    const model = new Model(server);
    server.on("request", async (request, response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of request) {
        chunks.push(chunk as Buffer);
      }
      const body = JSON.parse(Buffer.concat(chunks).toString("utf8")) as { messages: { content: string }[] };
      model.prompts.push(body.messages.map(({ content }) => content));
      const answer = { choices: [{ message: { role: "assistant", content: model.content } }] };
      response.writeHead(model.status, { "content-type": "application/json" }).end(JSON.stringify(answer));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return model;
  }

  /** The URL of its chat completions. */
  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}/v1/chat/completions`;
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}
