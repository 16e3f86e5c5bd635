"""Expands a query as Grafana does before it sends it: variables, intervals, and the macros of the PostgreSQL data source."""

import datetime
import json
import re

# Grafana asks for about one point per pixel of a panel's width; this is the width of a panel of a laptop's screen.
MAX_POINTS = 800
# Minimal interval of both data sources (timeInterval in provisioning/datasources).
MIN_INTERVAL_S = 5
# (up to this many milliseconds a point, take this interval): how Grafana rounds.
ROUNDING_MS = [
    (10, 1), (15, 10), (35, 20), (75, 50), (150, 100), (350, 200), (750, 500), (1_500, 1_000), (3_500, 2_000), (7_500, 5_000),
    (12_500, 10_000), (17_500, 15_000), (25_000, 20_000), (45_000, 30_000), (90_000, 60_000), (210_000, 120_000), (450_000, 300_000),
    (750_000, 600_000), (1_050_000, 900_000), (1_500_000, 1_200_000), (2_700_000, 1_800_000), (5_400_000, 3_600_000),
    (9_000_000, 7_200_000), (16_200_000, 10_800_000), (32_400_000, 21_600_000), (86_400_000, 43_200_000), (604_800_000, 86_400_000),
]
LONGEST_MS = 604_800_000
UNIT_S = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
MACRO = re.compile(r"\$([_a-zA-Z0-9]+)\(([^)]*)\)")
VARIABLE = re.compile(r"\$\{(\w+)(?::(\w+))?\}|\$(\w+)|\[\[(\w+)\]\]")


def duration_s(text):
    """Returns the seconds of a duration such as 10s or 5m."""
    match = re.fullmatch(r"([\d.]+)(ms|s|m|h|d|w)", text)
    if not match:
        raise ValueError(f"not a duration: {text}")
    return float(match[1]) * UNIT_S[match[2]]


def duration_text(seconds):
    """Returns a duration as Grafana writes it, in its shortest form."""
    for unit in ("d", "h", "m", "s"):
        if seconds >= UNIT_S[unit] and seconds % UNIT_S[unit] == 0:
            return f"{int(seconds // UNIT_S[unit])}{unit}"
    return f"{int(seconds * 1000)}ms"


class Range:
    """A time range of a dashboard, in seconds since 1970, with the intervals that follow from it."""

    def __init__(self, start, end, points=MAX_POINTS):
        self.start, self.end = start, end
        wanted_ms = (end - start) * 1000 / points
        rounded_ms = next((interval for limit, interval in ROUNDING_MS if wanted_ms < limit), LONGEST_MS)
        self.interval_s = max(rounded_ms / 1000, MIN_INTERVAL_S)
        self.rate_interval_s = max(self.interval_s + MIN_INTERVAL_S, 4 * MIN_INTERVAL_S)

    def builtins(self):
        """Returns the variables that Grafana itself sets for this range."""
        length = int(self.end - self.start)
        return {
            "__interval": duration_text(self.interval_s), "__interval_ms": str(int(self.interval_s * 1000)),
            "__rate_interval": duration_text(self.rate_interval_s), "__range": f"{length}s", "__range_s": str(length),
            "__range_ms": str(length * 1000), "__from": str(int(self.start * 1000)), "__to": str(int(self.end * 1000)),
        }


def with_variables(text, values, builtins):
    """Returns `text` with every variable replaced. Raises KeyError for a variable that the dashboard does not have."""

    def replace(match):
        name, style = match[1] or match[3] or match[4], match[2]
        if name in builtins:
            return builtins[name]
        if match[3] and name.startswith("__"):
            return match[0]
        if name not in values:
            raise KeyError(name)
        return formatted(values[name], style)

    return VARIABLE.sub(replace, text)


def formatted(value, style):
    """Returns the single value of a variable in one of Grafana's formats."""
    if style == "sqlstring":
        return "'" + value.replace("'", "''") + "'"
    if style == "regex":
        return re.escape(value)
    if style == "doublequote":
        return json.dumps(value)
    if style in (None, "raw", "text"):
        return value
    raise ValueError(f"format {style} is not used here")


def with_macros(sql, span):
    """Returns `sql` with the macros of the PostgreSQL data source expanded, as without TimescaleDB."""

    def expand(match):
        name, arguments = match[1], [argument.strip(" ") for argument in match[2].split(",")]
        if name == "__timeGroup" and sql[match.end():match.end() + 1] == ",":
            name = "__timeGroupAlias"
        return _macro(name, arguments, span)

    return MACRO.sub(expand, sql)


def _macro(name, arguments, span):
    start, end = _rfc3339(span.start), _rfc3339(span.end)
    column = arguments[0]
    if name == "__time":
        return f'{column} AS "time"'
    if name == "__timeEpoch":
        return f'extract(epoch from {column}) as "time"'
    if name == "__timeFilter":
        return f"{column} BETWEEN '{start}' AND '{end}'"
    if name in ("__timeFrom", "__timeTo"):
        return f"'{start if name == '__timeFrom' else end}'"
    if name in ("__timeGroup", "__timeGroupAlias"):
        seconds = f"{duration_s(arguments[1].strip(chr(39))):g}"
        group = f"floor(extract(epoch from {column})/{seconds})*{seconds}"
        return group + (' AS "time"' if name == "__timeGroupAlias" else "")
    raise ValueError(f"unknown macro {name}")


def _rfc3339(seconds):
    at = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    fraction = f".{at.microsecond:06d}".rstrip("0").rstrip(".") if at.microsecond else ""
    return at.strftime("%Y-%m-%dT%H:%M:%S") + fraction + "Z"
