"""A gRPC server and its client, with the proxy between them.

Prints the server's port, reads the proxy's TLS port and the file with its authority from standard input, and prints what the
client saw as JSON. Messages are plain bytes: nothing has to be generated.
"""

import json
import sys
import threading
from concurrent import futures

import grpc

LARGE_BYTES = 3 << 20
PATIENCE_S = 30
cancelled = threading.Event()


def unary(message, context):
    """Echoes, with metadata at both ends; the word `fail` fails."""
    context.send_initial_metadata((("x-initial", "1"),))
    context.set_trailing_metadata((("x-trailing", "2"), ("x-bin", b"\x00\xff")))
    if message == b"fail":
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not now: café")
    return message


def count(message, context):
    """Streams as many messages as it is told."""
    for number in range(int(message)):
        yield str(number).encode()


def total(messages, context):
    """Adds up the lengths of a stream."""
    return str(sum(len(message) for message in messages)).encode()


def echo(messages, context):
    """Answers each message as it comes."""
    yield from messages


def hang(message, context):
    """Never answers; notes that it was cancelled."""
    context.add_callback(cancelled.set)
    yield b"begun"
    cancelled.wait(PATIENCE_S)


class Service(grpc.GenericRpcHandler):
    """The methods by their names."""

    def service(self, details):
        return {
            "/test.Test/Unary": grpc.unary_unary_rpc_method_handler(unary),
            "/test.Test/Count": grpc.unary_stream_rpc_method_handler(count),
            "/test.Test/Total": grpc.stream_unary_rpc_method_handler(total),
            "/test.Test/Echo": grpc.stream_stream_rpc_method_handler(echo),
            "/test.Test/Hang": grpc.unary_stream_rpc_method_handler(hang),
        }.get(details.method)


def failure(call):
    """Status and message of a call that must fail."""
    try:
        call()
    except grpc.RpcError as error:
        return [error.code().name, error.details()]
    return None


def ping_pong(channel):
    """Each message is sent only once the one before has come back: nothing in between may hold it."""
    answered = threading.Semaphore(1)

    def messages():
        for number in range(5):
            answered.acquire(timeout=PATIENCE_S)
            yield str(number).encode()

    back = []
    for message in channel.stream_stream("/test.Test/Echo")(messages(), timeout=PATIENCE_S):
        back.append(message.decode())
        answered.release()
    return back


def talk(channel):
    """Every kind of call, one after the other: their records are in this order."""
    seen = {}
    answer, call = channel.unary_unary("/test.Test/Unary").with_call(b"hello", timeout=PATIENCE_S)
    trailing = {key: value for key, value in call.trailing_metadata()}
    seen["unary"] = [answer.decode(), dict(call.initial_metadata())["x-initial"], trailing["x-trailing"]]
    seen["binary_trailer"] = trailing["x-bin"] == b"\x00\xff"
    seen["failed"] = failure(lambda: channel.unary_unary("/test.Test/Unary")(b"fail", timeout=PATIENCE_S))
    seen["unknown"] = failure(lambda: channel.unary_unary("/test.Test/Nothing")(b"", timeout=PATIENCE_S))[0]
    seen["server_stream"] = len(list(channel.unary_stream("/test.Test/Count")(b"1000", timeout=PATIENCE_S)))
    lengths = (b"x" * 1000 for _ in range(100))
    seen["client_stream"] = channel.stream_unary("/test.Test/Total")(lengths, timeout=PATIENCE_S).decode()
    seen["both_streams"] = ping_pong(channel)
    large = b"x" * LARGE_BYTES
    seen["large"] = channel.unary_unary("/test.Test/Unary")(large, timeout=PATIENCE_S) == large
    seen["deadline"] = failure(lambda: list(channel.unary_stream("/test.Test/Hang")(b"", timeout=0.5)))[0]
    cancelled.wait(PATIENCE_S)
    cancelled.clear()
    call = channel.unary_stream("/test.Test/Hang")(b"", timeout=PATIENCE_S)
    next(call)
    call.cancel()
    seen["server_sees_cancel"] = cancelled.wait(PATIENCE_S)
    return seen


def main():
    server = grpc.server(futures.ThreadPoolExecutor(8))
    server.add_generic_rpc_handlers((Service(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    proxy, authority = sys.stdin.readline().split()
    with open(authority, "rb") as file:
        credentials = grpc.ssl_channel_credentials(file.read())
    with grpc.secure_channel(f"localhost:{proxy}", credentials) as channel:
        print(json.dumps(talk(channel)), flush=True)
    server.stop(0).wait()


main()
