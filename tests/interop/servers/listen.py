"""Serves an ASGI application on a free loopback port and says where."""

import socket

import uvicorn


def serve(application):
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(128)
    print(f"listening on http://127.0.0.1:{listener.getsockname()[1]}/mcp", flush=True)
    config = uvicorn.Config(application, log_level="error")
    uvicorn.Server(config).run(sockets=[listener])
