"""A strict parser of Prometheus' text format, version 0.0.4 (prometheus.io, "Exposition formats")."""

import math
import re
from collections import defaultdict

Labels = frozenset[tuple[str, str]]
Samples = dict[tuple[str, Labels], float]

_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_LABEL = r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"'
_SAMPLE = rf"({_NAME})(?:{{((?:{_LABEL})(?:,{_LABEL})*)}})? (?P<value>\S+)"
_ESCAPES = {r"\\": "\\", r"\"": '"', r"\n": "\n"}
_SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("",), "gauge": ("",)}


def parse(text: str) -> Samples:
    """Return the value of each series, and assert that the text keeps all rules of the format."""
    assert text == "" or text.endswith("\n")
    kinds: dict[str, str] = {}
    helped: set[str] = set()
    samples: Samples = {}
    family = ""
    for line in text.split("\n")[:-1]:
        if line.startswith("# HELP "):
            family = _matched(rf"# HELP ({_NAME}) \S.*", line)[1]
            assert family not in helped, f"{family} in two places"
            helped.add(family)
        elif line.startswith("# TYPE "):
            name, kind = _matched(rf"# TYPE ({_NAME}) (counter|gauge|histogram)", line).groups()
            assert name == family
            kinds[name] = kind
            assert kind != "counter" or name.endswith("_total")
        elif not line.startswith("#"):
            name, labels, value = _sample(line)
            assert name in {family + suffix for suffix in _SUFFIXES[kinds[family]]}, f"{name} within {family}"
            assert (name, labels) not in samples, f"twice: {line}"
            samples[name, labels] = value
    for name in (name for name, kind in kinds.items() if kind == "histogram"):
        _check_histogram(name, samples)
    return samples


def value(samples: Samples, name: str, **labels: str) -> float:
    """Return the sum of the series of a name that have these labels."""
    return sum(number for (each, its), number in samples.items() if each == name and set(labels.items()) <= its)


def _sample(line: str) -> tuple[str, Labels, float]:
    match = _matched(_SAMPLE, line)
    pairs = re.findall(_LABEL, match[2] or "")
    assert len({name for name, _ in pairs}) == len(pairs)
    return match[1], frozenset((name, _unescaped(text)) for name, text in pairs), float(match["value"])


def _matched(pattern: str, line: str) -> re.Match[str]:
    match = re.fullmatch(pattern, line)
    assert match, f"not valid: {line}"
    return match


def _unescaped(text: str) -> str:
    return re.sub(r"\\.", lambda match: _ESCAPES[match[0]], text)


def _check_histogram(name: str, samples: Samples) -> None:
    buckets: dict[Labels, list[tuple[float, float]]] = defaultdict(list)
    for (each, labels), count in samples.items():
        if each == f"{name}_bucket":
            bound = float(dict(labels)["le"])
            buckets[frozenset(pair for pair in labels if pair[0] != "le")].append((bound, count))
    for labels, found in buckets.items():
        assert found == sorted(found), "buckets in order, none below the one before"
        assert [count for _, count in found] == sorted(count for _, count in found)
        assert found[-1] == (math.inf, samples[f"{name}_count", labels])
        assert samples[f"{name}_sum", labels] >= 0
