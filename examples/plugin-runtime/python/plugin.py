"""A plugin in Python: the runtime type `python-lines`, an MCP server that speaks newline JSON on a TCP port.

A node offers it as a type of its own with `--plugin "python-lines=python plugin.py"`.

Beside this file stand the stubs that this command generates in this folder:

    python -m grpc_tools.protoc -I ../../../proto --python_out=. --grpc_python_out=. omcp/plugin/v1/plugin.proto
"""

import asyncio
import json
import os
import signal
import sys

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from omcp.plugin.v1 import plugin_pb2 as pb
from omcp.plugin.v1 import plugin_pb2_grpc

PROTOCOL = 1
MESSAGE_LEN_MAX = 256 * 1024 * 1024
STOP_WAIT_SECONDS = 5

SETTINGS_SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "description": "An MCP server that speaks newline JSON on a TCP port.",
    "type": "object",
    "properties": {
        "endpoint": {
            "type": "string",
            "pattern": "^.+:[0-9]+$",
            "description": "Where it listens, HOST:PORT.",
        },
        "connect_timeout_ms": {
            "type": "integer",
            "minimum": 1,
            "maximum": 3_600_000,
            "default": 5000,
            "description": "Time to connect, milliseconds. Default 5000.",
        },
    },
    "required": ["endpoint"],
    "additionalProperties": False,
}


class Plugin(plugin_pb2_grpc.PluginServiceServicer):
    async def Describe(self, request, context):
        kind = pb.RuntimeType(name="python-lines", settings_schema_json=json.dumps(SETTINGS_SCHEMA))
        return pb.DescribeResponse(
            name="example-python",
            version="0.1.0",
            protocol_min=PROTOCOL,
            protocol_max=PROTOCOL,
            runtime_types=[kind],
        )

    async def Open(self, requests, context):
        """One connection. When the stream breaks off, this generator is cancelled."""
        start = (await anext(requests)).start
        settings = json.loads(start.settings_json)  # they fit the schema: the node has checked them
        endpoint = settings["endpoint"]
        host, port = endpoint.rsplit(":", 1)
        try:
            opening = asyncio.open_connection(host.strip("[]"), int(port), limit=MESSAGE_LEN_MAX)
            reader, writer = await asyncio.wait_for(opening, settings.get("connect_timeout_ms", 5000) / 1000)
        except TimeoutError:
            yield failure(pb.FAILURE_KIND_TIMEOUT, f"no connection to {endpoint} in time")
            return
        except OSError as error:
            yield failure(pb.FAILURE_KIND_UNREACHABLE, f"no server at {endpoint}: {error.strerror}")
            return
        yield pb.OpenResponse(opened=pb.Opened())
        outgoing = asyncio.create_task(pass_on(requests, writer))
        try:
            async for line in lines(reader, outgoing):
                yield pb.OpenResponse(message=line)
            if not outgoing.done():
                yield failure(pb.FAILURE_KIND_CLOSED, f"{endpoint} closed the connection")
        except (OSError, asyncio.IncompleteReadError) as error:
            yield failure(pb.FAILURE_KIND_CLOSED, f"the connection to {endpoint} broke: {error}")
        except (ValueError, asyncio.LimitOverrunError):
            yield failure(pb.FAILURE_KIND_PROTOCOL, f"{endpoint} sent a line that is too long")
        finally:
            outgoing.cancel()
            writer.close()


async def pass_on(requests, writer):
    """What the node says, until it closes the connection."""
    async for request in requests:
        if request.WhichOneof("body") == "message":
            writer.write(request.message + b"\n")
            await writer.drain()
    writer.write_eof()


async def lines(reader, outgoing):
    """What the server says, until it hangs up or the node has closed the connection."""
    while not outgoing.done():
        reading = asyncio.ensure_future(reader.readuntil(b"\n"))
        await asyncio.wait({reading, outgoing}, return_when=asyncio.FIRST_COMPLETED)
        if not reading.done():
            reading.cancel()
            outgoing.result()  # a broken pipe, if that is why it has ended
            return
        try:
            yield reading.result().removesuffix(b"\n")
        except asyncio.IncompleteReadError as error:
            if error.partial:
                raise
            return


def failure(kind, message):
    return pb.OpenResponse(failure=pb.Failure(kind=kind, message=message))


async def node_gone():
    """The node holds the other end of standard input for as long as it lives."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()


async def main():
    socket = os.environ.get("OMCP_PLUGIN_SOCKET")
    address = f"unix:{socket}" if socket else sys.argv[1]
    lens = ["grpc.max_receive_message_length", "grpc.max_send_message_length"]
    server = grpc.aio.server(options=[(name, MESSAGE_LEN_MAX + 1024) for name in lens])
    plugin_pb2_grpc.add_PluginServiceServicer_to_server(Plugin(), server)
    checks = health.aio.HealthServicer()
    service = pb.DESCRIPTOR.services_by_name["PluginService"].full_name
    await checks.set(service, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    server.add_insecure_port(address)
    await server.start()

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if socket:
        gone = asyncio.create_task(node_gone())
        gone.add_done_callback(lambda _: stop.set())
    await stop.wait()
    await server.stop(STOP_WAIT_SECONDS)


if __name__ == "__main__":
    asyncio.run(main())
