"""Draws figures as SVG text, which a page shows without a script. They are as wide as a phone screen."""

import math
from typing import Any

import altair as alt
import pandas as pd
import vl_convert
from markupsafe import Markup

WIDTH = 330
FLAGGED, PLAIN, LINE = "#b42318", "#9fb3c8", "#2c3e50"
PAGE, TEXT, GRID = "#ffffff", "#1b1f24", "#d0d7de"
VARIABLES = {FLAGGED: "bad", PLAIN: "plain", LINE: "mark", PAGE: "page", TEXT: "text", GRID: "line"}
"""Variables of colors.css by the colour that stands for each in a figure. A page sets them for light or dark mode. An
image in the Prefect UI has no variables, and shows the colour itself."""
Rows = list[dict[str, Any]]


def histogram(rows: Rows) -> Markup:
    """Histogram of values, flagged rows in colour. Columns of rows: start, stop, state, rows."""
    return _svg(
        alt.Chart(pd.DataFrame(rows))
        .mark_bar()
        .encode(
            x=alt.X("start:Q", bin="binned", title="value", axis=alt.Axis(tickCount=5)),
            x2="stop:Q",
            y=alt.Y("rows:Q", title="rows", stack=True),
            color=alt.Color(
                "state:N",
                title=None,
                scale=alt.Scale(domain=["flagged", "not flagged"], range=[FLAGGED, PLAIN]),
                legend=alt.Legend(orient="top"),
            ),
        )
    )


def detectability(rows: Rows) -> Markup:
    """AUC with its interval for each kind of canary. Columns of rows: canary, auc, auc_low, auc_high."""
    data = pd.DataFrame(rows)
    scale = alt.Scale(domain=[min(0.4, data["auc_low"].min()), 1])
    low, auc, half = (alt.X(f"{name}:Q", scale=scale, title="AUC") for name in ("auc_low", "auc", "half"))
    kinds = alt.Y("canary:N", sort=None, title=None, axis=alt.Axis(minExtent=115))
    bars = alt.Chart(data).mark_rule(color=LINE).encode(x=low, x2="auc_high:Q", y=kinds)
    points = alt.Chart(data).mark_point(filled=True, size=60, color=LINE, opacity=1).encode(x=auc, y=kinds)
    chance = alt.Chart(pd.DataFrame({"half": [0.5]})).mark_rule(strokeDash=[4, 4], color=FLAGGED).encode(x=half)
    return _svg(chance + bars + points, height=26 * len(rows))


def calibration(rows: Rows) -> Markup:
    """Stated against measured share of false flags. Columns of rows: stated, measured, standard_error."""
    data = pd.DataFrame(rows)
    data["low"] = (data["measured"] - 2 * data["standard_error"]).clip(lower=0)
    data["high"] = data["measured"] + 2 * data["standard_error"]
    top = max(data["stated"].max(), data["high"].max())
    scale = alt.Scale(domain=[0, math.ceil(top * 10) / 10])
    x = alt.X("stated:Q", scale=scale, title="stated rate")
    line = alt.Chart(data).mark_line(strokeDash=[4, 4], color=PLAIN).encode(x=x, y=alt.Y("stated:Q", scale=scale))
    bars = alt.Chart(data).mark_rule(color=LINE).encode(x=x, y=alt.Y("low:Q", title="measured rate"), y2="high:Q")
    points = alt.Chart(data).mark_line(point=True, color=LINE).encode(x=x, y="measured:Q")
    return _svg(line + bars + points)


def sources(rows: Rows) -> Markup:
    """Number of flagged rows by file and check. Columns of rows: check_name, source, rows."""
    height = 26 * len({row["source"] for row in rows}) + 10
    return _svg(
        alt.Chart(pd.DataFrame(rows))
        .mark_bar()
        .encode(
            x=alt.X("rows:Q", title="flagged rows"),
            y=alt.Y("source:N", sort="-x", title=None, axis=alt.Axis(labelLimit=140)),
            color=alt.Color("check_name:N", title=None, legend=alt.Legend(orient="top", columns=1)),
        ),
        height=height,
    )


def dots(rows: Rows, title: str) -> Markup:
    """One mean per method, with its standard deviation as a bar. Columns of rows: method, mean, deviation."""
    data = pd.DataFrame(rows).sort_values("mean", ascending=False)
    data["low"] = data["mean"] - data["deviation"].fillna(0)
    data["high"] = data["mean"] + data["deviation"].fillna(0)
    scale = alt.Scale(zero=False)
    methods = alt.Y("method:N", sort=None, title=None, axis=alt.Axis(minExtent=115))
    bars = (
        alt.Chart(data).mark_rule(color=LINE).encode(x=alt.X("low:Q", scale=scale, title=title), x2="high:Q", y=methods)
    )
    points = (
        alt.Chart(data)
        .mark_point(filled=True, size=60, color=LINE, opacity=1)
        .encode(x=alt.X("mean:Q", scale=scale, title=title), y=methods)
    )
    return _svg(bars + points, height=26 * len(data))


def curves(rows: Rows) -> Markup:
    """One line per method: test loss over the share of rows left out, with standard deviations as bars.

    The method "nothing" (no row left out) is the first point of every line. Columns of rows: setting, method, mean,
    deviation.
    """
    data = pd.DataFrame(rows)
    data["share"] = data["setting"].str.extract(r"(\d+)", expand=False).astype(int)
    start = data[data["method"] == "nothing"]
    names = [name for name in data["method"].unique() if name != "nothing"]
    points = pd.concat([data[data["method"] != "nothing"], *(start.assign(method=name) for name in names)])
    points["share"] += points["method"].map(
        {name: i / 2 for i, name in enumerate(names)}
    )  # shifts the bars, so that they do not overlap
    points["low"], points["high"] = (points["mean"] + sign * points["deviation"].fillna(0) for sign in (-1, 1))
    loss = {"title": "test loss", "scale": alt.Scale(zero=False)}
    shown = alt.Chart(points).encode(
        x=alt.X("share:Q", title="rows left out, %"),
        color=alt.Color("method:N", title=None, legend=alt.Legend(orient="top")),
    )
    lines = shown.mark_line(point=True).encode(y=alt.Y("mean:Q", **loss))
    return _svg(shown.mark_rule().encode(y=alt.Y("low:Q", **loss), y2="high:Q") + lines)


def losses_by_budget(rows: Rows) -> Markup:
    """One line per method: mean test loss over the budget, with standard deviations as bars.

    Columns of rows: share (in percent), method, mean, deviation.
    """
    data = pd.DataFrame(rows)
    data = data[data["method"] != "all rows"].sort_values("method")
    names = list(data["method"].unique())
    data["share"] += data["method"].map({name: i / 3 for i, name in enumerate(names)})  # so that bars do not overlap
    data["low"], data["high"] = (data["mean"] + sign * data["deviation"].fillna(0) for sign in (-1, 1))
    loss = {"title": "test loss", "scale": alt.Scale(zero=False)}
    shown = alt.Chart(data).encode(
        x=alt.X("share:Q", title="budget, % of the answer tokens", scale=alt.Scale(zero=False)),
        color=alt.Color(
            "method:N", title=None, scale=alt.Scale(scheme="tableau20"), legend=alt.Legend(orient="top", columns=3)
        ),
    )
    lines = shown.mark_line(point=True).encode(y=alt.Y("mean:Q", **loss))
    return _svg(shown.mark_rule().encode(y=alt.Y("low:Q", **loss), y2="high:Q") + lines, height=280)


def _svg(chart: Any, height: int = 200) -> Markup:
    """The figure as SVG text. vl_convert escapes the texts in it."""
    sized = chart.properties(width=WIDTH, height=height, autosize=alt.AutoSizeParams(type="fit-x", contains="padding"))
    styled = (
        sized.configure(font="sans-serif", background=PAGE)
        .configure_view(stroke=None)
        .configure_axis(
            labelLimit=150, labelOverlap=True, labelColor=TEXT, titleColor=TEXT,
            gridColor=GRID, domainColor=GRID, tickColor=GRID,
        )
        .configure_legend(labelColor=TEXT)
    )  # fmt: skip
    text: str = vl_convert.vegalite_to_svg(styled.to_dict())
    for color, variable in VARIABLES.items():
        text = text.replace(f'="{color}"', f'="var(--{variable}, {color})"')
    return Markup(text)  # noqa: S704
