"""Scraping of Ray's Prometheus endpoint."""

import re
import time
import urllib.request
from collections.abc import Callable

import ray
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample


def scrape() -> list[Sample]:
    """Return all samples of the endpoint of this node, parsed as by Prometheus."""
    node = ray.nodes()[0]
    with urllib.request.urlopen(f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics") as answer:
        text = answer.read().decode()
    return [sample for family in text_string_to_metric_families(text) for sample in family.samples]


def scrape_until(is_complete: Callable[[list[Sample]], bool], seconds: float = 60) -> list[Sample]:
    """Scrape until a condition holds: workers export their values every ten seconds."""
    deadline = time.monotonic() + seconds
    while not is_complete(samples := scrape()):
        assert time.monotonic() < deadline, sorted({sample.name for sample in samples if "colorize" in sample.name})
        time.sleep(0.5)
    return samples


def total(samples: list[Sample], name: str, **labels: str) -> float:
    """Return the sum of a metric over all workers with matching labels."""
    return sum(
        sample.value
        for sample in samples
        if sample.name == name and all(sample.labels.get(key) == value for key, value in labels.items())
    )


def names_in(query: str) -> set[str]:
    """Return the metrics in a PromQL query; functions, and labels but for ray_io_cluster, have other prefixes."""
    return set(re.findall(r"\bray_(?!io_cluster\b)\w+", re.sub(r'"[^"]*"', "", query)))
