"""The PrometheusRule object is docker/prometheus, and says so when it is not."""

import sys

import pytest
import yaml

from tests.unit.deployment.files import module, read


@pytest.fixture
def rules(tmp_path, monkeypatch):
    """The program, on two files of rules of its own."""
    found = module("rules")
    sources = (tmp_path / "recording.yml", tmp_path / "alerts.yml")
    sources[0].write_text("groups:\n  - name: a\n    rules: [{record: x:y:z, expr: up}]\n")
    sources[1].write_text("groups:\n  - name: b\n    rules: [{alert: Down, expr: up == 0}]\n")
    monkeypatch.setattr(found, "SOURCES", sources)
    monkeypatch.setattr(found, "TARGET", tmp_path / "prometheusrule.yaml")
    return found


def test_it_holds_the_groups_of_both_files(rules, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["rules.py"])
    assert rules.main() == 0
    found = read(rules.TARGET)
    assert [group["name"] for group in found["spec"]["groups"]] == ["a", "b"]
    module("validate").check(found)


def test_a_stale_one_is_refused(rules, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["rules.py", "--check"])
    assert rules.main() == 1
    assert "make render" in capsys.readouterr().err
    rules.TARGET.write_text(rules.rendered())
    assert rules.main() == 0
    rules.TARGET.write_text(yaml.safe_dump({"kind": "PrometheusRule"}))
    assert rules.main() == 1


def test_ours_is_up_to_date():
    found = module("rules")
    assert found.TARGET.read_text(encoding="utf-8") == found.rendered()
