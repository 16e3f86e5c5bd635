"""The raw requests of the recording, and their answers. Every request has a connection of its own."""

import socket
import ssl

TIMEOUT_SECONDS = 20
AGENT = "User-Agent: recorder/1.0\r\n"


def _get(path, *headers, method="GET", version="HTTP/1.1", host="Host: api.example.com\r\n"):
    return (f"{method} {path} {version}\r\n{host}{AGENT}" + "".join(f"{line}\r\n" for line in headers)
            + "Connection: close\r\n\r\n").encode()


# Name, listener, bytes.
REQUESTS = [
    ("get", "http", _get("/a/thing")),
    ("head", "http", _get("/a/thing", method="HEAD")),
    ("http10", "http", _get("/a/thing", version="HTTP/1.0")),
    ("options-star", "http", _get("*", method="OPTIONS")),
    ("query", "http", _get("/a/thing?token=secret&page=2&page=3&q=%27%20or%201")),
    ("echo-forwarding", "http", _get("/a/echo", "X-Forwarded-For: 203.0.113.7, 198.51.100.1", "Forwarded: for=203.0.113.7",
                                     "TE: trailers", "Keep-Alive: 5", "X-Request-ID: mine", "Via: 1.1 other")),
    ("echo-trace", "http", _get("/a/echo", "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                                "tracestate: a=1,b=2")),
    ("echo-post", "http", b"POST /a/echo HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: 5\r\n"
                          b"Content-Type: application/json\r\nConnection: close\r\n\r\n[1,2]"),
    ("echo-chunked", "http", b"POST /a/echo HTTP/1.1\r\nHost: api.example.com\r\nTransfer-Encoding: chunked\r\n"
                             b"Connection: close\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nTrailer: t\r\n\r\n"),
    ("expect-continue", "http", b"POST /a/echo HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: 2\r\n"
                                b"Expect: 100-continue\r\nConnection: close\r\n\r\nok"),
    ("basic-auth", "http", _get("/a/echo", "Authorization: Basic YTpi", "Cookie: session=1")),
    ("bearer", "http", _get("/a/thing", "Authorization: Bearer abc.def.ghi")),
    ("dot-segments", "http", _get("/a/x/../%2e%2e/a//echo")),
    ("encoded-slash", "http", _get("/a/x%2Fy/echo")),
    ("encoded-null", "http", _get("/a/x%00y")),
    ("bad-escape", "http", _get("/a/x%zz")),
    ("absolute-form", "http", _get("http://api.example.com/a/thing")),
    ("no-route", "http", _get("/nowhere/at/all")),
    ("no-host", "http", _get("/a/thing", host="")),
    ("two-hosts", "http", _get("/a/thing", "Host: other.example.com")),
    ("bad-version", "http", _get("/a/thing", version="HTTP/3.7")),
    ("bad-method", "http", _get("/a/thing", method="G@T")),
    ("bare-nonsense", "http", b"hello there\r\n\r\n"),
    ("two-lengths", "http", b"POST /a/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc"),
    ("length-and-chunked", "http", b"POST /a/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n"
                                   b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("bad-chunk", "http", b"POST /a/echo HTTP/1.1\r\nHost: api.example.com\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
    ("space-before-colon", "http", _get("/a/thing", "X-Odd : 1")),
    ("folded-header", "http", _get("/a/thing", "X-Odd: 1", " folded")),
    ("many-headers", "http", _get("/a/thing", *[f"X-{number}: {number}" for number in range(300)])),
    ("long-head", "http", _get("/a/thing", "X-Long: " + "a" * 100_000)),
    ("too-large", "http", b"POST /small/echo HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: 2000\r\n"
                          b"Connection: close\r\n\r\n" + b"x" * 2000),
    ("method-not-allowed", "http", _get("/a/only-get/thing", method="DELETE")),
    ("connect", "http", _get("api.example.com:443", method="CONNECT")),
    ("upgrade-refused", "http", b"GET /a/thing HTTP/1.1\r\nHost: api.example.com\r\nConnection: Upgrade\r\n"
                                b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"),
    ("redirect", "http", _get("/a/moved")),
    ("not-found", "http", _get("/a/missing")),
    ("upstream-fails", "http", _get("/a/fails")),
    ("upstream-closes", "http", _get("/a/closes")),
    ("upstream-closes-post", "http", b"POST /a/closes HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: 2\r\n"
                                     b"Connection: close\r\n\r\nok"),
    ("upstream-truncates", "http", _get("/a/truncates")),
    ("upstream-nonsense", "http", _get("/a/nonsense")),
    ("upstream-chunked", "http", _get("/a/chunked")),
    ("upstream-chunked-http10", "http", _get("/a/chunked", version="HTTP/1.0")),
    ("upstream-late", "http", _get("/impatient/late")),
    ("upstream-refuses", "http", _get("/refused/thing")),
    ("certificate-needed", "http", _get("/partners/thing")),
    ("tls", "https", _get("/a/echo")),
    ("tls-no-certificate", "https", _get("/partners/thing")),
    ("tls-certificate", "https-partner", _get("/partners/echo")),
    ("tls-stranger", "https-stranger", _get("/a/thing")),
    ("tls-other-name", "https-other", _get("/a/thing")),
    ("plain-on-tls", "plain-https", _get("/a/thing")),
    ("tls-on-plain", "https-http", _get("/a/thing")),
]


def _context(tls, identity):
    context = ssl.create_default_context(cafile=tls / "ca.pem")
    context.check_hostname = False
    if identity:
        context.load_cert_chain(tls / f"{identity}.pem", tls / f"{identity}.key")
    return context


def _read(connection):
    answer = b""
    try:
        while chunk := connection.recv(65536):
            answer += chunk
    except TimeoutError:
        return answer + b"\n(not closed in time)\n"
    except (ssl.SSLError, OSError) as error:
        # What had come by then depends on who was faster: only the kind of the end is stable.
        return answer + f"\n(ended with {type(error).__name__})\n".encode()
    return answer


def exchange(listener, request, ports, tls):
    """Sends the request and returns the answer's bytes to the end of the connection."""
    port = ports["http"] if listener in ("http", "https-http") else ports["https"]
    connection = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_SECONDS)
    try:
        if listener.startswith("https"):
            identity = {"https-partner": "partner", "https-stranger": "stranger"}.get(listener)
            name = "other.example.com" if listener == "https-other" else "localhost"
            connection = _context(tls, identity).wrap_socket(connection, server_hostname=name)
        connection.sendall(request)
        return _read(connection)
    except (ssl.SSLError, OSError) as error:
        return f"(no answer: {type(error).__name__})\n".encode()
    finally:
        connection.close()
