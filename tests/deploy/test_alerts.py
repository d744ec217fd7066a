"""The alerting rules, and the sections of the runbook that they point to."""

import re
import subprocess

import yaml  # type: ignore[import-untyped]

from tests.deploy.installation import ROOT

RULES = [
    rule for group in yaml.safe_load((ROOT / "deploy/alerts.yaml").read_text())["groups"] for rule in group["rules"]
]
CASES = yaml.safe_load((ROOT / "tests/deploy/alerts.test.yaml").read_text())["tests"]
RUNBOOK = (ROOT / "docs/how-to/operate.md").read_text()


def test_every_alert_fires_and_stops_when_it_should() -> None:
    """`alerts.test.yaml` has the cases."""
    checked = subprocess.run(
        ["promtool", "test", "rules", "tests/deploy/alerts.test.yaml"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    cases = [(each["alertname"], bool(each["exp_alerts"])) for case in CASES for each in case["alert_rule_test"]]
    assert {*cases} == {(rule["alert"], fires) for rule in RULES for fires in (True, False)}


def test_every_alert_has_a_section_in_the_runbook() -> None:
    alerts = [rule["alert"] for rule in RULES]
    assert re.findall(r"^### (Todo\w+)$", RUNBOOK, flags=re.MULTILINE) == alerts
    for rule in RULES:
        assert rule["annotations"]["runbook"] == f"docs/how-to/operate.md#{rule['alert'].lower()}"
        assert rule["labels"]["severity"] in ("page", "ticket")
