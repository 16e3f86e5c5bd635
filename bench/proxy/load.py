"""Load, and what it cost: CPU time of the process under test over the requests that it answered."""

import json
import os
import re
import socket
import ssl
import subprocess
import tempfile
import time
from pathlib import Path

LUA = Path(__file__).with_name("wrk.lua")
# Longest that one load may take beyond its time: it is ended then, and the bench with it.
PATIENCE_SECONDS = 60


def cpu_seconds(pids):
    """Time that the threads of processes were on a core so far, user and system, to the nanosecond: proc(5)'s stat counts
    in ticks of 10 ms, which is coarse for a short load."""
    tasks = [task for pid in pids for task in Path(f"/proc/{pid}/task").iterdir()]
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def rss_mib(pids):
    lines = [re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text()) for pid in pids]
    return sum(int(line[1]) for line in lines) / 1024


def wrk(url, connections, seconds, routes=0):
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(LUA), url]
    out = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + PATIENCE_SECONDS,
                         env={**os.environ, "ROUTES": str(routes)}).stdout
    found = json.loads(out.rpartition("JSON ")[2])
    if found["errors"]:
        raise RuntimeError(f"{url}: {found['errors']} of {found['requests']} requests failed:\n{out}")
    return {"requests": found["requests"], "seconds": found["seconds"],
            **{name: found[name] for name in ("p50", "p99", "p999")}}


def h2load(url, seconds):
    """HTTP/2, 4 connections with 8 streams each; latencies from its log of every request, in microseconds."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log")
        command = ["h2load", "-t1", "-c4", "-m8", "-D", str(seconds), f"--log-file={log}", url]
        started = time.monotonic()
        out = subprocess.run(command, capture_output=True, text=True, check=True,
                             timeout=seconds + PATIENCE_SECONDS).stdout
        took = time.monotonic() - started
        lines = [line.split() for line in log.read_text().splitlines()]
    waits = sorted(int(line[2]) for line in lines if line[1] == "200")
    if "Application protocol: h2" not in out or not waits or len(waits) < 0.99 * len(lines):
        raise RuntimeError(f"{url}: {out}")
    at = {name: waits[min(len(waits) - 1, int(len(waits) * share))]
          for name, share in (("p50", .5), ("p99", .99), ("p999", .999))}
    return {"requests": len(waits), "seconds": took, **at}


def handshakes(port, seconds, resumed):
    """One TLS 1.3 connection after the other, each with one request; `resumed`: with a ticket of the one before."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    request = b"GET /members/4711 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    waits, session, started = [], None, time.monotonic()
    while time.monotonic() - started < seconds:
        began = time.perf_counter()
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS) as raw:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with context.wrap_socket(raw, server_hostname="localhost", session=session if resumed else None) as tls:
                waits.append((time.perf_counter() - began) * 1e6)
                if resumed and session is not None and not tls.session_reused:
                    raise RuntimeError(f"port {port} did not resume the session")
                tls.sendall(request)
                answer = b""
                while part := tls.recv(65536):
                    answer += part
                session = tls.session
        if b" 200 " not in answer[:20]:
            raise RuntimeError(f"port {port}: {answer[:200]!r}")
    waits.sort()
    at = {name: waits[min(len(waits) - 1, int(len(waits) * share))]
          for name, share in (("p50", .5), ("p99", .99), ("p999", .999))}
    return {"requests": len(waits), "seconds": time.monotonic() - started, **at}


def idle_connections(port, count):
    """Opens TLS connections that have served one request; the caller closes them."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    opened = []
    for _ in range(count):
        raw = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS)
        tls = context.wrap_socket(raw, server_hostname="localhost")
        tls.sendall(b"GET /members/1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        if not tls.recv(65536).startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"port {port} did not answer connection {len(opened)}")
        opened.append(tls)
    return opened
