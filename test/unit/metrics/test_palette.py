"""The colours hold for everybody: contrast with the paper (WCAG 2.2), and distance for colour-blind eyes."""

from itertools import combinations

import pytest

from src.metrics.palette import PALETTE

Colour = tuple[float, float, float]
TOGETHER = [("success", "refused", "client-error", "failed"), ("first", "second", "third", "fourth", "others")]
EYES = {
    "all colours": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "no red": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "no green": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "no blue": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}
"""What becomes of linear RGB: Machado, Oliveira and Fernandes (2009), full severity."""
DISTINCT = 14.0
"""Distance in CIELAB; 2.3 is just noticeable."""


def linear(text: str) -> Colour:
    parts = [int(text[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return red, green, blue


def luminance(colour: Colour) -> float:
    return 0.2126 * colour[0] + 0.7152 * colour[1] + 0.0722 * colour[2]


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted(luminance(linear(each)) for each in (one, other))
    return (lighter + 0.05) / (darker + 0.05)


def lab(colour: Colour) -> Colour:
    red, green, blue = colour
    x = 0.4124564 * red + 0.3575761 * green + 0.1804375 * blue
    z = 0.0193339 * red + 0.1191920 * green + 0.9503041 * blue
    roots = [
        each ** (1 / 3) if each > 0.008856 else 7.787 * each + 16 / 116
        for each in (x / 0.95047, luminance(colour), z / 1.08883)
    ]
    return 116 * roots[1] - 16, 500 * (roots[0] - roots[1]), 200 * (roots[1] - roots[2])


def seen(text: str, eyes: str) -> Colour:
    red, green, blue = (
        min(1.0, max(0.0, sum(k * c for k, c in zip(row, linear(text), strict=True)))) for row in EYES[eyes]
    )
    return lab((red, green, blue))


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_text_and_marks_stand_out_from_the_paper(mode):
    paper = getattr(PALETTE["paper"], mode)
    for name in ("ink", "ink-soft", "accent"):
        assert contrast(getattr(PALETTE[name], mode), paper) >= 4.5, name
    for name in (name for names in TOGETHER for name in names):
        assert contrast(getattr(PALETTE[name], mode), paper) >= 3, name


@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize("eyes", EYES)
def test_colours_of_one_chart_are_apart_for_all_eyes(mode, eyes):
    for names in TOGETHER:
        for one, other in combinations(names, 2):
            pair = [seen(getattr(PALETTE[name], mode), eyes) for name in (one, other)]
            assert sum((a - b) ** 2 for a, b in zip(*pair, strict=True)) ** 0.5 >= DISTINCT, (one, other)
