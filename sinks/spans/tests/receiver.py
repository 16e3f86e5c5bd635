"""A receiver of OTLP/HTTP that is not of our making: http.server, and the messages as the Python SDK decodes them.

Prints its two ports, `TRACES CONTROL`, and runs until its standard input ends. With --certificate and --key the first one speaks TLS.

    GET /spans      what was taken, flat, ids in hexadecimal
    GET /requests   headers, spans and answer of every request
    PUT /rules      how to answer from now on; {} = take everything. Keys, each of them optional:
                    status, with media, retry_after, body   this answer to all
                    key         401 without this value of x-api-key
                    spans_max   413 for more spans in a request
                    poison      400 for a request with a span of this url.path
                    partial     spans to refuse of each request
"""

import argparse
import gzip
import json
import ssl
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse

PROTOBUF = "application/x-protobuf"
lock = threading.Lock()
rules, spans, requests = {}, [], []


def value(any_value):
    kind = any_value.WhichOneof("value")
    return getattr(any_value, kind) if kind else None


def attributes(pairs):
    keys = [pair.key for pair in pairs]
    assert len(set(keys)) == len(keys), f"an attribute stands twice: {keys}"
    return {pair.key: value(pair.value) for pair in pairs}


def flat(message):
    for resource_spans in message.resource_spans:
        resource = attributes(resource_spans.resource.attributes)
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                yield {
                    "trace_id": span.trace_id.hex(),
                    "span_id": span.span_id.hex(),
                    "parent_span_id": span.parent_span_id.hex(),
                    "flags": span.flags,
                    "name": span.name,
                    "kind": span.SpanKind.Name(span.kind),
                    "start_ns": span.start_time_unix_nano,
                    "end_ns": span.end_time_unix_nano,
                    "attributes": attributes(span.attributes),
                    "status": span.status.StatusCode.Name(span.status.code),
                    "message": span.status.message,
                    "resource": resource,
                    "scope": [scope_spans.scope.name, scope_spans.scope.version],
                    "schema_url": scope_spans.schema_url,
                }


def rpc_status(message):
    """google.rpc.Status with code 3 and this message, by hand: two fields."""
    text = message.encode()
    return b"\x08\x03\x12" + bytes([len(text)]) + text


def answer(headers, found):
    """Status, further headers, body."""
    if "key" in rules and headers.get("x-api-key") != rules["key"]:
        return 401, {"content-type": "text/plain"}, b"no such key"
    if "status" in rules:
        wait = {"retry-after": rules["retry_after"]} if "retry_after" in rules else {}
        return rules["status"], {"content-type": rules.get("media", "text/plain"), **wait}, rules.get("body", "").encode()
    if len(found) > rules.get("spans_max", len(found)):
        return 413, {"content-type": "text/plain"}, b"too many"
    if any(span["attributes"].get("url.path") == rules.get("poison", "") for span in found):
        return 400, {"content-type": PROTOBUF}, rpc_status("poisoned")
    response = ExportTraceServiceResponse()
    if "partial" in rules:
        response.partial_success.rejected_spans = rules["partial"]
        response.partial_success.error_message = "older than an hour"
    return 200, {"content-type": PROTOBUF}, response.SerializeToString()


class Quiet(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def body(self):
        return self.rfile.read(int(self.headers.get("content-length", 0)))

    def reply(self, status, headers, body):
        self.send_response(status)
        for name, text in {**headers, "content-length": str(len(body))}.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(body)


class Traces(Quiet):
    def do_POST(self):
        body = self.body()
        if self.path != "/v1/traces" or self.headers.get("content-type") != PROTOBUF:
            return self.reply(404, {}, b"")
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        message = ExportTraceServiceRequest()
        message.ParseFromString(body)
        found = list(flat(message))
        with lock:
            status, headers, said = answer(self.headers, found)
            requests.append({"headers": {k.lower(): v for k, v in self.headers.items()}, "spans": len(found), "status": status})
            if status == 200:
                spans.extend(found)
        self.reply(status, headers, said)


class Control(Quiet):
    def do_GET(self):
        with lock:
            body = json.dumps({"/spans": spans, "/requests": requests}[self.path]).encode()
        self.reply(200, {"content-type": "application/json"}, body)

    def do_PUT(self):
        with lock:
            rules.clear()
            rules.update(json.loads(self.body()))
        self.reply(200, {}, b"")


def serve(handler, context=None):
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    # A client that does not trust the certificate is part of the test.
    server.handle_error = lambda *args: None
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--certificate")
    parser.add_argument("--key")
    options = parser.parse_args()
    context = None
    if options.certificate:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(options.certificate, options.key)
    print(serve(Traces, context), serve(Control), flush=True)
    sys.stdin.read()


main()
