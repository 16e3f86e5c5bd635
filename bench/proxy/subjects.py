"""The processes: one upstream and one collector on the other cores, every subject alone on the measured one."""

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import configs

MEASURED_CORE, OTHER_CORE = "0", "1"
START_SECONDS = 60
LARGE_BYTES = 1_000_000


def free_ports(count):
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


def listening(port, process):
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"nothing listens on {port}")


class Subject:
    def __init__(self, name, process, plain, tls):
        self.name, self.process, self.plain, self.tls = name, process, plain, tls

    def pids(self):
        """The process and its children: nginx serves from those."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [pid, *map(int, children)]


class Bench:
    """Everything that runs; ends it all on exit."""

    def __init__(self, folder, proxy, collector=None, pingora=None, envoy=None, unprofiled=None):
        self.folder, self.proxy, self.running = Path(folder), proxy, []
        self.pingora, self.envoy, self.unprofiled = pingora, envoy, unprofiled
        self.cert = self.folder / "server"
        self.certificates()
        (self.folder / "large").write_bytes(os.urandom(LARGE_BYTES))
        # Started by root, nginx reads it as another user.
        self.folder.chmod(0o711)
        (self.upstream,) = free_ports(1)
        self.start("upstream", ["nginx", "-p", self.folder, "-c", self.file("upstream.conf", configs.upstream(
            self.upstream, self.folder))], OTHER_CORE, self.upstream)
        self.collector = None
        if collector:
            self.collector = self.start("collector", [collector, self.folder / "collector"], OTHER_CORE)
            self.records = self.await_collector()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in reversed(self.running):
            self.end(process)

    def end(self, process):
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if process in self.running:
            self.running.remove(process)

    def certificates(self):
        subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                        "-days", "2", "-keyout", f"{self.cert}.key", "-out", f"{self.cert}.pem", *subject],
                       check=True, capture_output=True)
        both = Path(f"{self.cert}.pem").read_text() + Path(f"{self.cert}.key").read_text()
        Path(f"{self.cert}.both").write_text(both)

    def file(self, name, text):
        path = self.folder / name
        path.write_text(text)
        return path

    def start(self, name, command, core, port=None):
        log = (self.folder / f"{name}.log").open("wb")
        pinned = ["taskset", "-c", core, *map(str, command)]
        process = subprocess.Popen(pinned, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder)
        self.running.append(process)
        try:
            if port:
                listening(port, process)
        except RuntimeError as error:
            raise RuntimeError(f"{name}: {error}\n{(self.folder / f'{name}.log').read_text()[-2000:]}") from None
        return process

    def await_collector(self):
        """The collector prints the `records` section that ships to it."""
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            if found := re.search(r"^records: (\{.*\})$", (self.folder / "collector.log").read_text(), re.M):
                return found[1]
            time.sleep(0.05)
        raise RuntimeError((self.folder / "collector.log").read_text()[-2000:])

    def subject(self, name, routes=0):
        """Starts one subject by its name in the table."""
        plain, tls, admin = free_ports(3)
        short = re.sub(r"\W+", "-", name)
        home = self.folder / f"{short}-{routes}"
        home.mkdir(exist_ok=True)
        if name.startswith("nginx"):
            log = "off" if name.endswith("off") else f"{home}/access.json json"
            text = configs.nginx(plain, tls, self.upstream, self.cert, log, routes)
            command = ["nginx", "-p", home, "-c", self.file(f"{short}.conf", text)]
        elif name == "haproxy":
            text = configs.haproxy(plain, tls, self.upstream, self.cert, home, routes)
            command = ["haproxy", "-db", "-f", self.file("haproxy.cfg", text)]
        elif name == "envoy":
            text = configs.envoy(plain, tls, admin, self.upstream, self.cert, routes)
            command = [self.envoy, "--concurrency", "1", "-l", "error", "--disable-hot-restart", "-c",
                       self.file("envoy.json", text)]
        elif name == "pingora":
            command = [self.pingora, plain, tls, self.upstream, self.cert]
        else:
            records = self.records if name.endswith("records") else None
            text = configs.tollgate(plain, tls, admin, self.upstream, self.cert, records, routes)
            proxy = self.unprofiled if name.startswith("unprofiled") else self.proxy
            command = [proxy, "--config", self.file(f"{short}.yaml", text)]
        return Subject(name, self.start(short, command, MEASURED_CORE, plain), plain, tls)

    def known(self):
        """Every subject that this machine has."""
        names = ["nginx, log off", "nginx, JSON log"]
        names += ["haproxy"] if shutil.which("haproxy") else []
        names += ["envoy"] if self.envoy else []
        names += ["pingora"] if self.pingora else []
        names += ["unprofiled, records"] if self.unprofiled and self.collector else []
        return names + ["tollgate"] + (["tollgate, records"] if self.collector else [])
