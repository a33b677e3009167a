// The official TypeScript SDK 1.x: handshake revisions.

import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import {
  CreateMessageRequestSchema,
  ElicitRequestSchema,
  ListRootsRequestSchema,
  LoggingMessageNotificationSchema,
} from "@modelcontextprotocol/sdk/types.js";

import { answer, capabilities, command, log, survey, url } from "./survey.mjs";

const client = new Client({ name: "interop", version: "1" }, { capabilities });
for (const schema of [CreateMessageRequestSchema, ElicitRequestSchema, ListRootsRequestSchema]) {
  client.setRequestHandler(schema, (request) => answer(request.method, request.params));
}
client.setNotificationHandler(LoggingMessageNotificationSchema, log);

async function callTask(params) {
  const kinds = [];
  for await (const message of client.experimental.tasks.callToolStream(params)) {
    if (message.type === "result" || message.type === "error") {
      return { kinds: [...new Set(kinds)], end: message.result ?? String(message.error) };
    }
    kinds.push(message.type);
  }
}

const transport = url
  ? new StreamableHTTPClientTransport(url)
  : new StdioClientTransport({ command: command[0], args: command.slice(1), stderr: "ignore" });
await client.connect(transport);
await survey(client, callTask);
await transport.terminateSession?.();
await client.close();
process.exit(0);
