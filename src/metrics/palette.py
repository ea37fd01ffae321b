"""The colours of the pictures, on light paper and on dark: for each a contrast of 3:1 with the paper, 4.5:1 for text.

Those that meet in one chart are apart for colour-blind eyes, too; the tests compute it.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shade:
    """A colour on light paper and its counterpart on dark, as #rrggbb."""

    light: str
    dark: str


PALETTE = {
    "paper": Shade("#faf7f1", "#1a1814"),
    "ink": Shade("#24211c", "#ece6da"),
    "ink-soft": Shade("#6a6459", "#aba394"),
    "hairline": Shade("#ddd6c8", "#3b362d"),
    "gap": Shade("#d0c7b5", "#4b453a"),
    "accent": Shade("#1f6b4a", "#7fc8a3"),
    "success": Shade("#2f8f6b", "#5fbf97"),
    "refused": Shade("#b5770d", "#e9bd5c"),
    "client-error": Shade("#34558b", "#7d9fe0"),
    "failed": Shade("#7d1128", "#d5404f"),
    "first": Shade("#7d1128", "#d5404f"),
    "second": Shade("#b5770d", "#e9bd5c"),
    "third": Shade("#34558b", "#7d9fe0"),
    "fourth": Shade("#a877b8", "#d9b3e6"),
    "others": Shade("#8a8272", "#8f8778"),
}
"""The first six are the page's, the next four those of outcomes, the last five those of kinds of error."""
