"""The page on which people choose between pictures without knowing who made them."""

from colorize_core.report.evaluation.study import RATINGS_FORMAT, Study
from colorize_core.report.page import render

_SCRIPTS = ("common.js", "rating.js")


def rating_page(study: Study) -> str:
    """The page as HTML; its pictures lie in pictures/NAME.png beside it."""
    data = {
        "format": RATINGS_FORMAT,
        "study": study.name,
        "pairs": [[pair.one, pair.other] for pair in study.pairs],
        "sealed": study.sealed(),
    }
    return render("rating.html", _SCRIPTS, data, pairs=len(study.pairs))
