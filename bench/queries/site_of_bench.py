"""A collector with a table, filled by `tollgate load-test`, for the benches that ask and store."""

import json
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from pathlib import Path

CONFIG = """ingest:
  address: 127.0.0.1:{ingest}
  tls: {{certificate: tls/collector.pem, key: tls/collector.key, client_ca: tls/ca.pem}}
journal: {{dir: journal, bytes_max: 4 GiB, high_water_bytes: 3 GiB}}
admin: {{address: 127.0.0.1:{admin}}}
sinks:
  table: {{dir: table{table}}}
"""
QUERIES = """queries:
  rollups: {rollups}
  postgres: {{address: 127.0.0.1:{postgres}}}
  http: {{address: 127.0.0.1:{query}}}
"""
QUERY_PROCESS = """table: {{dir: table}}
admin: {{address: 127.0.0.1:{admin}}}
"""
NODE = "load-1"


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Site:
    """A folder with certificates, a configuration, and the processes that use them."""

    def __init__(self, folder, tollgate, merge_every="10s"):
        self.folder, self.tollgate, self.processes = Path(folder), tollgate, []
        self.ports = {name: free_port() for name in ("ingest", "admin", "postgres", "query")}
        (self.folder / "tls").mkdir(parents=True, exist_ok=True)
        self.certificates()
        self.configure("collector.yaml", CONFIG, rollups="true", table=f", merge_every: {merge_every}", **self.ports)

    def configure(self, name, head, **values):
        (self.folder / name).write_text((head + QUERIES).format(**values))

    def certificates(self):
        tls = self.folder / "tls"
        run = lambda *arguments: subprocess.run(["openssl", *arguments], check=True, capture_output=True)
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        run("req", "-x509", *key, "-subj", "/CN=bench", "-days", "30", "-keyout", tls / "ca.key", "-out", tls / "ca.pem",
            "-addext", "basicConstraints=critical,CA:TRUE")
        for name, names in (("collector", "DNS:localhost,IP:127.0.0.1"), (NODE, f"DNS:{NODE}")):
            run("req", *key, "-subj", f"/CN={name}", "-keyout", tls / f"{name}.key", "-out", tls / f"{name}.csr")
            (tls / "extensions").write_text(f"subjectAltName={names}\nextendedKeyUsage=serverAuth,clientAuth\n")
            run("x509", "-req", "-in", tls / f"{name}.csr", "-CA", tls / "ca.pem", "-CAkey", tls / "ca.key", "-CAcreateserial",
                "-days", "30", "-extfile", tls / "extensions", "-out", tls / f"{name}.pem")

    def run(self, *arguments):
        subprocess.run([self.tollgate, *arguments], check=True, stdout=subprocess.DEVNULL)

    def start(self, *arguments, log="collector.log"):
        with open(self.folder / log, "ab") as file:
            process = subprocess.Popen([self.tollgate, *arguments], stdout=file, stderr=file, cwd=self.folder)
        self.processes.append(process)
        return process

    def collector(self):
        process = self.start("collector", "--config", str(self.folder / "collector.yaml"))
        self.until("the collector serves", lambda: self.page("admin", "/readyz") and self.page("query", "/healthz"), 120)
        return process

    def query_server(self, rollups):
        """A second query server on the same table, with roll-ups or without. Answers its port and its process."""
        ports = {name: free_port() for name in self.ports}
        told = subprocess.run([self.tollgate, "query", "--help"], capture_output=True, check=False)
        # A build without the command has a second collector, which receives nothing.
        command, head = ("query", QUERY_PROCESS) if told.returncode == 0 else ("collector", CONFIG.replace("dir: journal", "dir: journal-2"))
        self.configure("query.yaml", head, rollups=str(rollups).lower(), table=", merge_every: null", **ports)
        process = self.start(command, "--config", str(self.folder / "query.yaml"), log="query.log")
        self.until("the second query server serves", lambda: self.fetch(ports["query"], "/healthz"), 120)
        return ports["query"], process

    @staticmethod
    def fetch(port, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
            return answer.read().decode()

    def page(self, server, path):
        return self.fetch(self.ports[server], path)

    def until(self, what, holds, seconds):
        end = time.monotonic() + seconds
        while True:
            if any(process.poll() is not None for process in self.processes):
                raise RuntimeError(f"a process ended; see the logs in {self.folder}")
            try:
                if found := holds():
                    return found
            except OSError:
                pass
            if time.monotonic() > end:
                raise RuntimeError(f"never: {what}")
            time.sleep(0.2)

    def load(self, traffic, *more):
        """Sends traffic and answers the report."""
        command = [self.tollgate, "load-test", "--json", "--node", NODE, "--tls", str(self.folder / "tls"),
                   "--collector", f"127.0.0.1:{self.ports['ingest']}", *traffic, *more]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        report = json.loads(done.stdout.splitlines()[-1])
        if done.returncode:
            raise RuntimeError(f"not everything was acknowledged: {report}")
        return report

    def status(self):
        return json.loads(self.page("admin", "/status"))

    def metrics(self, server="admin"):
        """The metrics without labels, or summed over them."""
        found = {}
        for line in self.page(server, "/metrics").splitlines():
            if line and not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                name = name.split("{")[0]
                found[name] = found.get(name, 0.0) + float(value)
        return found

    def until_committed(self, seconds=3600):
        """Waits until the table holds everything that was acknowledged; answers how long that took."""
        began = time.monotonic()
        self.until("everything is committed", lambda: all(sink["lag_frames"] == 0 for sink in self.status()["sinks"]), seconds)
        return time.monotonic() - began

    def data_files(self):
        return len(self.files(self.folder / "table", ".parquet"))

    @staticmethod
    def files(folder, suffix=""):
        return [file for file in folder.rglob(f"*{suffix}") if file.is_file() and "_tollgate" not in file.parts]

    def until_settled(self, quiet, seconds=3600):
        """Waits until no file of the table was added or removed for `quiet` seconds; answers how long until the last was."""
        began = last = time.monotonic()
        seen = None
        while time.monotonic() - last < quiet:
            if time.monotonic() - began > seconds:
                raise RuntimeError("the table never comes to rest")
            table = json.loads(self.page("query", "/v1/table"))
            now = (table.get("files"), json.dumps(table.get("days")))
            if now != seen:
                seen, last = now, time.monotonic()
            time.sleep(1)
        return last - began

    def live_files(self):
        """The data files that the log names. All entries of the log are there: none is older than a day."""
        live = set()
        for entry in sorted((self.folder / "table" / "_delta_log").glob("*.json")):
            for line in entry.read_text().splitlines():
                action = json.loads(line)
                if "add" in action:
                    live.add(urllib.parse.unquote(action["add"]["path"]))
                elif "remove" in action:
                    live.discard(urllib.parse.unquote(action["remove"]["path"]))
        return live

    def has_rollups(self):
        """Whether roll-ups stand beside every data file: those of commits have none until they are merged."""
        beside = [self.folder / "table" / "_tollgate" / "v1" / path.removesuffix(".parquet") for path in self.live_files()]
        return beside and all(list(one.glob("*.parquet")) for one in beside)

    def sizes(self):
        """Bytes of the data files that the log names, of what stands beside them, and of the log. Files that merges have replaced
        stay for a day, and are not counted."""
        table = self.folder / "table"
        size = lambda paths: sum(path.stat().st_size for path in paths if path.is_file())
        live = self.live_files()
        beside = [table / "_tollgate" / "v1" / path.removesuffix(".parquet") for path in live]
        return {"data": size(table / path for path in live), "sidecars": sum(size(one.rglob("*")) for one in beside),
                "log": size((table / "_delta_log").rglob("*"))}

    @staticmethod
    def rss_mib(process):
        for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 1024
        return None

    def close(self):
        for process in reversed(self.processes):
            if process.poll() is None:
                process.terminate()
        for process in self.processes:
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
        self.processes = []
