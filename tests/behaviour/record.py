#!/usr/bin/env python3
"""Records the public behaviour of Tollgate's two programs in a folder of texts.

    tests/behaviour/record.py FOLDER_OF_BINARIES OUT

Starts an upstream, a collector and a proxy on free loopback ports, sends them raw requests, and writes what a user can
see: help texts, answers to right and wrong configuration files, HTTP answers, records, metrics, questions, SQL tables.
Ids, times and ports are placeholders, so the folders of two builds that behave alike are equal: `make behaviour`
records both and compares them with `diff -r`.
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import configurations
import exchanges
import upstream
from canonical import Canonical

WAIT_SECONDS = 60
# Long enough for `check` to have no warning to give.
DAYS = "365"
PORTS = ["http", "https", "proxy_admin", "ingest", "collector_admin", "postgres", "query", "nobody"]


def free_ports():
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in PORTS]
    ports = {name: listener.getsockname()[1] for name, listener in zip(PORTS, sockets)}
    for listener in sockets:
        listener.close()
    return ports


def certificates(folder):
    """Makes a CA, what it signed, and a stranger's certificate that it did not sign."""
    folder.mkdir()

    def openssl(*args):
        subprocess.run(["openssl", *args], cwd=folder, check=True, capture_output=True)

    def authority(name):
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", DAYS,
                "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem",
                "-addext", "keyUsage=critical,keyCertSign,cRLSign")

    def issue(name, common_name, names, usage, ca):
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={common_name}",
                "-keyout", f"{name}.key", "-out", f"{name}.csr")
        (folder / "extensions").write_text(
            f"subjectAltName={names}\nextendedKeyUsage={usage}\nbasicConstraints=critical,CA:FALSE\n")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{ca}.pem", "-CAkey", f"{ca}.key", "-CAcreateserial",
                "-days", DAYS, "-extfile", "extensions", "-out", f"{name}.pem")

    authority("ca")
    authority("unknown")
    for name in ["server", "collector"]:
        issue(name, "localhost", "DNS:localhost,IP:127.0.0.1", "serverAuth", "ca")
    issue("edge-1", "edge-1", "DNS:edge-1", "clientAuth", "ca")
    issue("partner", "partner", "DNS:partner.example", "clientAuth", "ca")
    issue("stranger", "stranger", "DNS:stranger.example", "clientAuth", "unknown")


def wait_for(what, condition):
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise SystemExit(f"gave up after {WAIT_SECONDS} s waiting for {what}")
        time.sleep(0.2)


def get(url):
    try:
        with urllib.request.urlopen(url, timeout=WAIT_SECONDS) as answer:
            return answer.status, answer.headers.get("content-type"), answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers.get("content-type"), error.read().decode()
    except OSError:
        return None, None, ""


class Recording:
    """One run: its binaries, its folder of work and its folder of results."""

    def __init__(self, binaries, out, work):
        self.binaries, self.out, self.work = binaries, out, work
        self.ports = free_ports()
        self.ports["upstream"] = upstream.start()
        self.canonical = Canonical(self.ports, {str(work): "WORK", str(binaries): "BIN"})
        self.env = {"PATH": os.environ["PATH"], "HOME": str(work), "COLUMNS": "100",
                    "TOLLGATE_URL": f"http://127.0.0.1:{self.ports['query']}",
                    "TOLLGATE_COLLECTOR_URL": f"http://127.0.0.1:{self.ports['collector_admin']}"}
        self.children = []

    def write(self, name, text):
        path = self.out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def run(self, *command):
        program, *args = command
        return subprocess.run([self.binaries / program, *args], cwd=self.work, env=self.env, capture_output=True,
                              text=True, stdin=subprocess.DEVNULL, timeout=WAIT_SECONDS)

    def command(self, name, *command):
        """Runs a command to its end and writes what it printed and how it ended."""
        done = self.run(*command)
        text = f"$ {' '.join(command)}\n--- status {done.returncode}\n--- stdout\n{done.stdout}--- stderr\n{done.stderr}"
        self.write(name, self.canonical.text(text))
        return done

    def helps(self, program, *path):
        done = self.command(f"help/{'-'.join((program, *path))}.txt", program, *path, "--help")
        commands = re.search(r"^Commands:\n((?:  .*\n)+)", done.stdout, re.M)
        for name in re.findall(r"^  ([a-z][a-z-]*)", commands[1] if commands else "", re.M):
            if name != "help":
                self.helps(program, *path, name)

    def configurations(self):
        for program, text, mistakes, check, show in [
            ("proxy", configurations.PROXY, configurations.PROXY_MISTAKES,
             ["tollgate-proxy", "check", "--config"], ["tollgate-proxy", "print-config", "--config"]),
            ("collector", configurations.COLLECTOR, configurations.COLLECTOR_MISTAKES,
             ["tollgate", "collector", "check", "--config"], ["tollgate", "collector", "print-config", "--config"]),
        ]:
            good = f"{program}.yaml"
            (self.work / good).write_text(text % self.ports)
            self.command(f"check/{program}-good.txt", *check, good)
            self.command(f"print-config/{program}.txt", *show, good)
            self.command(f"check/{program}-absent.txt", *check, "absent.yaml")
            for number, (old, new) in enumerate(mistakes):
                assert old in text, old
                (self.work / "wrong.yaml").write_text(text.replace(old, new, 1) % self.ports)
                self.command(f"check/{program}-{number:02}.txt", *check, "wrong.yaml")
        self.command("check/proxy-good-json.txt", "tollgate-proxy", "check", "--format", "json", "proxy.yaml")
        self.command("check/proxy-diff.txt", "tollgate-proxy", "diff", "proxy.yaml", "wrong.yaml")

    def start(self, name, *command):
        log = (self.work / f"{name}.log").open("w")
        child = subprocess.Popen([self.binaries / command[0], *command[1:]], cwd=self.work, env=self.env, stdout=log,
                                 stderr=log, stdin=subprocess.DEVNULL)
        self.children.append((name, child))

    def start_all(self):
        self.start("collector", "tollgate", "collector", "--config", "collector.yaml")
        self.start("proxy", "tollgate-proxy", "--config", "proxy.yaml")
        for port, page in [("collector_admin", "readyz"), ("proxy_admin", "readyz"), ("query", "healthz")]:
            wait_for(f"{port} to be ready", lambda: get(f"http://127.0.0.1:{self.ports[port]}/{page}")[0] == 200)

    def requests(self):
        for name, listener, request in exchanges.REQUESTS:
            answer = exchanges.exchange(listener, request, self.ports, self.work / "tls")
            shown = request if len(request) < 2000 else request[:200] + b"..."
            text = f"{listener}\n>>>\n{shown.decode('latin-1')}\n<<<\n{answer.decode('latin-1')}"
            self.write(f"http/{name}.txt", self.canonical.text(text.replace("\r", "")))

    def sql(self, query):
        done = self.run("tollgate", "sql", "--format", "json", query)
        answer = json.loads(done.stdout) if done.returncode == 0 else {"error": done.stderr}
        return answer

    def rows(self, query):
        answer = self.sql(query)
        return answer.get("rows", answer) if isinstance(answer, dict) else answer

    def records(self):
        count = lambda: self.rows("SELECT count(*) AS n FROM transactions")
        # A malformed head on a kept connection may leave no record; the number is stable once it stands still.
        seen = [None]

        def still():
            last, seen[0] = seen[0], count()
            time.sleep(1.5)
            return last == seen[0] and "error" not in str(last)

        wait_for("records", still)
        rows = self.rows("SELECT * FROM transactions ORDER BY seq")
        lines = [json.dumps(self.canonical.row(row) if isinstance(row, dict) else row, indent=1) for row in rows]
        self.write("records.txt", "\n".join(lines) + "\n")

    def tables(self):
        query = ("SELECT table_schema, table_name, column_name, ordinal_position, data_type, is_nullable "
                 "FROM information_schema.columns ORDER BY 1, 2, 4, 3")
        self.write("sql/columns.txt", self.canonical.text("\n".join(map(json.dumps, self.rows(query))) + "\n"))
        query = "SELECT DISTINCT routine_name, data_type FROM information_schema.routines ORDER BY 1, 2"
        self.write("sql/functions.txt", self.canonical.text("\n".join(map(json.dumps, self.rows(query))) + "\n"))
        for name, text in [
            ("ddl", "CREATE TABLE x (a int)"), ("copy", "COPY transactions TO '/tmp/x'"), ("syntax", "SELEC 1"),
            ("column", "SELECT no_such_column FROM transactions"), ("table", "SELECT * FROM no_such_table"),
            ("two", "SELECT 1; SELECT 2"), ("types", "SELECT 1::int8, 'a', true, NULL, 1.5, now() - now()"),
        ]:
            for form in ["table", "json", "csv"]:
                self.command(f"sql/{name}-{form}.txt", "tollgate", "sql", "--format", form, text)

    def questions(self):
        self.command("questions/list.txt", "tollgate", "ask")
        listed = json.loads(get(f"http://127.0.0.1:{self.ports['query']}/v1/questions")[2])
        questions = listed if isinstance(listed, list) else listed["questions"]
        given = {"service": "a", "route": "a", "id": "x", "trace_id": "0" * 32, "trace": "0" * 32}
        for question in questions:
            needed = [param["name"] for param in question["params"] if param.get("required")]
            args = [part for name in needed for part in (f"--{name}", given.get(name, "a"))]
            done = self.run("tollgate", "ask", "--format", "csv", question["name"], *args)
            text = f"{json.dumps(question, indent=1)}\n{done.returncode}\n{done.stdout.partition(chr(10))[0]}\n{done.stderr}"
            self.write(f"questions/{question['name']}.txt", self.canonical.text(text))
        self.command("questions/unknown.txt", "tollgate", "ask", "no-such-question")
        self.command("questions/parameter.txt", "tollgate", "ask", "why-failed")

    def metrics(self):
        for program, port in [("proxy", "proxy_admin"), ("collector", "collector_admin")]:
            lines = set()
            for line in get(f"http://127.0.0.1:{self.ports[port]}/metrics")[2].splitlines():
                if line.startswith("#"):
                    lines.add(line)
                elif found := re.match(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})? ", line):
                    lines.add(f"{found[1]} {','.join(re.findall(r'(?:^|,)([a-zA-Z_]+)=', found[2] or ''))}")
            self.write(f"metrics/{program}.txt", "\n".join(sorted(lines)) + "\n")
            for page in ["", "livez", "healthz", "readyz", "nothing"]:
                status, kind, body = get(f"http://127.0.0.1:{self.ports[port]}/{page}")
                self.write(f"admin/{program}-{page or 'root'}.txt", self.canonical.text(f"{status} {kind}\n{body}\n"))

    def commands(self):
        for name, *command in [
            ("find-nothing", "tollgate", "find", "no-such-id"),
            ("find-bad-url", "tollgate", "find", "--url", "http://127.0.0.1:1", "x"),
            ("dlq-list", "tollgate", "dlq", "list"),
            ("no-command", "tollgate"), ("unknown-command", "tollgate", "nothing"),
            ("unknown-option", "tollgate-proxy", "--nothing"), ("proxy-no-config", "tollgate-proxy"),
            ("version", "tollgate", "--version"), ("proxy-version", "tollgate-proxy", "--version"),
        ]:
            self.command(f"commands/{name}.txt", *command)

    def stop(self):
        statuses = []
        for name, child in reversed(self.children):
            child.send_signal(signal.SIGTERM)
            statuses.append(f"{name} {child.wait(timeout=WAIT_SECONDS)}")
        self.children = []
        self.write("exit.txt", "\n".join(statuses) + "\n")

    def kill(self):
        for _, child in self.children:
            child.kill()
            child.wait()

    def everything(self):
        certificates(self.work / "tls")
        (self.work / "hmac.key").write_text("a secret of the tests, 32 bytes!")
        for program in ["tollgate", "tollgate-proxy"]:
            self.helps(program)
        self.configurations()
        self.start_all()
        self.requests()
        self.records()
        self.tables()
        self.questions()
        self.metrics()
        self.commands()
        self.stop()


def main():
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    binaries, out = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
    if out.exists() and any(out.iterdir()):
        raise SystemExit(f"{out} is not empty")
    with tempfile.TemporaryDirectory(prefix="tollgate-behaviour-") as work:
        recording = Recording(binaries, out, Path(work).resolve())
        try:
            recording.everything()
        finally:
            recording.kill()
    print(f"recorded {sum(1 for path in out.rglob('*') if path.is_file())} files in {out}")


if __name__ == "__main__":
    main()
