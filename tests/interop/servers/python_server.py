"""A server written with the official Python SDK 2.x: `python_server.py stdio | http`."""

import asyncio
import sys
from typing import Annotated

import listen
from mcp.server.mcpserver import Context, Elicit, ListRoots, MCPServer, Resolve
from mcp.types import ListRootsResult
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


@server.tool()
def resolve(
    name: Annotated[Name, Resolve(asked_name)], roots: Annotated[ListRootsResult, Resolve(asked_roots)]
) -> str:
    """Asks in the way of the client's revision."""
    return f"Hello, {name.name}, with {len(roots.roots)} roots!"


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


if sys.argv[1] == "stdio":
    server.run()
else:
    listen.serve(server.streamable_http_app())
