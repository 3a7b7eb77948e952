"""The dashboard asks for what there is; what the endpoint really gives is tested in tests/jobs/test_metrics.py."""

import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest

from jobs.run.prometheus import METRICS
from tests.jobs.run.endpoint import names_in

DASHBOARD = json.loads((Path(__file__).parents[3] / "cluster" / "deploy" / "grafana.json").read_text())
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
TARGETS = [(panel["title"], target) for panel in PANELS for target in panel.get("targets", ())]


def test_it_can_be_imported_beside_others() -> None:
    assert DASHBOARD["schemaVersion"] >= 36
    assert "id" not in DASHBOARD  # Grafana gives one; another dashboard's would be overwritten
    assert DASHBOARD["uid"] == "colorize"


def test_the_prometheus_is_chosen_by_a_variable() -> None:
    variables = {each["name"]: each for each in DASHBOARD["templating"]["list"]}
    assert (variables["datasource"]["type"], variables["datasource"]["query"]) == ("datasource", "prometheus")
    sources = [panel["datasource"]["uid"] for panel in PANELS if "datasource" in panel]
    assert set(sources) == {"${datasource}"}
    assert len(sources) == sum(panel["type"] != "row" for panel in PANELS)


def test_every_panel_is_of_the_chosen_clusters_and_runs() -> None:
    variables = [each["name"] for each in DASHBOARD["templating"]["list"]]
    assert variables == ["datasource", "cluster", "run"]
    for title, target in TARGETS:
        selectors = re.findall(r"ray_\w+\{([^}]*)\}", target["expr"])
        assert selectors, title
        assert len(selectors) == len(re.findall(r"\bray_(?!io_cluster)\w+", target["expr"])), title
        assert all('ray_io_cluster=~"$cluster"' in selector for selector in selectors), title
        ours = re.findall(r"ray_colorize_\w+\{([^}]*)\}", target["expr"])
        assert all('run=~"$run"' in selector for selector in ours), title


def test_it_says_what_it_is() -> None:
    assert "colorize" in DASHBOARD["description"]


def test_panels_have_ids_of_their_own() -> None:
    ids = [panel["id"] for panel in PANELS]
    assert len(ids) == len(set(ids))


def test_panels_do_not_overlap() -> None:
    places = [(panel["title"], panel["gridPos"]) for panel in PANELS]
    for (one, a), (other, b) in itertools.combinations(places, 2):
        beside = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
        above = a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]
        assert beside or above, f"{one} and {other} overlap"
    assert all(place["x"] >= 0 and place["x"] + place["w"] <= 24 for _, place in places)


def test_every_metric_of_ours_is_shown() -> None:
    asked = set().union(*(names_in(target["expr"]) for _, target in TARGETS))
    for metric in METRICS:
        assert asked & set(metric.exported), f"{metric.name} is on no panel"


@pytest.mark.parametrize(("title", "target"), TARGETS, ids=lambda value: value if isinstance(value, str) else "")
def test_names_of_ours_exist(title: str, target: dict[str, Any]) -> None:
    known = {name for metric in METRICS for name in metric.exported}
    ours = {name for name in names_in(target["expr"]) if name.startswith("ray_colorize_")}
    assert ours <= known


@pytest.mark.parametrize(("title", "target"), TARGETS, ids=lambda value: value if isinstance(value, str) else "")
def test_brackets_match(title: str, target: dict[str, Any]) -> None:
    text = re.sub(r'"[^"]*"', "", target["expr"])
    for opening, closing in ("()", "{}", "[]"):
        assert text.count(opening) == text.count(closing)
