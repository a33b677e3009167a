"""The official Python SDK 1.x: handshake revisions."""

import asyncio
from contextlib import asynccontextmanager

import anyio
import survey
from mcp import ClientSession, StdioServerParameters, types
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamablehttp_client


async def sample(_context, _params):
    survey.ASKED.append("sampling/createMessage")
    return types.CreateMessageResult(role="assistant", model="m", content=types.TextContent(type="text", text="Paris"))


async def elicit(_context, params):
    survey.ASKED.append("elicitation/create")
    schema = getattr(params, "requestedSchema", None)
    return types.ElicitResult(action="accept", content=survey.filled(schema) if schema else None)


async def roots(_context):
    survey.ASKED.append("roots/list")
    return types.ListRootsResult(roots=[types.Root(uri=uri, name=uri.split("/")[-1]) for uri in survey.PLAN["roots"]])


async def complete(client, prompt, argument, value):
    return await client.complete(types.PromptReference(type="ref/prompt", name=prompt), {"name": argument, "value": value})


async def give_up(client, call):
    """The SDK cannot cancel: it numbers its requests, and this is the last one."""
    params = types.CancelledNotificationParams(requestId=client._request_id - 1)
    await client.send_notification(types.ClientNotification(types.CancelledNotification(params=params)))
    call.cancel()


@asynccontextmanager
async def streams():
    if survey.URL:
        async with streamablehttp_client(survey.URL) as (read, write, _):
            yield read, write
    else:
        server = StdioServerParameters(command=survey.COMMAND[0], args=survey.COMMAND[1:])
        try:
            async with stdio_client(server) as (read, write):
                yield read, write
        except* anyio.BrokenResourceError:
            # The SDK fails if its server still says something, as one does that goes on with a cancelled call.
            pass


async def main():
    async with streams() as (read, write):
        callbacks = {
            "sampling_callback": sample,
            "elicitation_callback": elicit,
            "list_roots_callback": roots,
            "logging_callback": survey.log,
            "message_handler": survey.hear,
        }
        async with ClientSession(read, write, **callbacks) as client:
            server = survey.plain(await client.initialize())
            survey.show({"server": server, **await survey.survey(client, complete, give_up)})


asyncio.run(main())
