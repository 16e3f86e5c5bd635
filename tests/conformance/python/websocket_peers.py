"""A WebSocket server and its clients, with the proxy between them.

Prints the server's port, reads the proxy's from standard input, and prints what the clients saw as JSON.
"""

import asyncio
import http
import json
import sys

from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed, InvalidStatus

LARGE_BYTES = 1 << 20


async def handle(socket):
    """Echoes; on the word `close` it closes with a code of its own."""
    try:
        async for message in socket:
            if message == "close":
                await socket.close(4002, "as asked")
                return
            await socket.send(message)
    except ConnectionClosed:
        pass


def admit(connection, request):
    """Refuses one path, as an upstream that wants a login would."""
    if request.path == "/refused":
        return connection.respond(http.HTTPStatus.FORBIDDEN, "not here\n")
    return None


async def talk(url):
    """Echoes of all sizes, a subprotocol, a ping, and a close with the client's own code."""
    async with connect(url, subprotocols=["chat.v1"], max_size=4 * LARGE_BYTES, compression=None) as socket:
        for message in ["hello", "", b"\x00\xff", "é" * 1000, b"x" * LARGE_BYTES]:
            await socket.send(message)
            assert await socket.recv() == message
        await (await socket.ping())
        await socket.close(4001, "done")
        return {"subprotocol": socket.subprotocol, "closed_with": socket.close_code}


async def closed_by_server(url):
    """The code with which the server closes."""
    async with connect(url, subprotocols=["chat.v1"]) as socket:
        await socket.send("close")
        try:
            await socket.recv()
        except ConnectionClosed:
            pass
        return socket.close_code


async def refused(url):
    """The status that a refused upgrade gets."""
    try:
        async with connect(url):
            return 101
    except InvalidStatus as answer:
        return answer.response.status_code


async def main():
    async with serve(
        handle, "127.0.0.1", 0, process_request=admit, subprotocols=["chat.v1"], max_size=4 * LARGE_BYTES
    ) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        port = int(await asyncio.to_thread(sys.stdin.readline))
        url = f"ws://127.0.0.1:{port}"
        seen = {
            "talked": await talk(f"{url}/a"),
            "closed_by_server": await closed_by_server(f"{url}/a"),
            "refused": await refused(f"{url}/refused"),
            "guarded": await refused(f"{url}/guarded"),
        }
        print(json.dumps(seen), flush=True)


asyncio.run(asyncio.wait_for(main(), 60))
