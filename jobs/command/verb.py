"""The verbs: what a module must offer to be one, and the table of all of them.

A new verb is a module with `CONFIG`, `run` and `plan`, an entry in `VERBS`, and `jobs/VERB/__main__.py` (or the last
lines of a single-file verb) for `python -m jobs.VERB`.
"""

import difflib
import importlib
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

from cluster.config.command_line import Command

Verb = Command
"""A module that offers `CONFIG`, `run(config, verbose=False)` and `plan(config)`."""


class CheckedVerb(Verb, Protocol):
    """A verb that `colorize doctor` can check before it runs on a cluster."""

    @property
    def requirements(self) -> Callable[[Any], Any]:
        """Return the processes, locations and weights that `run(config)` needs (jobs.run.requirements.Requirements)."""

    @property
    def check_inputs(self) -> Callable[[Any], object]:
        """Validate the inputs of `run(config)` as far as possible without Ray; raises UserError or ClusterError."""


@dataclass(frozen=True)
class VerbEntry:
    """A verb in the table of verbs."""

    purpose: str
    """What it does, in one line."""
    module: str = ""
    """Module that offers the verb; empty where there are kinds."""
    kinds: Mapping[str, "VerbEntry"] = field(default_factory=dict)
    """Sub-commands by name, where the verb is a group of them."""


VERBS = {
    "prepare": VerbEntry("photographs to Lab shards for training", "jobs.prepare.job"),
    "train": VerbEntry("shards to a checkpoint, with Ray Train", "jobs.train.job"),
    "evaluate": VerbEntry("checkpoints against test shards: table, intervals, sample grid", "jobs.evaluate.job"),
    "archive": VerbEntry("an archive of gray photographs to color images, with Ray Data", "jobs.archive.job"),
    "report": VerbEntry("web page of an archive run or an evaluation; preference rates", "jobs.report"),
    "publish": VerbEntry("the accepted color images of a run, with a record and IIIF manifests", "jobs.publish"),
    "photo": VerbEntry("one photograph to a color image, without starting Ray", "jobs.photo"),
    "import": VerbEntry("weights published elsewhere to a checkpoint", "jobs.import_weights"),
    "export": VerbEntry("a checkpoint to ONNX or torch.export", "jobs.export"),
    "recipe": VerbEntry("prepare, train in stages and evaluate: one row of a published table", "jobs.recipe"),
    "sweep": VerbEntry("one training run for each combination of values: table and curves", "jobs.sweep.job"),
    "benchmark": VerbEntry(
        "speed of this machine, where the time goes, and what to change",
        kinds={
            "archive": VerbEntry(
                "the archive job, other projects' loops, and the limit of the kernels", "jobs.benchmark.archive"
            ),
            "train": VerbEntry(
                "the train job, a plain PyTorch loop, and the training step alone", "jobs.benchmark.train"
            ),
            "prepare": VerbEntry("the prepare job, and a loop with scikit-image", "jobs.benchmark.prepare"),
            "model": VerbEntry("forward passes and training steps by size and precision", "jobs.benchmark.model"),
        },
    ),
    "doctor": VerbEntry("checks of this machine or cluster, and of what a job needs, with advice", "jobs.doctor.job"),
    "demo": VerbEntry("prepare, train, archive and evaluate on sample photographs, in minutes", "jobs.demo"),
    "submit": VerbEntry("run a verb as a job on a Ray cluster, from one file", "jobs.submit"),
}


def verb_names() -> list[str]:
    """Return the names of all verbs that run something, such as "archive" or "benchmark archive"."""
    return [name for verb, entry in VERBS.items() for name in ([f"{verb} {kind}" for kind in entry.kinds] or [verb])]


def suggest(word: str, names: Collection[str]) -> str:
    """Return the end of a message about an unknown name: the nearest one, or all."""
    nearest = difflib.get_close_matches(word, names, n=1)
    return f"did you mean {nearest[0]}?" if nearest else f"choose from {', '.join(names)}"


def load_verb(name: str) -> Verb:
    """Import a verb, such as "archive" or "benchmark archive"; raises KeyError for a name that is not in the table."""
    verb, _, kind = name.partition(" ")
    entry = VERBS[verb].kinds[kind] if kind else VERBS[verb]
    main = sys.modules["__main__"]
    if getattr(getattr(main, "__spec__", None), "name", None) == entry.module:
        return cast(Verb, main)  # python -m jobs.VERB: of a second import, pydantic would not find the help of keys
    return cast(Verb, importlib.import_module(entry.module))
