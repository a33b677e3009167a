"""What a client of a Python SDK gets from a server, as one JSON document on standard output."""

import asyncio
import json
import re
import sys
import time

# `python CLIENT.py ERA PLAN URL`, or `python CLIENT.py ERA PLAN -- COMMAND ARGUMENTS` for a server on a pipe.
ERA, PLAN, *TARGET = sys.argv[1:]
URL = None if TARGET[0] == "--" else TARGET[0]
COMMAND = TARGET[1:] if TARGET[0] == "--" else None
PLAN = json.loads(PLAN if PLAN.startswith("{") else open(PLAN).read())
ASKED = []
LOGS = []
UPDATES = []
# How long a server may take to ask what it asks at the greeting.
GREETING_S = 20.0
# Some servers add tools once they have seen what the client can do.
SETTLING_S = 0.7
# How long an update of a resource may take, a call to begin, and a count to change. Plans have less patience where
# nothing of it comes, or where it comes again.
PATIENCE_S = PLAN.get("patience_s", 20)
# How long a cancelled call may take to end.
EARLY_S = 2.0


def show(report):
    """Prints a report without what differs from run to run."""
    text = json.dumps(report, ensure_ascii=False)
    for pattern in PLAN.get("volatile", []):
        text = re.sub(pattern, "VOLATILE", text)
    print(text)


def filled(schema):
    """The required fields of a form, and nothing else."""

    def value(field):
        for key in ("default", "enum"):
            if key in field:
                return field[key] if key == "default" else field[key][0]
        return {"string": "Ada", "boolean": True, "array": []}.get(field.get("type"), 1)

    return {name: value(schema["properties"][name]) for name in schema.get("required", [])}


def plain(value):
    """JSON of a model of the SDK."""
    return value.model_dump(mode="json", by_alias=True, exclude_none=True) if hasattr(value, "model_dump") else value


async def attempt(work):
    try:
        return plain(await work)
    except BaseExceptionGroup as group:
        raise group
    except Exception as error:
        return {"failed": str(error), "code": getattr(getattr(error, "error", None), "code", None)}


async def call(client, name, arguments):
    before, progress = len(ASKED), []

    async def step(*values):
        progress.append(list(values))

    result = await attempt(client.call_tool(name, arguments, progress_callback=step))
    if name in PLAN.get("hidden", []):
        result = sorted(result.keys() - {"_meta", "resultType"})
    answer = {"name": name, "result": result, "progress": progress, "asked": sorted(ASKED[before:])}
    if "level" in PLAN:
        answer["logs"] = LOGS[:]
        LOGS.clear()
    return answer


async def log(params):
    LOGS.append(params.data)


async def hear(message):
    """Notes updates of resources among the messages of a session."""
    notification = getattr(message, "root", message)
    if getattr(notification, "method", None) == "notifications/resources/updated":
        UPDATES.append(str(notification.params.uri))


async def listen(client, uri):
    """A subscription of the newest revision: whether it is accepted, and what it brings."""
    async with client.listen(resource_subscriptions=[uri]) as subscription:
        answer = {"accepted": uri in (subscription.honored.resource_subscriptions or [])}
        if answer["accepted"] and "touch" in PLAN:
            await client.call_tool(*PLAN["touch"])
            try:
                answer["heard"] = [(await asyncio.wait_for(anext(subscription), PATIENCE_S)).uri]
            except TimeoutError:
                answer["heard"] = []
            await untouch(client)
        return answer


async def untouch(client):
    """Stateless clients share the server's processes: who comes next expects them as they were."""
    if "untouch" in PLAN:
        await client.call_tool(*PLAN["untouch"])


async def subscribe(client, uri):
    """A subscription of a session: whether it is accepted, and what it brings."""
    answer = {"accepted": "failed" not in await attempt(client.subscribe_resource(uri))}
    if answer["accepted"] and "touch" in PLAN:
        await client.call_tool(*PLAN["touch"])
        for _ in range(int(PATIENCE_S / 0.02)):
            if UPDATES:
                break
            await asyncio.sleep(0.02)
        answer["heard"] = UPDATES[:]
        UPDATES.clear()
        await untouch(client)
    await attempt(client.unsubscribe_resource(uri))
    return answer


async def give_up(_client, call):
    """Cancels a call in the way of an SDK that watches its callers."""
    call.cancel()


async def cancel(client, give_up):
    """Whether a cancelled call ends early, and how many such calls its server counts."""
    (name, arguments), *counting = PLAN["cancel"]
    begun = asyncio.Event()

    async def step(*_values):
        begun.set()

    call = asyncio.create_task(client.call_tool(name, arguments, progress_callback=step))
    await asyncio.wait([asyncio.create_task(begun.wait())], timeout=PATIENCE_S)
    start = time.monotonic()
    await give_up(client, call)
    await asyncio.wait([call])
    answer = {"cancelled": call.cancelled(), "early": time.monotonic() - start < EARLY_S}
    if counting:
        answer["counted"] = await counted(client, *counting[0])
    return answer


async def counted(client, name, arguments):
    """What a tool counts, once that is something."""
    end = time.monotonic() + PATIENCE_S
    while True:
        text = plain(await client.call_tool(name, arguments))["content"][0]["text"]
        if text != "0" or time.monotonic() > end:
            return text
        await asyncio.sleep(0.02)


async def settle():
    """Waits for the server to ask what it asks at the greeting: afterwards, that would belong to a call."""
    if "greeting" not in PLAN:
        return await asyncio.sleep(SETTLING_S)
    end = time.monotonic() + GREETING_S
    while not set(PLAN["greeting"]) <= set(ASKED) and time.monotonic() < end:
        await asyncio.sleep(0.02)
    ASKED.clear()


async def survey(client, complete, give_up=give_up):
    """`complete(client, prompt, argument, value)` asks for completions, `give_up(client, call)` cancels a call."""
    report = {}
    await settle()
    tools = plain(await client.list_tools())["tools"]
    report["tools"] = tools
    if ERA == "legacy" and "level" in PLAN:
        report["level"] = await attempt(client.set_logging_level(PLAN["level"]))
    report["calls"] = [await call(client, name, arguments) for name, arguments in PLAN["calls"]]
    if "cancel" in PLAN:
        report["cancel"] = await cancel(client, give_up)
    called = {name for name, _ in PLAN["calls"] + PLAN.get("cancel", [])} | set(PLAN.get("skipped", []))
    called |= set(PLAN.get("touch", [])[:1])
    report["uncalled"] = [tool["name"] for tool in tools if tool["name"] not in called]
    resources = await attempt(client.list_resources())
    report["resources"] = resources
    report["templates"] = await attempt(client.list_resource_templates())
    listed = [resource["uri"] for resource in resources.get("resources", [])]
    report["contents"] = {uri: await attempt(client.read_resource(uri)) for uri in listed + PLAN.get("resources", [])}
    subscribed = subscribe if ERA == "legacy" else listen
    report["updates"] = {uri: await subscribed(client, uri) for uri in PLAN.get("subscriptions", [])}
    if ERA == "legacy":
        report["ping"] = await attempt(client.send_ping())
    report["prompts"] = await attempt(client.list_prompts())
    report["messages"] = {
        name: await attempt(client.get_prompt(name, arguments)) for name, arguments in PLAN.get("prompts", {}).items()
    }
    report["completions"] = [await attempt(complete(client, *asked)) for asked in PLAN.get("completions", [])]
    return report
