// The official TypeScript SDK 1.x: handshake revisions, 2024-11-05 over HTTP+SSE where that is offered.

import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { SSEClientTransport } from "@modelcontextprotocol/sdk/client/sse.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import {
  CreateMessageRequestSchema,
  ElicitRequestSchema,
  ListRootsRequestSchema,
  LoggingMessageNotificationSchema,
  ResourceUpdatedNotificationSchema,
} from "@modelcontextprotocol/sdk/types.js";

import { answer, capabilities, command, era, log, survey, updated, url, watch } from "./survey.mjs";

const client = new Client({ name: "interop", version: "1" }, { capabilities });
for (const schema of [CreateMessageRequestSchema, ElicitRequestSchema, ListRootsRequestSchema]) {
  client.setRequestHandler(schema, (request) => answer(request.method, request.params));
}
client.setNotificationHandler(LoggingMessageNotificationSchema, log);
client.setNotificationHandler(ResourceUpdatedNotificationSchema, updated);

async function callTask(params) {
  const kinds = [];
  for await (const message of client.experimental.tasks.callToolStream(params)) {
    if (message.type === "result" || message.type === "error") {
      return { kinds: [...new Set(kinds)], end: message.result ?? String(message.error) };
    }
    kinds.push(message.type);
  }
}

function connection() {
  if (command) {
    return new StdioClientTransport({ command: command[0], args: command.slice(1), stderr: "ignore" });
  }
  return url.pathname.startsWith("/sse") ? new SSEClientTransport(url) : new StreamableHTTPClientTransport(url);
}

const transport = connection();
if (era !== "legacy") {
  // The SDK asks for the newest revision it knows.
  const send = transport.send.bind(transport);
  transport.send = (message, options) => {
    const params = message.method === "initialize" ? { ...message.params, protocolVersion: era } : message.params;
    return send(params ? { ...message, params } : message, options);
  };
}
await client.connect(transport);
watch(transport);
await survey(client, callTask);
await transport.terminateSession?.();
await client.close();
process.exit(0);
