"""The official Python SDK 2.x: the handshake revisions, or exactly 2026-07-28."""

import asyncio

import survey
from mcp import Client, StdioServerParameters, types
from mcp.client.stdio import stdio_client


async def sample(_context, _params):
    survey.ASKED.append("sampling/createMessage")
    return types.CreateMessageResult(role="assistant", model="m", content=types.TextContent(type="text", text="Paris"))


async def elicit(_context, params):
    survey.ASKED.append("elicitation/create")
    schema = getattr(params, "requested_schema", None)
    return types.ElicitResult(action="accept", content=survey.filled(schema) if schema else None)


async def roots(_context):
    survey.ASKED.append("roots/list")
    return types.ListRootsResult(roots=[types.Root(uri=uri, name=uri.split("/")[-1]) for uri in survey.PLAN["roots"]])


async def complete(client, prompt, argument, value):
    reference = types.PromptReference(type="ref/prompt", name=prompt)
    return await client.complete(reference, {"name": argument, "value": value})


async def main():
    target = survey.URL or stdio_client(StdioServerParameters(command=survey.COMMAND[0], args=survey.COMMAND[1:]))
    mode = "legacy" if survey.ERA == "legacy" else "2026-07-28"
    callbacks = {
        "sampling_callback": sample,
        "elicitation_callback": elicit,
        "list_roots_callback": roots,
        "logging_callback": survey.log,
        "message_handler": survey.hear,
    }
    async with Client(target, mode=mode, log_level=survey.PLAN.get("level"), **callbacks) as client:
        server = {"info": survey.plain(client.server_info), "capabilities": survey.plain(client.server_capabilities)}
        survey.show({"server": server, **await survey.survey(client, complete)})


asyncio.run(main())
