// What a client of a TypeScript SDK gets from a server, as one JSON document on standard output.

import { readFileSync } from "node:fs";

// ERA is `legacy`, `modern`, or a legacy revision.
// `node CLIENT.mjs ERA PLAN URL`, or `node CLIENT.mjs ERA PLAN -- COMMAND ARGUMENTS` for a server on a pipe.
export const [era, planText, ...target] = process.argv.slice(2);
export const url = target[0] === "--" ? undefined : new URL(target[0]);
export const command = target[0] === "--" ? target.slice(1) : undefined;

const plan = JSON.parse(planText.startsWith("{") ? planText : readFileSync(planText, "utf8"));
const asked = [];
const logs = [];
const progress = [];
const updates = [];
// How long a server may take to ask what it asks at the greeting.
const GREETING_MS = 20000;
// Some servers add tools once they have seen what the client can do.
const SETTLING_MS = 700;
// How long an update of a resource may take, a call to begin, and a count to change. Plans have less patience where
// nothing of it comes, or where it comes again.
const PATIENCE_MS = 1000 * (plan.patience_s ?? 20);
// How long a cancelled call may take to end.
const EARLY_MS = 2000;
const POLL_MS = 20;

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

export function log(notification) {
  logs.push(notification.params.data);
}

// Progress as it comes over the wire: the SDKs lose what arrives together with the answer, and add some of their own.
export function watch(transport) {
  const receive = transport.onmessage;
  transport.onmessage = (message, extra) => {
    if (message.method === "notifications/progress") {
      const { progressToken, _meta, ...step } = message.params;
      progress.push(step);
    }
    receive(message, extra);
  };
}

export function updated(notification) {
  updates.push(notification.params.uri);
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
  progress.length = 0;
  const options = { onprogress: () => {}, timeout: 30000 };
  const params = { name, arguments: argumentz, ...wantsLogs() };
  const work = plan.tasks?.includes(name) && callTask ? () => callTask(params) : () => client.callTool(params, undefined, options);
  const result = await attempt(callTask === undefined ? () => client.callTool(params, options) : work);
  const shown = plan.hidden?.includes(name) ? Object.keys(result).filter((key) => key !== "_meta" && key !== "resultType").sort() : result;
  return { name, result: shown, progress: progress.slice(), asked: asked.slice(before).sort(), ...(plan.level && { logs: logs.splice(0) }) };
}

// Sessions have a log level; without one, every request says its own.
function wantsLogs() {
  return plan.level && era === "modern" ? { _meta: { "io.modelcontextprotocol/logLevel": plan.level } } : {};
}

// Whether a subscription to a resource is accepted, and what it brings once the resource is touched.
async function subscribe(client, uri) {
  const opened = await attempt(() => (era === "modern" ? client.listen({ resourceSubscriptions: [uri] }) : client.subscribeResource({ uri })));
  const granted = era === "modern" ? opened.honoredFilter?.resourceSubscriptions?.includes(uri) : !("failed" in opened);
  const answer = { accepted: granted ?? false };
  if (answer.accepted && plan.touch) {
    const [name, argumentz] = plan.touch;
    await client.callTool({ name, arguments: argumentz });
    for (const end = Date.now() + PATIENCE_MS; updates.length === 0 && Date.now() < end; ) {
      await sleep(POLL_MS);
    }
    answer.heard = updates.splice(0);
    // Stateless clients share the server's processes: who comes next expects them as they were.
    if (plan.untouch) {
      await client.callTool({ name: plan.untouch[0], arguments: plan.untouch[1] });
    }
  }
  await attempt(() => (era === "modern" ? opened.close?.() : client.unsubscribeResource({ uri })));
  return answer;
}

// Whether a cancelled call ends early, and how many such calls its server counts.
async function cancel(client, callTask, [[name, argumentz], counting]) {
  const abort = new AbortController();
  const begun = Promise.withResolvers();
  const options = { signal: abort.signal, onprogress: begun.resolve, timeout: 30000 };
  const params = { name, arguments: argumentz };
  const call = attempt(() => (callTask ? client.callTool(params, undefined, options) : client.callTool(params, options)));
  await Promise.race([begun.promise, sleep(PATIENCE_MS)]);
  const start = Date.now();
  abort.abort("no longer wanted");
  const answer = { cancelled: "failed" in (await call), early: Date.now() - start < EARLY_MS };
  return counting ? { ...answer, counted: await counted(client, ...counting) } : answer;
}

// What a tool counts, once that is something.
async function counted(client, name, argumentz) {
  for (const end = Date.now() + PATIENCE_MS; ; await sleep(POLL_MS)) {
    const [{ text }] = (await client.callTool({ name, arguments: argumentz })).content;
    if (text !== "0" || Date.now() > end) {
      return text;
    }
  }
}

// Waits for the server to ask what it asks at the greeting: afterwards, that would belong to a call.
async function settle() {
  if (!plan.greeting) {
    return sleep(SETTLING_MS);
  }
  const greeted = () => plan.greeting.every((method) => asked.includes(method));
  for (const end = Date.now() + GREETING_MS; !greeted() && Date.now() < end; ) {
    await sleep(POLL_MS);
  }
  asked.length = 0;
}

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// Without what differs from run to run.
function steady(text) {
  return (plan.volatile ?? []).reduce((text, pattern) => text.replaceAll(new RegExp(pattern, "g"), "VOLATILE"), text);
}

// `callTask` calls a tool that runs as a task; undefined for SDKs without an argument for the result's schema.
export async function survey(client, callTask) {
  const report = { server: client.getServerVersion(), capabilities: client.getServerCapabilities() };
  report.instructions = client.getInstructions();
  await settle();
  report.tools = (await client.listTools()).tools;
  if (plan.level && era !== "modern") {
    report.level = await attempt(() => client.setLoggingLevel(plan.level));
  }
  report.calls = [];
  for (const entry of plan.calls) {
    report.calls.push(await call(client, callTask, entry));
  }
  if (plan.cancel) {
    report.cancel = await cancel(client, callTask, plan.cancel);
  }
  const called = new Set([...plan.calls, ...(plan.cancel ?? []), plan.touch ?? []].map(([name]) => name).concat(plan.skipped ?? []));
  report.uncalled = report.tools.map((tool) => tool.name).filter((name) => !called.has(name));
  report.resources = await attempt(async () => (await client.listResources()).resources);
  report.templates = await attempt(async () => (await client.listResourceTemplates()).resourceTemplates);
  const listed = Array.isArray(report.resources) ? report.resources.map((resource) => resource.uri) : [];
  report.contents = {};
  for (const uri of [...listed, ...(plan.resources ?? [])]) {
    report.contents[uri] = await attempt(() => client.readResource({ uri }));
  }
  report.updates = {};
  for (const uri of plan.subscriptions ?? []) {
    report.updates[uri] = await subscribe(client, uri);
  }
  if (era !== "modern") {
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
