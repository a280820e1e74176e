#!/usr/bin/env python3
"""plot.py -- the figures of a report for papers: the same numbers, drawn by matplotlib, a file for each.

usage: tools/plot.py REPORT.html|REPORT.json [-o FOLDER] [--format pdf|png|svg] [--only NAME,…] [--width INCHES] [--metric NAME]"""
import argparse
import json
import pathlib
import re
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402

COLOURS = ["#0072b2", "#d55e00", "#007a5a", "#aa4499", "#3796d2", "#b8860b", "#882255", "#6e7781"]
MARKERS = ["o", "^", "s", "D", "v"]
GREY = COLOURS[7]
LABELS = {"rmse": "root mean squared error", "r2": "R²", "pearson": "Pearson correlation", "mae": "mean absolute error"}


def read(path):
    """The numbers of a page, or of the file that --json wrote."""
    text = pathlib.Path(path).read_text()
    inside = re.search(r'<script type="application/json" id="numbers">(.*?)</script>', text, re.S)
    data = json.loads(inside.group(1) if inside else text)
    if not isinstance(data, dict) or "report" not in data:
        raise ValueError("is no report of tessera report, nor its --json")
    return data


def label(name):
    return LABELS.get(name, name.replace("_", " "))


def plain(name):
    """A name that matplotlib does not take as a formula."""
    return name.replace("$", r"\$")


def number(list_):
    """null is NaN."""
    return np.array([np.nan if x is None else x for x in list_], dtype=float)


def axes(options, height, square=False):
    figure, ax = plt.subplots(figsize=(min(options.width, height) if square else options.width, height), layout="constrained")
    ax.spines[["top", "right"]].set_visible(False)
    return figure, ax


def draw_curve(data, options):
    figure, ax = axes(options, 2.6)
    for i, member in enumerate(m for m in data["curve"]["members"] if "epoch" in m):
        for name, colour, text in ("train_rmse", COLOURS[1], "training"), ("val_rmse", COLOURS[0], "validation"):
            ax.plot(member["epoch"], number(member[name]), color=colour, lw=1.1, label=text if i == 0 else None)
        values = number(member["val_rmse"])
        if np.isfinite(values).any():
            best = int(np.nanargmin(values))
            ax.plot(member["epoch"][best], values[best], "D", ms=4, color=COLOURS[0], label="best epoch" if i == 0 else None)
    ax.set(xlabel="epoch", ylabel="root mean squared error\n(scaled values)")
    ax.legend(frameon=False)
    return figure


def draw_scores(data, options):
    scores, k = data["scores"], data["scores"]["metrics"].index(options.metric)
    rows = [(m, v[k], i[k]) for m, v, i in zip(scores["methods"], scores["all"]["values"], scores["all"]["intervals"]) if v[k] is not None]
    ceiling = next((value for method, value, _ in rows if method == "noise ceiling"), None)
    rows = sorted((row for row in rows if row[0] != "noise ceiling"), key=lambda row: row[1], reverse=scores["is_error"][k])
    figure, ax = axes(options, 0.8 + 0.24 * len(rows))
    for y, (method, value, interval) in enumerate(rows):
        colour = COLOURS[0] if method == "model" else GREY
        if interval:
            ax.plot(interval, [y, y], color=colour, lw=1.2)
        ax.plot(value, y, "o", ms=5, color=colour, mfc=colour if method == "model" else "white")
    if ceiling is not None:
        ax.axvline(ceiling, color=GREY, ls="--", lw=1, label="noise ceiling")
        ax.legend(frameon=False)
    ax.set(yticks=range(len(rows)), yticklabels=[row[0].replace("_", " ") for row in rows], xlabel=label(options.metric))
    return figure


def draw_contexts(data, options):
    scores, k = data["scores"], data["scores"]["metrics"].index(options.metric)
    last = len(scores["methods"]) - 1
    bases = [b for b in range(1, last) if scores["all"]["values"][b][k] is not None]
    base = (min if scores["is_error"][k] else max)(bases, key=lambda b: scores["all"]["values"][b][k])
    groups = scores["contexts"][::-1]
    figure, ax = axes(options, 0.9 + 0.2 * len(groups))
    y = np.arange(len(groups))
    for i, group in enumerate(groups):
        if group["intervals"][0][k]:
            ax.plot(group["intervals"][0][k], [i, i], color=COLOURS[0], lw=1.2)
    for m, style, text in ((last, {"marker": "D", "color": GREY, "ms": 3.5}, "noise ceiling"),
                           (base, {"marker": "o", "color": COLOURS[1], "mfc": "white", "ms": 4.5}, scores["methods"][base].replace("_", " ")),
                           (0, {"marker": "o", "color": COLOURS[0], "ms": 4.5}, "model")):
        values = number([group["values"][m][k] for group in groups])
        if np.isfinite(values).any():
            ax.plot(values, y, ls="", label=text, **style)
    ax.set(yticks=y, yticklabels=[plain(group["name"]) for group in groups], xlabel=label(options.metric))
    ax.legend(frameon=False)
    return figure


def draw_transfer(data, options):
    rows = [row for row in data["transfer"]["rows"] if row[6] is not None]
    figure, ax = axes(options, 0.8 + 0.2 * len(rows))
    ax.axvline(0, color=GREY, ls="--", lw=0.9)
    for i, (*_, difference, low, high, verdict) in enumerate(rows):
        colour, marker = {"helped": (COLOURS[0], "o"), "hurt": (COLOURS[1], "^")}.get(verdict, (GREY, "s"))
        if low is not None and high is not None:
            ax.plot([low, high], [i, i], color=colour, lw=1.2)
        ax.plot([difference], [i], color=colour, marker=marker, ms=4.5)
    ax.set(yticks=range(len(rows)), yticklabels=[plain(row[0]) for row in rows], xlabel="RMSE of the model of all contexts, less that of one of this context alone")
    ax.invert_yaxis()
    return figure


def draw_values(data, options):
    v = data["values"]
    count = np.zeros((v["bins"], v["bins"]))
    for m, p, n in v["cells"]:
        count[m, p] = n
    figure, ax = axes(options, 3.4, square=True)
    edges = np.linspace(v["low"], v["high"], v["bins"] + 1)
    mesh = ax.pcolormesh(edges, edges, np.ma.masked_equal(count, 0), norm=matplotlib.colors.LogNorm(1, max(2, count.max())), cmap="Blues", rasterized=True)
    ax.plot([v["low"], v["high"]], [v["low"], v["high"]], color=GREY, ls="--", lw=0.9)
    ax.set(xlabel="predicted (store's units)", ylabel="measured (store's units)", aspect="equal")
    figure.colorbar(mesh, ax=ax, label="values", shrink=0.8)
    return figure


def draw_coverage(data, options):
    v = data["coverage"]
    figure, ax = axes(options, 3.0, square=True)
    ax.plot([0, 1], [0, 1], color=GREY, ls="--", lw=0.9)
    for name, colour, marker, text in ("raw", COLOURS[1], "o", "members as they are"), ("calibrated", COLOURS[0], "s", "calibrated"):
        if name in v:
            ax.plot(v["level"], number(v[name]), color=colour, marker=marker, ms=3, lw=1.1, label=text)
    ax.set(xlabel="share that an interval should hold", ylabel="share that it holds", xlim=(0, 1), ylim=(0, 1))
    ax.legend(frameon=False)
    return figure


def draw_map(data, options):
    v = data["map"]
    figure, ax = axes(options, options.width * 0.7)
    x, y, types = number(v["x"]), number(v["y"]), np.array(v["type"])
    for a, b in v["pairs"]:
        ax.plot(x[[a, b]], y[[a, b]], color=GREY, lw=0.4, alpha=0.6, zorder=1)
    for t, name in enumerate(v["types"]):
        ax.scatter(x[types == t], y[types == t], s=9 if len(x) < 2000 else 4, color=COLOURS[t % 8], marker=MARKERS[t % 5], lw=0, label=f"{plain(name)} ({(types == t).sum()})")
    share = [f"principal component {a + 1} ({100 * s:.1f} %)" for a, s in enumerate(v["variance_share"])]
    ax.set(xlabel=share[0], ylabel=share[1])
    ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1), markerscale=1.5)
    return figure


def change_label(screen):
    """A file that was given may hold anything: its numbers have no unit that is known."""
    return "change (store's units)" if screen["command"] else "change, as the file has it"


def draw_screen(data, options):
    v = data["screen"]
    r = v["rows"]
    figure, ax = axes(options, 2.6)
    ax.bar(r["rank"], number(r["change"]), width=max(0.9, v["in_all"] / 400), color=COLOURS[0], alpha=0.65, label="predicted")
    measured = number(r["measured"])
    if np.isfinite(measured).any():
        ax.plot(r["rank"], measured, "o", ms=2, mfc="none", mew=0.6, color=COLOURS[1], label="measured")
    ax.axhline(0, color="black", lw=0.7)
    ax.set(xlabel="rank", ylabel=change_label(v), title=plain(v["file"]))
    ax.legend(frameon=False)
    return figure


def draw_hits(data, options):
    r = data["screen"]["rows"]
    n = len(r["rank"])
    shown = [i for i in range(n) if i < 15 or i >= n - 15][::-1]
    figure, ax = axes(options, 0.8 + 0.17 * len(shown))
    change, spread = number([r["change"][i] for i in shown]), np.nan_to_num(number([r["std"][i] for i in shown]))
    ax.axvline(0, color="black", lw=0.7)
    ax.plot(number([r["measured"][i] for i in shown]), range(len(shown)), "o", ms=4, mfc="white", color=COLOURS[1], label="measured")
    ax.errorbar(change, range(len(shown)), xerr=spread, fmt="o", ms=4, lw=1.1, color=COLOURS[0], label="predicted")
    ax.set(yticks=range(len(shown)), yticklabels=[plain(r["perturbation"][i]) for i in shown], xlabel=change_label(data["screen"]), title=plain(data["screen"]["file"]))
    ax.legend(frameon=False)
    return figure


def draw_network(data, options):
    edges = data["network"]["edges"][:40]
    names = sorted({name for edge in edges for name in edge[:2]})
    angle = {name: 2 * np.pi * i / len(names) for i, name in enumerate(names)}
    place = {name: np.array([np.sin(a), np.cos(a)]) for name, a in angle.items()}
    figure, ax = axes(options, options.width, square=True)
    most, least = edges[0][2], edges[-1][2]
    known = data["network"].get("gold", {}).get("known", [])
    for (a, b, _, sign), true in zip(edges, known):
        if true:  # a ring in the middle of the arrow
            (x, y), (dx, dy) = (place[a] + place[b]) * 0.985 / 2, place[b] - place[a]
            ax.plot(x + 0.075 * dy, y - 0.075 * dx, "o", ms=3.2, mfc="white", mec=COLOURS[1] if sign == "-" else COLOURS[0], mew=0.9, zorder=4, gid="known")
    for a, b, score, sign in reversed(edges):
        weight = (score - least) / (most - least) if most > least else 1
        ax.annotate("", place[b] * 0.985, place[a] * 0.985, arrowprops={"arrowstyle": "-|>", "connectionstyle": "arc3,rad=0.15", "lw": 0.5 + weight, "shrinkA": 2, "shrinkB": 2,
                    "color": COLOURS[1] if sign == "-" else COLOURS[0], "alpha": 0.45 + 0.55 * weight, "ls": "--" if sign == "-" else "-"})
    for name, at in place.items():
        ax.plot(*at, "o", ms=3, color="black")
        turn = np.degrees(np.arctan2(at[1], at[0]))
        left = at[0] < -1e-9
        ax.text(*(1.04 * at), plain(name), rotation=turn + 180 if left else turn, rotation_mode="anchor", ha="right" if left else "left", va="center", fontsize=7)
    ax.set(xlim=(-1.4, 1.4), ylim=(-1.4, 1.4), aspect="equal")
    ax.axis("off")
    return figure


def draw_gold(data, options):
    gold = data["network"]["gold"]
    figure, ax = axes(options, 2.8, square=True)
    curve = np.array(gold["curve"])
    ax.plot(curve[:, 0], curve[:, 1], color=COLOURS[0], marker="o", ms=1.6, lw=1.1)
    ax.axhline(gold["counts"]["true"] / gold["counts"]["pairs"], color=GREY, ls="--", lw=0.9)
    ax.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.03), title=f"average precision {gold['aupr']:.3f}, AUROC {gold['auroc']:.3f}")
    return figure


# What each is drawn from: a part of the report, or a part of a part.
FIGURES = {"curve": (draw_curve, ["curve"]), "scores": (draw_scores, ["scores"]), "contexts": (draw_contexts, ["scores"]), "transfer": (draw_transfer, ["transfer"]), "values": (draw_values, ["values"]),
           "coverage": (draw_coverage, ["coverage"]), "map": (draw_map, ["map"]), "screen": (draw_screen, ["screen"]), "hits": (draw_hits, ["screen"]),
           "network": (draw_network, ["network"]), "gold": (draw_gold, ["network", "gold"])}


def missing(data, keys):
    """Why there is nothing to draw; None: there is."""
    for key in keys:
        data = data.get(key) or {"missing": "tessera evaluate RUN --transfer was not asked" if key == "transfer" else "the report has no such part"}
        if "rows" in data and key == "transfer" and all(row[6] is None for row in data["rows"]):
            return "there was nothing to compare"
        if data.get("edges") == []:
            return "the list has no edge"
        if "missing" in data:
            return data["missing"]
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("report", help="REPORT.html, or the file of --json")
    parser.add_argument("-o", "--output", default=".", help="folder for the figures (default: here)")
    parser.add_argument("--format", default="pdf", choices=["pdf", "png", "svg"])
    parser.add_argument("--only", default=",".join(FIGURES), help=f"which of {', '.join(FIGURES)} (default: all)")
    parser.add_argument("--width", type=float, default=5.5, help="in inches")
    parser.add_argument("--metric", default="rmse", help="of the scores")
    options = parser.parse_args()
    try:
        data = read(options.report)
    except (OSError, ValueError) as problem:
        sys.exit(f"{options.report}: {problem}")
    names = options.only.split(",")
    if set(names) - set(FIGURES):
        sys.exit(f"--only: no figure {', '.join(sorted(set(names) - set(FIGURES)))}; there are {', '.join(FIGURES)}")
    if not missing(data, ["scores"]) and options.metric not in data["scores"]["metrics"]:
        sys.exit(f"--metric: no score {options.metric}; there are {', '.join(data['scores']['metrics'])}")
    plt.rcParams.update({"font.size": 8, "axes.titlesize": 8, "svg.hashsalt": "tessera", "pdf.fonttype": 42})
    folder = pathlib.Path(options.output)
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        draw, keys = FIGURES[name]
        why = missing(data, keys)
        if why:
            print(f"{name}: left out: {why}")
            continue
        figure = draw(data, options)
        path = folder / f"{name}.{options.format}"
        figure.savefig(path, dpi=200, metadata={"CreationDate": None} if options.format == "pdf" else {"Date": None} if options.format == "svg" else None)
        plt.close(figure)
        print(path)


if __name__ == "__main__":
    main()
