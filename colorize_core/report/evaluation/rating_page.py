"""The page for blind ratings: people choose between two images without knowing which model made them."""

from colorize_core.report.evaluation.study import RATINGS_FORMAT, Study
from colorize_core.report.page import render

_SCRIPTS = ("common.js", "rating.js")


def rating_page(study: Study) -> str:
    """Render the page as HTML; its images are pictures/NAME.png next to it."""
    data = {
        "format": RATINGS_FORMAT,
        "study": study.name,
        "pairs": [[pair.one, pair.other] for pair in study.pairs],
        "sealed": study.sealed(),
    }
    return render("rating.html", _SCRIPTS, data, pairs=len(study.pairs))
