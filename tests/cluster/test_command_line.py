"""Arguments of the command line: positional words, options, lists, flags."""

import os
import signal
import sys
from types import SimpleNamespace

import pytest
from pydantic import Field

from cluster.config.command_line import help_text, run_command, split_arguments, usage
from cluster.config.loading import Section
from cluster.errors import ConfigError


class Example(Section):
    """An example."""

    POSITIONAL = ("target", "run")

    target: str
    """Where to."""
    run: list[str] = Field(default_factory=list)
    """Several."""
    ratings: list[str] = Field(default_factory=list)
    """Several."""
    size: int = 1
    """One."""
    force: bool = False
    """On or off."""


class FromFile(Section):
    """A command whose first word is its file."""

    POSITIONAL = ("--config",)

    size: int = 1
    """One."""


def load(*arguments: str) -> Example:
    file, overrides, _ = split_arguments(arguments, Example)
    return Example.load(file, overrides)


def test_words_are_values_of_the_positional_keys_and_the_last_takes_the_rest() -> None:
    config = load("out", "a", "./b/x=1", "size=3")
    assert (config.target, config.run, config.size) == ("out", ["a", "./b/x=1"], 3)


@pytest.mark.parametrize("word", ["007", "null", "1e5", "no", "[a]", "a: b"])
def test_positional_words_are_text_as_they_are(word: str) -> None:
    assert load(word).target == word


def test_an_option_of_a_list_takes_several_words() -> None:
    config = load("--ratings", "1.json", "2.json", "--size", "3", "out", "--ratings=[3.json]")
    assert (config.ratings, config.size, config.target) == (["3.json"], 3, "out")
    assert load("out", "--ratings", "1.json", "2.json").ratings == ["1.json", "2.json"]
    assert load("out", "--ratings", "[1.json, 2.json]").ratings == ["1.json", "2.json"]


def test_a_switch_takes_no_word() -> None:
    config = load("--force", "out")
    assert (config.force, config.target) == (True, "out")
    assert not load("--force", "false", "out").force


def test_a_word_too_many_is_refused() -> None:
    with pytest.raises(ConfigError, match="'b': unexpected word"):
        split_arguments(["a.yaml", "b"], FromFile)


def test_a_word_can_be_the_configuration_file() -> None:
    assert split_arguments(["a.yaml", "size=2", "--dry-run"], FromFile) == ("a.yaml", ["size=2"], {"--dry-run"})


def test_usage_shows_positional_words() -> None:
    assert usage("example", Example).startswith("colorize example TARGET [RUN ...] [--config FILE.yaml] [key=value")
    assert usage("file", FromFile).startswith("colorize file [FILE.yaml] [key=value ...]")
    assert "  target\n      Where to. (text; required)" in help_text("example", Example)


@pytest.mark.parametrize(
    ("number", "code", "line"),
    [
        (signal.SIGINT, 130, "colorize: interrupted; the same command continues\n"),
        (signal.SIGTERM, 143, "colorize: terminated; the same command continues\n"),
    ],
)
def test_a_signal_is_one_line_and_the_exit_code_of_shells(
    number: int, code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(config: Example, verbose: bool) -> int:
        os.kill(os.getpid(), number)
        pytest.fail("the signal was ignored")

    before = signal.getsignal(signal.SIGTERM)
    command = SimpleNamespace(CONFIG=Example, run=run, plan=str)
    assert run_command("example", command, ["target=x"]) == code
    assert capsys.readouterr().err == line
    assert signal.getsignal(signal.SIGTERM) is before


def test_sigterm_while_ray_starts_is_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    """Ray's handler, which `ray.init` sets, exits with the number of the signal."""

    def run(config: Example, verbose: bool) -> int:
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(number))
        os.kill(os.getpid(), signal.SIGTERM)
        pytest.fail("the signal was ignored")

    command = SimpleNamespace(CONFIG=Example, run=run, plan=str)
    assert run_command("example", command, ["target=x"]) == 143
    assert capsys.readouterr().err == "colorize: terminated; the same command continues\n"
