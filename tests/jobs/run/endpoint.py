"""Reading what Ray gives to Prometheus."""

import re
import time
import urllib.request
from collections.abc import Callable

import ray
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample


def scrape() -> list[Sample]:
    """Everything that the endpoint of this machine's node has to say, parsed as Prometheus does."""
    node = ray.nodes()[0]
    with urllib.request.urlopen(f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics") as answer:
        text = answer.read().decode()
    return [sample for family in text_string_to_metric_families(text) for sample in family.samples]


def scrape_until(is_there: Callable[[list[Sample]], bool], seconds: float = 60) -> list[Sample]:
    """Scrape until something is there: workers hand over what they have every ten seconds."""
    deadline = time.monotonic() + seconds
    while not is_there(samples := scrape()):
        assert time.monotonic() < deadline, sorted({sample.name for sample in samples if "colorize" in sample.name})
        time.sleep(0.5)
    return samples


def total(samples: list[Sample], name: str, **labels: str) -> float:
    """Sum of a metric over all workers, as far as labels match."""
    return sum(
        sample.value
        for sample in samples
        if sample.name == name and all(sample.labels.get(key) == value for key, value in labels.items())
    )


def names_in(query: str) -> set[str]:
    """Metrics that a PromQL query asks for; labels and functions have other beginnings."""
    return set(re.findall(r"\bray_\w+", re.sub(r'"[^"]*"', "", query)))
