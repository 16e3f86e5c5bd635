"""The upstream of the recording: one server on loopback that answers by the path of the request."""

import socket
import threading
import time


def _read_head(connection):
    head = b""
    while b"\r\n\r\n" not in head:
        chunk = connection.recv(65536)
        if not chunk:
            return None, b""
        head += chunk
    head, _, rest = head.partition(b"\r\n\r\n")
    return head.decode("latin-1"), rest


def _read_body(connection, head, rest):
    names = {line.partition(":")[0].lower(): line.partition(":")[2].strip() for line in head.split("\r\n")[1:]}
    if "chunked" in names.get("transfer-encoding", ""):
        while not rest.endswith(b"0\r\n\r\n"):
            rest += connection.recv(65536)
        return rest
    while len(rest) < int(names.get("content-length", "0")):
        rest += connection.recv(65536)
    return rest


def _answer(status, body, headers=()):
    lines = [f"HTTP/1.1 {status}", "Server: sample", "Date: Thu, 01 Jan 1970 00:00:00 GMT", *headers]
    lines += [f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


def _serve(connection):
    with connection:
        while True:
            head, rest = _read_head(connection)
            if head is None:
                return
            path = head.split(" ")[1].partition("?")[0]
            if path.endswith("/closes"):
                return
            body = _read_body(connection, head, rest)
            if path.endswith("/truncates"):
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf of it")
                return
            if path.endswith("/late"):
                time.sleep(3)
            if path.endswith("/fails"):
                connection.sendall(_answer("500 Internal Server Error", b"broken\n"))
            elif path.endswith("/nonsense"):
                connection.sendall(b"this is no HTTP\r\n\r\n")
                return
            elif path.endswith("/chunked"):
                connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
            elif path.endswith("/moved"):
                connection.sendall(_answer("302 Found", b"", ["Location: /elsewhere", "Set-Cookie: a=b"]))
            elif path.endswith("/echo"):
                # The head as the upstream reads it shows what the proxy forwards, in which order.
                connection.sendall(_answer("200 OK", head.encode("latin-1") + b"\n\n" + body))
            elif path.endswith("/missing"):
                connection.sendall(_answer("404 Not Found", b"no such thing\n"))
            else:
                head_only = head.startswith("HEAD ")
                answer = _answer("200 OK", b"fine\n", ["Content-Type: text/plain"])
                connection.sendall(answer[:-5] if head_only else answer)


def start():
    """Starts the server and returns its port. It ends with the process."""
    listener = socket.create_server(("127.0.0.1", 0))

    def accept():
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=_serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return listener.getsockname()[1]
