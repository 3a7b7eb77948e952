"""Tables of an evaluation."""

from typing import Any

import pytest

from colorize_core.evaluation.rows import ceiling_sizes
from colorize_core.evaluation.table import DIFFERENCES, Table, render_markdown, score_tables


def score(value: float, difference: tuple[float, float, float] | None = None) -> dict[str, Any]:
    own: dict[str, Any] = {"value": value, "low": value - 0.01, "high": value + 0.01}
    if difference:
        own["difference"] = {"from": "a", **dict(zip(("value", "low", "high"), difference, strict=True))}
    return {"mae_ab": own}


def evaluation(photographs: int = 500) -> dict[str, Any]:
    models = {
        "gray": score(0.09, (0.02, 0.015, 0.025)),
        "constant color": score(0.08, (0.01, 0.005, 0.015)),
        "oracle color": score(0.05, (-0.02, -0.03, -0.01)),
        "ceiling 64 px": score(0.01, (-0.06, -0.07, -0.05)),
        "a": score(0.07),
        "b": score(0.071, (0.001, -0.001, 0.003)),
        "c": score(0.075, (0.005, 0.003, 0.007)),
    }
    config = {"lpips": {"backbone": "none"}, "definitions": []}
    checkpoints = {"a": "", "b": "", "c": ""}
    return {
        "models": models,
        "checkpoints": checkpoints,
        "photographs": photographs,
        "split": "val",
        "size": 96,
        "config": config,
    }


def differences(result: dict[str, Any]) -> Table:
    return next(table for table in score_tables(result) if table.title == DIFFERENCES)


def test_the_best_model_and_those_tied_with_it_are_marked() -> None:
    main = score_tables(evaluation())[0]
    assert [row.name for row in main.rows if row.cells[0].best] == ["a", "b"]


def test_differences_are_from_the_best_model_with_signs_and_intervals() -> None:
    by_name = {row.name: row.cells[0] for row in differences(evaluation()).rows}
    assert (by_name["c"].value, by_name["c"].interval) == ("+0.0050", "+0.0030 to +0.0070")
    assert by_name["b"].value == "+0.0010, not distinguishable"
    assert by_name["a"].value == "best"
    assert by_name["gray"].value == "+0.0200"


def test_rows_that_know_the_true_colors_are_not_compared() -> None:
    assert [row.name for row in differences(evaluation()).rows] == ["gray", "constant color", "a", "b", "c"]


def test_results_of_earlier_versions_have_no_differences() -> None:
    result = evaluation()
    for scores in result["models"].values():
        scores["mae_ab"].pop("difference", None)
    main, *others = score_tables(result)
    assert DIFFERENCES not in {table.title for table in others}
    assert [row.name for row in main.rows if row.cells[0].best] == ["a"]


@pytest.mark.parametrize(("photographs", "warns"), [(1, True), (99, True), (100, False)])
def test_few_photographs_are_warned_of(photographs: int, warns: bool) -> None:
    text = render_markdown(evaluation(photographs))
    assert ("the order of the models may be chance" in text) == warns
    assert ("Only 1 photograph:" in text) == (photographs == 1)


def test_working_sizes_that_do_not_limit_the_photographs_have_no_ceiling() -> None:
    assert ceiling_sizes([256, 64, 96, 64, 32], 96) == [32, 64]
