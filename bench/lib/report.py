# SPDX-License-Identifier: GPL-2.0-or-later
"""report.py - what bench/engine found: the table, the verdicts beside the targets, the plot."""
import math
import statistics

# Groups in the order of the table, with the factors against native that were measured for the peers when the project
# began and that Mica is to reach: translated, and whole (with guest user code executed directly).
GROUPS = {
    "integer": ("integer", 6.0, 0.95, 1.5, 1.05),
    "branchy": ("branchy, indirect calls", 5.9, 1.0, 1.8, 1.05),
    "memory": ("memory", 13, 1.0, 1.5, 1.05),
    "fp": ("floating point, vectors, x87", 37, 1.0, 1.2, 1.05),
    "os": ("OS-heavy", 9.7, 19, 3, 3),
    "busybox": ("busybox gzip, gunzip, sh", 6.3, 1.0, 1.8, 1.1),
    "jit": ("guest JIT code", 290, 2.8, 20, 3),
    "parallel": ("two vCPUs in parallel", 2.7, None, 1.5, 1.3),
    "further": ("further", None, None, None, None),
}
FIRST_SIX = ("integer", "branchy", "memory", "fp", "os", "busybox")
FIRST_SIX_TARGETS = ("geometric mean of the first six", 10, 1.5, 1.75, 1.3)
NEAR_64 = 1.3  # an instruction of 32-bit code is to take no more than so many times one of the 64-bit code of the same work
BUSY = 0.5  # load average above which the host is said to be busy
UNSTEADY = 1.25  # times of the host itself that differ by more than this factor between rounds are marked
BOOT_TARGETS = {"boot-init": ("stock Debian kernel to init", 1.0), "boot-login": ("Debian disk to login:", 10.0)}


def geomean(values):
    values = [v for v in values if v]
    return math.exp(sum(map(math.log, values)) / len(values)) if values else None


def factor(value):
    if value is None:
        return "-"
    return f"{value:.0f}x" if value >= 99.5 else f"{value:.1f}x" if value >= 9.95 else f"{value:.2f}x"


def summarise(result):
    """Adds medians, ratios and means to the raw times: result["work"][name]["seconds"][side] = [of each round]."""
    sides = [s for s in result["sides"] if s != "native"]
    for work in result["work"].values():
        native = work["seconds"].get("native", [])
        work["unsteady"] = bool(native) and max(native) > UNSTEADY * min(native)
        work["median"] = {s: statistics.median(t) for s, t in work["seconds"].items() if t}
        # The ratio within each round, so that what the host is doing at the time touches both.
        work["ratio"] = {s: statistics.median(mine / base for mine, base in zip(t, native))
                         for s, t in work["seconds"].items() if s != "native" and t and native}
        counted = work.get("instructions", {})
        work["insns"] = counted["32"] / counted["64"] if len(counted) == 2 else None
    result["groups"], result["insns"] = {}, {}
    for group in GROUPS:
        works = [w for w in result["work"].values() if w["group"] == group]
        if works:
            result["groups"][group] = {s: geomean([w["ratio"].get(s) for w in works]) for s in sides}
            result["insns"][group] = geomean([w["insns"] for w in works])
    result["first_six"] = {}
    for side in sides:
        means = [result["groups"].get(g, {}).get(side) for g in FIRST_SIX]
        if all(means):
            result["first_six"][side] = geomean(means)
    for boot in result["boots"].values():
        boot["median"] = {s: statistics.median(t) for s, t in boot["seconds"].items() if t}
    return result


def table(result):
    sides = [s for s in result["sides"] if s != "native"]
    # With --compare, how long the other builds take as a multiple of the first.
    others = [s for s in sides if s.startswith("mica:")] if "mica" in sides else []
    width = max([9] + [len(s) + 1 for s in sides] + [len(s) + 6 for s in others])
    lines = []

    counted = any(result["insns"].values())

    def against(values, insns=None):
        """With --bits 32 the instructions; the values of all sides, then those of the other builds divided by Mica's."""
        return [factor(insns)] * counted + [factor(values.get(s)) for s in sides] + [
            factor(values[s] / values["mica"] if values.get(s) and values.get("mica") else None) for s in others]

    def row(name, native, values, targets=None):
        text = f"{name:32}{native:>10}" + "".join(f"{v:>{width}}" for v in values)
        if targets:
            text += "   |" + "".join(f"{t:>8}" for t in targets)
        lines.append(text.rstrip())

    if result["bits"] == 32:
        lines.append(f"32-bit code under {result['kernel_32'] or 'a 64-bit kernel'}; native is the 64-bit build of the same work, and mica-64 that "
                     "translated" + "; insns: instructions that the 32-bit build takes, as a multiple of the 64-bit one's" * counted)
    row("time as a multiple of native", "native s", ["insns"] * counted + sides + [s + "/mica" for s in others],
        ("TCG", "UML", "Mica", "whole") if result["bits"] == 64 else None)
    for group, (title, *targets) in GROUPS.items():
        if group not in result["groups"]:
            continue
        lines.append("")
        for name, work in result["work"].items():
            if work["group"] == group:
                median = work["median"].get("native")
                row("  " + name, f"{median:.3f}" + "~" * work["unsteady"] if median else "-", against(work["ratio"], work["insns"]))
        row(title, "", against(result["groups"][group], result["insns"][group]), [factor(t) for t in targets] if any(targets) and result["bits"] == 64 else None)
    if result["first_six"]:
        lines.append("")
        row(FIRST_SIX_TARGETS[0], "", against(result["first_six"]), [factor(t) for t in FIRST_SIX_TARGETS[1:]])
    if result["boots"]:
        lines.append("")
        row("seconds", "", sides + [""] * len(others), ("target",))
        for name, boot in result["boots"].items():
            title, target = BOOT_TARGETS[name]
            shown = [f"{boot['median'][s]:.2f}" if s in boot["median"] else "-" for s in sides]
            row("  " + title, "", shown + [""] * len(others), (f"{target:.0f} s",))
    return "\n".join(lines)


def verdicts(result):
    """What the project promises of these numbers, and where they miss it."""
    lines = []
    unsteady = sum(w["unsteady"] for w in result["work"].values())
    if unsteady:
        lines.append(f"~: the host's own times differ by more than {UNSTEADY - 1:.0%} between rounds ({unsteady} workloads): it did something "
                     "else meanwhile, and factors of these are not to be relied on")
    if result["host"]["load"] > BUSY:
        lines.append(f"the host was busy before the run already: load average {result['host']['load']:.1f}")
    for side in result["sides"]:
        if not side.startswith("mica") or side == "mica-64":
            continue
        for peer, groups, what in (("tcg", GROUPS, "every workload faster than TCG"),
                                   ("uml", ("os",), "every OS-heavy workload faster than User-mode Linux")):
            slower = [(name, w["ratio"][side] / w["ratio"][peer]) for name, w in result["work"].items()
                      if w["group"] in groups and side in w["ratio"] and peer in w["ratio"] and w["ratio"][side] >= w["ratio"][peer]]
            both = sum(1 for w in result["work"].values()
                       if w["group"] in groups and side in w["ratio"] and peer in w["ratio"])
            if both:
                lines.append(f"{side}: {what}: " + (f"yes, all {both}" if not slower else f"no, {len(slower)} of {both} are slower: " +
                             ", ".join(f"{n} ({r:.1f} times)" for n, r in sorted(slower, key=lambda s: -s[1]))))
        if result["bits"] == 32:
            near = {g: means[side] / means["mica-64"] for g, means in result["groups"].items() if means.get(side) and means.get("mica-64")}
            each = {g: r / result["insns"][g] for g, r in near.items() if result["insns"].get(g)}
            if near:
                lines.append(f"{side}: 32-bit code beside 64-bit code: " + ", ".join(f"{g} {r:.2f}" for g, r in near.items()))
            if each:
                lines.append(f"{side}: ... by instruction, at most {NEAR_64} times: " +
                             ", ".join(f"{g} {r:.2f}{' (missed)' * (r > NEAR_64)}" for g, r in each.items()))
            continue
        # (what, measured, target, as text)
        targets = [(GROUPS[g][0], means.get(side), GROUPS[g][3], factor) for g, means in result["groups"].items()]
        targets.append((FIRST_SIX_TARGETS[0], result["first_six"].get(side), FIRST_SIX_TARGETS[3], factor))
        targets += [(BOOT_TARGETS[b][0], boot["median"].get(side), BOOT_TARGETS[b][1], "{:.2f} s".format)
                    for b, boot in result["boots"].items()]
        targets = [t for t in targets if t[1] and t[2]]
        missed = [f"{what} {shown(got)} (target {shown(target)})" for what, got, target, shown in targets if got > target]
        if targets:
            lines.append(f"{side}: {len(targets) - len(missed)} of {len(targets)} targets reached" +
                         (", missed: " + "; ".join(missed) if missed else ""))
        absent = [name for name, w in result["work"].items() if side not in w["ratio"]]
        if absent:
            lines.append(f"{side}: not measured, and so in no mean: {', '.join(absent)}")
    return "\n".join(lines)


COLOURS = {"mica": "#1b7837", "mica-64": "#5aae61", "tcg": "#d95f02", "uml": "#7570b3"}
OTHERS = ("#5aae61", "#a6dba0", "#01665e", "#c7eae5")


def plot(result, path):
    """Grouped bars on a log scale: the groups' means with the targets on top, every workload below. Returns an error or None."""
    try:
        import matplotlib
        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError:
        return "no plot: matplotlib is not installed (Debian package python3-matplotlib)"
    sides = [s for s in result["sides"] if s != "native"]
    others = iter(OTHERS * 4)
    colours = {s: COLOURS[s] if s in COLOURS else next(others) for s in sides}
    label = {"mica": "Mica", "mica-64": "Mica, 64-bit code translated", "tcg": "QEMU TCG", "uml": "User-mode Linux"}
    groups = [g for g in GROUPS if g in result["groups"]]
    halves = [[g for g in groups if g in ("integer", "branchy", "memory", "fp")],
              [g for g in groups if g not in ("integer", "branchy", "memory", "fp")]]
    halves = [h for h in halves if h]
    if not halves:
        return "no plot: nothing to draw"
    figure, axes = pyplot.subplots(1 + len(halves), 1, figsize=(16, 5.2 * (1 + len(halves))), squeeze=False)
    axes = [a[0] for a in axes]

    def bars(axis, entries, separators=()):
        """entries: (label, {side: ratio}); a bar goes up or down from 1."""
        each = 0.8 / max(len(sides), 1)
        for n, side in enumerate(sides):
            at = [i - 0.4 + each * (n + 0.5) for i, (_, r) in enumerate(entries) if r.get(side)]
            values = [r[side] for _, r in entries if r.get(side)]
            axis.bar(at, [v - 1 for v in values], each * 0.92, bottom=1, color=colours[side], label=label.get(side, side))
            for x, v in zip(at, values):
                text = f"{v:.0f}" if v >= 99.5 else f"{v:.1f}"
                axis.annotate(text, (x, max(v, 1)), xytext=(0, 2), textcoords="offset points", ha="center", va="bottom",
                              fontsize=7 if len(entries) < 14 else 5.5, rotation=90 if len(entries) > 14 else 0)
        axis.set_yscale("log")
        axis.axhline(1, color="black", linewidth=0.8)
        axis.set_xticks(range(len(entries)))
        axis.set_xticklabels([name for name, _ in entries], rotation=0 if len(entries) < 12 else 45,
                             ha="center" if len(entries) < 12 else "right", fontsize=8)
        axis.set_xlim(-0.6, len(entries) - 0.4)
        low, high = axis.get_ylim()
        axis.set_ylim(min(low, 0.7), high * 2)
        axis.yaxis.set_major_formatter(lambda v, _: f"{v:g}x")
        axis.grid(axis="y", which="major", color="#dddddd")
        axis.set_axisbelow(True)
        axis.set_ylabel("time, native = 1")
        for at in separators:
            axis.axvline(at - 0.5, color="#999999", linewidth=0.8)

    means = [(GROUPS[g][0].replace(", ", ",\n"), result["groups"][g]) for g in groups]
    targets = [GROUPS[g][3] if result["bits"] == 64 else None for g in groups]
    if result["first_six"]:
        means.append(("geometric mean\nof the first six", result["first_six"]))
        targets.append(FIRST_SIX_TARGETS[3])
    bars(axes[0], means)
    for i, target in enumerate(targets):
        if target:
            axes[0].plot([i - 0.45, i + 0.45], [target, target], color="#b2182b", linewidth=2,
                         label="Mica's target, translated" if i == 0 else None)
    axes[0].set_title("Geometric mean of each group: time as a multiple of native, lower is better "
                      f"({result['host']['cpu']}, {result['date']}, rounds: {result['rounds']})")
    axes[0].legend(loc="upper left", ncols=6, fontsize=9)
    for axis, half in zip(axes[1:], halves):
        entries, separators = [], []
        for group in half:
            separators.append(len(entries))
            entries += [(name, w["ratio"]) for name, w in result["work"].items() if w["group"] == group]
        bars(axis, entries, separators[1:])
        for group, at in zip(half, separators):
            axis.annotate(GROUPS[group][0], (at - 0.45, 1), xycoords=("data", "axes fraction"), xytext=(2, -4),
                          textcoords="offset points", va="top", fontsize=9, fontweight="bold")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
    return None
