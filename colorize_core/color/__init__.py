"""Color spaces, the sRGB gamut, and color distributions.

The functions of `colorize_core.color.lab` are imported at their first use, since importing torch takes seconds and the
other modules of this package work without it.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from colorize_core.color.lab import lab_to_rgb, rgb_to_lab

__all__ = ["lab_to_rgb", "rgb_to_lab"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from colorize_core.color import lab

        return getattr(lab, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
