"""The result of a bench as a JSON file under bench/results: every bench writes the same schema, and report.py reads it.

    {"schema": 1,
     "bench": "proxy",                          a key of report.BENCHES
     "date": "2026-11-29",                      UTC, when the bench began
     "version": {"commit": "eaecc58", "note": "with uncommitted changes"},
     "machine": {"cpu": "AMD EPYC", "cores": 2, "kernel": "6.18.5", "note": "shared virtual machine"},
     "command": "make bench-proxy ARGS=…",
     "notes": ["…"],                            what a reader must know to judge the figures
     "figures": [{"part": "keepalive", "name": "CPU time per request", "of": "nginx, log off", "unit": "us",
                  "value": 26.2, "low": 25.9, "high": 27.0, "target": {"most": 30}, "note": "…"}]}

`value` is the median or the only measurement, `low` and `high` the smallest and largest. Without a value both ends must be
there. `of` names the subject where a bench compares several. What is not known is null or absent, and a note says so."""

import datetime
import json
import os
import subprocess
from pathlib import Path

SCHEMA = 1
ROOT = Path(__file__).resolve().parent.parent
FIELDS = {"schema", "bench", "date", "version", "machine", "command", "notes", "figures"}
FIGURE_FIELDS = {"part", "name", "of", "unit", "value", "low", "high", "target", "note"}


def machine():
    """What the kernel says about this machine."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {"cpu": models[0] if models else None, "cores": len(os.sched_getaffinity(0)), "kernel": os.uname().release}


def version():
    """The commit that is checked out, and whether the tree differs from it."""
    def git(*arguments):
        out = subprocess.run(["git", "-C", ROOT, *arguments], capture_output=True, text=True, check=False)
        return out.stdout.strip() if out.returncode == 0 else None
    dirty = git("status", "--porcelain", "--untracked-files=no")
    return {"commit": git("rev-parse", "--short=7", "HEAD"), **({"note": "with uncommitted changes"} if dirty else {})}


def begin(bench, command, notes=()):
    """A result without figures. The machine is read here: a bench that pins itself to a core calls this first."""
    return {"schema": SCHEMA, "bench": bench, "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
            "version": version(), "machine": machine(), "command": command, "notes": list(notes), "figures": []}


def figure(part, name, value, unit, **more):
    """One figure; absent fields are left out."""
    return {"part": part, "name": name, "value": value, "unit": unit,
            **{field: given for field, given in more.items() if given is not None}}


def problems(result):
    """What is wrong with a result, one sentence each."""
    found = []
    if result.get("schema") != SCHEMA:
        found.append(f"schema is {result.get('schema')}, not {SCHEMA}")
    if wrong := set(result) ^ FIELDS:
        found.append(f"missing or unknown fields: {', '.join(sorted(wrong))}")
    for nth, one in enumerate(result.get("figures", [])):
        where = f"figure {nth} ({one.get('part')}, {one.get('name')})"
        if unknown := set(one) - FIGURE_FIELDS:
            found.append(f"{where}: unknown fields {', '.join(sorted(unknown))}")
        if not all(isinstance(one.get(field), str) for field in ("part", "name", "unit")):
            found.append(f"{where}: part, name and unit are texts")
        ends = [one.get("low"), one.get("high")]
        if one.get("value") is None and None in ends and "note" not in one:
            found.append(f"{where}: no value, no range, and no note that says why")
        if set(one.get("target", {})) not in (set(), {"most"}, {"least"}):
            found.append(f"{where}: a target is {{\"most\": N}} or {{\"least\": N}}")
    return found


def save(result, path):
    """Writes a result, one figure a line, so that a diff shows which figures changed."""
    if found := problems(result):
        raise ValueError(f"{path}: {'; '.join(found)}")
    head = {field: given for field, given in result.items() if field != "figures"}
    figures = ",\n".join(f"  {json.dumps(one, ensure_ascii=False)}" for one in result["figures"])
    text = json.dumps(head, indent=1, ensure_ascii=False).removesuffix("\n}")
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(f"{text},\n \"figures\": [\n{figures}\n ]\n}}\n")
