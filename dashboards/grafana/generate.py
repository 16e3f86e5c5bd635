#!/usr/bin/env python3
"""Writes dashboards/*.json from source/*.py, or reports which of them are stale.

    dashboards/grafana/generate.py            write them
    dashboards/grafana/generate.py --check    write nothing, fail if one differs from its source
    dashboards/grafana/generate.py --out D --prometheus-uid P --sql-uid S --runbook-url U    for a Grafana of your own
"""

import argparse
import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.dont_write_bytecode = True
from source import api, overview, panels, pipeline, security  # noqa: E402

DASHBOARDS = [overview.DASHBOARD, api.DASHBOARD, security.DASHBOARD, pipeline.DASHBOARD]


def text_of(dashboard, options):
    text = json.dumps(dashboard, indent=2, ensure_ascii=False) + "\n"
    text = text.replace(f'"{panels.PROMETHEUS["uid"]}"', json.dumps(options.prometheus_uid))
    text = text.replace(f'"{panels.SQL["uid"]}"', json.dumps(options.sql_uid))
    return text.replace(panels.RUNBOOKS, options.runbook_url)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--check", action="store_true")
    arguments.add_argument("--out", type=pathlib.Path, default=HERE / "dashboards")
    arguments.add_argument("--prometheus-uid", default=panels.PROMETHEUS["uid"])
    arguments.add_argument("--sql-uid", default=panels.SQL["uid"])
    arguments.add_argument("--runbook-url", default=panels.RUNBOOKS)
    options = arguments.parse_args()
    stale = []
    for dashboard in DASHBOARDS:
        path, text = options.out / (dashboard["uid"] + ".json"), text_of(dashboard, options)
        if options.check and (not path.exists() or path.read_text() != text):
            stale.append(path)
        elif not options.check:
            options.out.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    for path in stale:
        print(f"{path} differs from its source: run dashboards/grafana/generate.py", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
