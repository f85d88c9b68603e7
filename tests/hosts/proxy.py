"""proxy FD NAME...: a forward proxy for package registries, on the listening socket FD.

The socket was made in the controller's network, where hosts can reach it; this process
runs in the machine's own, from where it dials. It serves plain GET (apt) and CONNECT (pip,
https), for the given names only: nothing else can be reached from a test host, by
mistake or otherwise. What it serves and refuses goes to stdout, a line each.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import sys

DIAL_TIMEOUT = 20
HEAD_TIMEOUT = 60
PORTS = (80, 443)
TARGET = re.compile(r"http://([^/:]+)(?::(\d+))?(/.*)?$")


class RefusedError(Exception):
    """A request is not for a registry."""


def split_target(method: str, target: str) -> tuple[str, int, str]:
    """Host, port and path (empty for CONNECT) of a proxy request's target. Raises RefusedError."""
    if method == "CONNECT":
        host, _, port = target.rpartition(":")
        path = ""
    else:
        match = TARGET.match(target)
        if not match:
            raise RefusedError(target)
        host, port, path = match[1], match[2] or "80", match[3] or "/"
    if not port.isdigit() or int(port) not in PORTS:
        raise RefusedError(target)
    return host, int(port), path


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copies until the end, then says so to the other side."""
    with contextlib.suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError, RuntimeError):
        writer.write_eof()


async def answer(writer: asyncio.StreamWriter, status: str, why: str) -> None:
    """Ends a request that leads nowhere."""
    print(status, why, flush=True)
    writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
    with contextlib.suppress(OSError):
        await writer.drain()


async def serve(names: frozenset[str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Handles one connection: one request, then bytes both ways until both sides are done."""
    up_writer = None
    try:
        async with asyncio.timeout(HEAD_TIMEOUT):
            head = await reader.readuntil(b"\r\n\r\n")
        first, headers = head.split(b"\r\n", 1)
        method, target, _ = first.decode("latin-1").split(" ", 2)
        host, port, path = split_target(method, target)
        if host not in names:
            raise RefusedError(target)
        async with asyncio.timeout(DIAL_TIMEOUT):
            up_reader, up_writer = await asyncio.open_connection(host, port, happy_eyeballs_delay=0.25)
        print("200", method, target, flush=True)
        if path:
            # One request a connection: the answer may then be passed on without a look into it.
            headers = re.sub(rb"(?im)^(?:proxy-)?connection:.*\r\n", b"", headers)
            up_writer.write(f"{method} {path} HTTP/1.1\r\nConnection: close\r\n".encode() + headers)
        else:
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await asyncio.gather(pump(reader, up_writer), pump(up_reader, writer))
    except RefusedError as refused:
        await answer(writer, "403 Forbidden", f"not a package registry of this machine: {refused}")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError) as error:
        await answer(writer, "400 Bad Request", repr(error))
    except OSError as error:  # TimeoutError is one
        await answer(writer, "502 Bad Gateway", repr(error))
    finally:
        for end in (writer, up_writer):
            if end:
                end.close()


async def main(descriptor: int, names: frozenset[str]) -> None:
    """Serves until it is killed."""
    listening = socket.socket(fileno=descriptor)
    server = await asyncio.start_server(lambda r, w: serve(names, r, w), sock=listening)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), frozenset(sys.argv[2:])))
