"""Figures as aligned columns, for the benchmarks."""

from collections.abc import Sequence

Cell = str | float | None


def columns(names: Sequence[str], lines: Sequence[Sequence[Cell]]) -> str:
    """Return a header of `names` and a line for each of `lines`, with text aligned left and figures right."""
    cells = [[shown(value) for value in line] for line in lines]
    widths = [max(len(row[column]) for row in [list(names), *cells]) for column in range(len(names))]
    is_text = [any(isinstance(line[column], str) for line in lines) for column in range(len(names))]
    aligned = [
        [
            cell.ljust(width) if left else cell.rjust(width)
            for cell, width, left in zip(row, widths, is_text, strict=True)
        ]
        for row in [list(names), *cells]
    ]
    return "".join("  ".join(row).rstrip() + "\n" for row in aligned)


def shown(value: Cell) -> str:
    """Format a cell: floats with two decimals, or none from 100 on."""
    match value:
        case None:
            return "-"
        case float():
            return f"{value:.0f}" if abs(value) >= 100 else f"{value:.2f}"
    return str(value)
