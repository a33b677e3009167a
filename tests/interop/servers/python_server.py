"""A server written with the official Python SDK 2.x: `python_server.py stdio | http NOTES`."""

import asyncio
import sys
from typing import Annotated

import lingering
import listen
from mcp.server.mcpserver import Context, Elicit, ListRoots, MCPServer, Resolve, Sample
from mcp.types import Completion, CreateMessageResult, ListRootsResult, SamplingMessage, TextContent
from pydantic import BaseModel

server = MCPServer("python-server", version="1")


class Weather(BaseModel):
    city: str
    degrees: float


class Name(BaseModel):
    name: str


@server.tool()
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


@server.tool()
async def count(steps: int, ctx: Context) -> str:
    """Reports progress in so many steps."""
    for step in range(steps):
        await ctx.report_progress(step + 1, steps)
        await asyncio.sleep(0.03)
    return f"{steps} steps"


@server.tool()
def structured(city: str) -> Weather:
    """Returns structured content."""
    return Weather(city=city, degrees=21.5)


@server.tool()
def fail() -> str:
    """Fails."""
    raise ValueError("this tool always fails")


@server.tool()
async def ask(ctx: Context) -> str:
    """Asks for a name."""
    answer = await ctx.elicit("What is your name?", Name)
    return f"Hello, {answer.data.name}!" if answer.action == "accept" else answer.action


def asked_name() -> Elicit[Name]:
    return Elicit("What is your name?", Name)


def asked_roots() -> ListRoots:
    return ListRoots()


def asked_capital() -> Sample:
    question = TextContent(type="text", text="What is the capital of France?")
    return Sample([SamplingMessage(role="user", content=question)], max_tokens=10)


@server.tool()
def resolve(
    name: Annotated[Name, Resolve(asked_name)],
    roots: Annotated[ListRootsResult, Resolve(asked_roots)],
    capital: Annotated[CreateMessageResult, Resolve(asked_capital)],
) -> str:
    """Asks in the way of the client's revision."""
    return f"Hello, {name.name}, with {len(roots.roots)} roots, of {capital.content.text}!"


@server.tool()
async def log(ctx: Context) -> str:
    """Logs."""
    await ctx.info("this tool always logs")
    return "logged"


@server.tool()
async def touch(uri: str, ctx: Context) -> str:
    """Reports a resource as updated."""
    await ctx.notify_resource_updated(uri)
    return f"touched {uri}"


@server.tool()
async def linger(ctx: Context) -> str:
    """Waits to be cancelled, and counts that."""
    return await lingering.linger(ctx.report_progress)


@server.tool()
def cancelled() -> str:
    """Counts the calls that were cancelled."""
    return lingering.cancelled()


@server.resource("note://{number}")
def note(number: str) -> str:
    """A note by number."""
    return f"note {number}"


@server.resource("note://first")
def first_note() -> str:
    """The first note."""
    return "the first note"


@server.prompt()
def review(code: str) -> str:
    """Asks for a review."""
    return f"Please review: {code}"


@server.completion()
async def complete(_ref, argument, _context) -> Completion:
    values = [value for value in ("paris", "park", "berlin") if value.startswith(argument.value)]
    return Completion(values=values, total=len(values), has_more=False)


if sys.argv[1] == "stdio":
    server.run()
else:
    listen.serve(server.streamable_http_app())
