"""Writes ``base/prometheusrule.yaml`` out of ``docker/prometheus``, so that rules stand once.

``python docker/kubernetes/rules.py`` writes it, ``--check`` says whether it is as it should be.
Kustomize cannot do this: it puts files into ConfigMaps, and Prometheus' operator wants rules in
an object of its own.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
SOURCES = tuple(HERE.parent / "prometheus" / name for name in ("recording.yml", "alerts.yml"))
TARGET = HERE / "base" / "prometheusrule.yaml"
_HEAD = "# Written by `make render` from docker/prometheus; change the rules there.\n"


def rendered() -> str:
    """The object, as YAML.

    Raises:
        OSError, KeyError: a file of rules is missing, or has no groups.
    """
    files = [yaml.safe_load(source.read_text(encoding="utf-8")) for source in SOURCES]
    rule: dict[str, Any] = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "millirank"},
        "spec": {"groups": [group for file in files for group in file["groups"]]},
    }
    return _HEAD + yaml.dump(rule, Dumper=_Lines, sort_keys=False, width=100, allow_unicode=True)


class _Lines(yaml.SafeDumper):
    """Writes a text of several lines as such."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style)


_Lines.add_representer(str, _text)


def main() -> int:
    """0, or 1 and a sentence on standard error."""
    text = rendered()
    if "--check" not in sys.argv:
        TARGET.write_text(text, encoding="utf-8")
    elif not TARGET.is_file() or TARGET.read_text(encoding="utf-8") != text:
        print(f"{TARGET} differs from docker/prometheus; run: make render", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
