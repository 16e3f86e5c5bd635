#!/usr/bin/env bash
# Checks the Prometheus rules, runs their tests, and checks the Alertmanager configuration and the dashboards.
set -euo pipefail
cd "$(dirname "$0")/../dashboards"
promtool check rules prometheus/rules/*.yaml
promtool test rules prometheus/tests/*.yaml
amtool check-config alertmanager/alertmanager.yml
python3 check.py --static
python3 grafana/generate.py --check
python3 tests/test_checking.py
