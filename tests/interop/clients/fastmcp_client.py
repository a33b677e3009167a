"""FastMCP's client: the handshake revisions, or exactly 2026-07-28."""

import asyncio

import survey
from fastmcp import Client
from fastmcp.client.transports import StdioTransport
from mcp import types
from mcp.client.subscriptions import listen


class Survey:
    """The client with the names and answers of the official SDK's."""

    def __init__(self, client):
        self.client = client
        self.send_ping = client.session.send_ping
        self.subscribe_resource = client.session.subscribe_resource
        self.unsubscribe_resource = client.session.unsubscribe_resource
        self.set_logging_level = client.set_logging_level
        self.list_tools = client.list_tools_mcp
        self.list_resources = client.list_resources_mcp
        self.list_resource_templates = client.list_resource_templates_mcp
        self.read_resource = client.read_resource_mcp
        self.list_prompts = client.list_prompts_mcp
        self.get_prompt = client.get_prompt_mcp

    async def call_tool(self, name, arguments, progress_callback=None):
        return await self.client.call_tool_mcp(name, arguments, progress_handler=progress_callback)

    def listen(self, resource_subscriptions):
        return listen(self.client.session, resource_subscriptions=resource_subscriptions)


async def sample(_messages, _params, _context):
    survey.ASKED.append("sampling/createMessage")
    return types.CreateMessageResult(role="assistant", model="m", content=types.TextContent(type="text", text="Paris"))


async def elicit(_message, _kind, params, _context):
    survey.ASKED.append("elicitation/create")
    schema = getattr(params, "requested_schema", None)
    return survey.filled(schema) if schema else None


async def roots(_context):
    survey.ASKED.append("roots/list")
    return [types.Root(uri=uri, name=uri.split("/")[-1]) for uri in survey.PLAN["roots"]]


async def complete(adapter, prompt, argument, value):
    reference = types.PromptReference(type="ref/prompt", name=prompt)
    return await adapter.client.complete_mcp(reference, {"name": argument, "value": value})


async def main():
    target = survey.URL or StdioTransport(command=survey.COMMAND[0], args=survey.COMMAND[1:])
    mode = "legacy" if survey.ERA == "legacy" else "2026-07-28"
    handlers = {"sampling_handler": sample, "elicitation_handler": elicit, "roots": roots}
    hearing = {"log_handler": survey.log, "message_handler": survey.hear}
    async with Client(target, mode=mode, **handlers, **hearing) as client:
        server = {"info": survey.plain(client.server_info), "capabilities": survey.plain(client.server_capabilities)}
        survey.show({"server": server, **await survey.survey(Survey(client), complete)})


asyncio.run(main())
