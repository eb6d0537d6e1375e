"""Draw a number of a sweep's table: a row for each value of a variable, a dot for each run. Writes an SVG file.

    python examples/plot_sweep.py TABLE.csv --by KEY --number COLUMN -o PICTURE.svg

A grey line joins the runs of one seed. The mark is the mean of a value's runs; the bar around it is as wide as the
spread of seeds to each side: the standard deviation within a value, over all values together.
"""

import argparse
import csv
import math
from html import escape
from pathlib import Path

WIDTH, LEFT, RIGHT, TOP, ROW, BOTTOM = 720, 170, 30, 56, 84, 54
INK, GREY, COLOUR = "#1f2933", "#b8c0c8", "#1f6feb"


def read(table: Path, by: str, number: str) -> dict[str, dict[str, float]]:
    """Return the number of each run, by value and seed; runs without it are left out."""
    found: dict[str, dict[str, float]] = {}
    with table.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        for name in (by, number, "seed"):
            if name not in (rows.fieldnames or ()):
                raise SystemExit(f"{table} has no column {name!r}; it has {', '.join(rows.fieldnames or ())}")
        for row in rows:
            if row[number]:
                found.setdefault(row[by], {})[row["seed"]] = float(row[number])
    if not found:
        raise SystemExit(f"no run of {table} has a number {number!r}")
    return found


def spread(found: dict[str, dict[str, float]]) -> float:
    """Return the standard deviation of seeds within a value, pooled; 0 where no value has two runs."""
    runs = [list(of.values()) for of in found.values()]
    squares = sum((value - sum(of) / len(of)) ** 2 for of in runs for value in of)
    degrees = sum(len(of) - 1 for of in runs)
    return math.sqrt(squares / degrees) if degrees else 0.0


def ticks(low: float, high: float) -> list[float]:
    """Return round numbers from low to high: at most ten."""
    step = 10.0 ** math.floor(math.log10(high - low))
    step = next(step * factor for factor in (0.1, 0.2, 0.5, 1, 2, 5) if (high - low) / (step * factor) < 9)
    return [step * number for number in range(math.ceil(low / step), math.floor(high / step) + 1)]


def draw(found: dict[str, dict[str, float]], title: str) -> str:
    """Return the picture."""
    numbers = [value for of in found.values() for value in of.values()]
    around = spread(found)
    pad = max(around, (max(numbers) - min(numbers)) * 0.08, abs(max(numbers)) * 0.01, 1e-9)
    low, high = min(numbers) - pad, max(numbers) + pad
    height = TOP + ROW * len(found) + BOTTOM

    def x(value: float) -> str:
        return f"{LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT):.1f}"

    def text(at: str, y: float, words: str, anchor: str = "middle", size: int = 13, colour: str = INK) -> str:
        style = f'text-anchor="{anchor}" font-size="{size}" fill="{colour}"'
        return f'<text x="{at}" y="{y}" {style}>{escape(words)}</text>'

    def line(left: float, upper: float, right: float, lower: float, stroke: str, width: float, opacity: float) -> str:
        ends = f'x1="{x(left)}" y1="{upper}" x2="{x(right)}" y2="{lower}"'
        return f'<line {ends} stroke="{stroke}" stroke-width="{width}" opacity="{opacity}"/>'

    rows = {name: TOP + ROW * place + ROW / 2 for place, name in enumerate(found)}
    parts = [text("16", 28, title, "start", 16)]
    foot = TOP + ROW * len(found)
    for value in ticks(low, high):
        parts.append(line(value, TOP, value, foot, GREY, 0.5, 1))
        parts.append(text(x(value), foot + 18, f"{value:g}", size=12))
    for (upper, one), (lower, other) in zip(list(found.items())[:-1], list(found.items())[1:], strict=True):
        parts += [line(one[seed], rows[upper], other[seed], rows[lower], GREY, 1, 1) for seed in one if seed in other]
    for name, of in found.items():
        mean, y = sum(of.values()) / len(of), rows[name]
        parts.append(text(f"{LEFT - 14}", y - 2, name, "end"))
        parts.append(text(f"{LEFT - 14}", y + 15, f"mean {mean:.4g}, {len(of)} runs", "end", 11, "#52606d"))
        if around:
            parts.append(line(mean - around, y, mean + around, y, COLOUR, 6, 0.25))
        parts += [f'<circle cx="{x(value)}" cy="{y}" r="4.5" fill="{COLOUR}" opacity="0.75"/>' for value in of.values()]
        parts.append(line(mean, y - 15, mean, y + 15, INK, 2.5, 1))
    told = "dot: a run; grey: runs of one seed; mark: mean; bar: spread of seeds to each side"
    parts.append(text("16", height - 12, told, "start", 11, "#52606d"))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif">'
    return "\n".join([head, f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>', *parts, "</svg>", ""])


def main() -> None:
    """Read the table and write the picture."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("table", type=Path)
    options.add_argument("--by", required=True, metavar="KEY", help="the variable: a column of the table")
    options.add_argument("--number", required=True, metavar="COLUMN", help="the number: another")
    options.add_argument("-o", "--out", required=True, type=Path, metavar="FILE", help="the SVG file to write")
    given = options.parse_args()
    given.out.write_text(draw(read(given.table, given.by, given.number), given.number), encoding="utf-8")


if __name__ == "__main__":
    main()
