"""A server written with FastMCP: `fastmcp_server.py stdio | http NOTES`."""

import asyncio
import sys

import lingering
import listen
from fastmcp import Context, FastMCP
from pydantic import BaseModel

server = FastMCP("fastmcp-server", version="1")


class Weather(BaseModel):
    city: str
    degrees: float


class Name(BaseModel):
    name: str


@server.tool
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


@server.tool
async def count(steps: int, ctx: Context) -> str:
    """Reports progress in so many steps."""
    for step in range(steps):
        await ctx.report_progress(step + 1, steps)
        await asyncio.sleep(0.03)
    return f"{steps} steps"


@server.tool
def structured(city: str) -> Weather:
    """Returns structured content."""
    return Weather(city=city, degrees=21.5)


@server.tool
def fail() -> str:
    """Fails."""
    raise ValueError("this tool always fails")


@server.tool
async def ask(ctx: Context) -> str:
    """Asks for a name."""
    answer = await ctx.elicit("What is your name?", Name)
    return f"Hello, {answer.data.name}!" if answer.action == "accept" else answer.action


@server.tool
async def log(ctx: Context) -> str:
    """Logs."""
    await ctx.info("this tool always logs")
    return "logged"


@server.tool
async def linger(ctx: Context) -> str:
    """Waits to be cancelled, and counts that."""
    return await lingering.linger(ctx.report_progress)


@server.tool
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


@server.prompt
def review(code: str) -> str:
    """Asks for a review."""
    return f"Please review: {code}"


@server.completion
async def complete(_ref, argument, _context):
    return [value for value in ("paris", "park", "berlin") if value.startswith(argument.value)]


if sys.argv[1] == "stdio":
    server.run(show_banner=False)
else:
    listen.serve(server.http_app())
