// What a client of a TypeScript SDK gets from a server, as one JSON document on standard output.

import { readFileSync } from "node:fs";

// `node CLIENT.mjs ERA PLAN URL`, or `node CLIENT.mjs ERA PLAN -- COMMAND ARGUMENTS` for a server on a pipe.
export const [era, planText, ...target] = process.argv.slice(2);
export const url = target[0] === "--" ? undefined : new URL(target[0]);
export const command = target[0] === "--" ? target.slice(1) : undefined;

const plan = JSON.parse(planText.startsWith("{") ? planText : readFileSync(planText, "utf8"));
const asked = [];
let logs = 0;

export const capabilities = { sampling: {}, elicitation: { form: {}, url: {} }, roots: { listChanged: true } };

// What the client answers when the server asks.
export const answers = {
  "sampling/createMessage": () => ({ role: "assistant", model: "m", content: { type: "text", text: "Paris" } }),
  "elicitation/create": (params) =>
    params.mode === "url" ? { action: "accept" } : { action: "accept", content: filled(params.requestedSchema) },
  "roots/list": () => ({ roots: plan.roots.map((uri) => ({ uri, name: uri.split("/").at(-1) })) }),
};

export function answer(method, params) {
  asked.push(method);
  return answers[method](params);
}

export function log() {
  logs += 1;
}

// The required fields of a form, and nothing else.
function filled(schema) {
  const value = (field) => field.default ?? field.enum?.[0] ?? { string: "Ada", boolean: true, array: [] }[field.type] ?? 1;
  return Object.fromEntries((schema.required ?? []).map((name) => [name, value(schema.properties[name])]));
}

async function attempt(work) {
  try {
    return await work();
  } catch (error) {
    return { failed: String(error.message ?? error), code: error.code, data: error.data };
  }
}

async function call(client, callTask, [name, argumentz]) {
  const before = asked.length;
  const progress = [];
  const options = { onprogress: (step) => progress.push(step), timeout: 30000 };
  const params = { name, arguments: argumentz };
  const work = plan.tasks?.includes(name) && callTask ? () => callTask(params) : () => client.callTool(params, undefined, options);
  const result = await attempt(callTask === undefined ? () => client.callTool(params, options) : work);
  return { name, result: plan.hidden?.includes(name) ? Object.keys(result).sort() : result, progress, asked: asked.slice(before).sort() };
}

// Without what differs from run to run.
function steady(text) {
  return (plan.volatile ?? []).reduce((text, pattern) => text.replaceAll(new RegExp(pattern, "g"), "VOLATILE"), text);
}

// `callTask` calls a tool that runs as a task; undefined for SDKs without an argument for the result's schema.
export async function survey(client, callTask) {
  const report = { server: client.getServerVersion(), capabilities: client.getServerCapabilities() };
  report.instructions = client.getInstructions();
  // Some servers add tools once they have seen what the client can do.
  await new Promise((resolve) => setTimeout(resolve, 700));
  report.tools = (await client.listTools()).tools;
  report.calls = [];
  for (const entry of plan.calls) {
    report.calls.push(await call(client, callTask, entry));
  }
  const called = new Set(plan.calls.map(([name]) => name));
  report.uncalled = report.tools.map((tool) => tool.name).filter((name) => !called.has(name));
  report.resources = await attempt(async () => (await client.listResources()).resources);
  report.templates = await attempt(async () => (await client.listResourceTemplates()).resourceTemplates);
  const listed = Array.isArray(report.resources) ? report.resources.map((resource) => resource.uri) : [];
  report.contents = {};
  for (const uri of [...listed, ...(plan.resources ?? [])]) {
    report.contents[uri] = await attempt(() => client.readResource({ uri }));
  }
  if (era === "legacy") {
    report.subscriptions = [];
    for (const uri of plan.subscriptions ?? []) {
      report.subscriptions.push(await attempt(() => client.subscribeResource({ uri })));
      report.subscriptions.push(await attempt(() => client.unsubscribeResource({ uri })));
    }
    report.ping = await attempt(() => client.ping());
  }
  report.prompts = await attempt(async () => (await client.listPrompts()).prompts);
  report.messages = {};
  for (const [name, argumentz] of Object.entries(plan.prompts ?? {})) {
    report.messages[name] = await attempt(() => client.getPrompt({ name, arguments: argumentz }));
  }
  report.completions = [];
  for (const [name, argument, value] of plan.completions ?? []) {
    const params = { ref: { type: "ref/prompt", name }, argument: { name: argument, value } };
    report.completions.push(await attempt(() => client.complete(params)));
  }
  console.log(steady(JSON.stringify(report)));
}
