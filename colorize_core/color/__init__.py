"""Color spaces, the sRGB gamut, and the distribution of colors.

The functions of `colorize_core.color.lab` are imported when they are first used: the modules beside it that work
without torch, which takes seconds to import, can be imported without it.
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
