// The official TypeScript SDK 2.x: the handshake revisions, or exactly 2026-07-28.

import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";

import { answer, answers, capabilities, command, era, log, survey, updated, url, watch } from "./survey.mjs";

const mode = era === "legacy" ? "legacy" : { pin: "2026-07-28" };
const client = new Client({ name: "interop", version: "1" }, { capabilities, versionNegotiation: { mode } });
for (const method of Object.keys(answers)) {
  client.setRequestHandler(method, (request) => answer(method, request.params));
}
client.setNotificationHandler("notifications/message", log);
client.setNotificationHandler("notifications/resources/updated", updated);

const transport = url
  ? new StreamableHTTPClientTransport(url)
  : new StdioClientTransport({ command: command[0], args: command.slice(1), stderr: "ignore" });
await client.connect(transport);
watch(transport);
await survey(client, undefined);
await client.close();
process.exit(0);
