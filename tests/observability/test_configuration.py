"""The files of `observability/`: rules by promtool, and the dashboard's form."""

import json
import re
import subprocess
from typing import Any

import pytest
import yaml

from tests.observability.conftest import CONFIGURATION, ROOT, program

PROMETHEUS = CONFIGURATION / "prometheus"
ALERTS = [
    rule for group in yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"] for rule in group["rules"]
]


@pytest.mark.parametrize(
    "command",
    [("check", "config", "prometheus.yml"), ("check", "rules", "alerts.yml"), ("test", "rules", "alerts_test.yml")],
)
def test_promtool_accepts_the_configuration_and_its_alerts_fire_when_they_should(command: tuple[str, ...]) -> None:
    done = subprocess.run([program("promtool"), *command], cwd=PROMETHEUS, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_is_tested_firing_and_silent_and_says_what_to_do() -> None:
    tested = (PROMETHEUS / "alerts_test.yml").read_text()
    for rule in ALERTS:
        assert f"alertname: {rule['alert']}," in tested
        assert f'alertname="{rule["alert"]}"' in tested
        assert set(rule["annotations"]) == {"summary", "action"}
        for path in re.findall(r"docs/[\w/-]+\.md", rule["annotations"]["action"]):
            assert (ROOT / path).is_file()


def dashboard() -> dict[str, Any]:
    content: dict[str, Any] = json.loads((CONFIGURATION / "grafana" / "dashboards" / "mimeo.json").read_text())
    return content


def test_panels_have_their_own_ids_and_places_and_the_provisioned_data_source() -> None:
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(cells)) == len(cells)
    sources = yaml.safe_load((CONFIGURATION / "grafana/provisioning/datasources/prometheus.yml").read_text())
    known = {source["uid"] for source in sources["datasources"]}
    assert {target["datasource"]["uid"] for panel in panels for target in panel.get("targets", ())} <= known
    assert all(panel["description"] for panel in panels if panel["type"] != "row")
