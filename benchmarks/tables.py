"""The tables of docs/performance.md, from the committed results of the benchmarks.

    python -m benchmarks.tables docs/performance.md

rewrites what stands between the page's markers; no figure there is typed by hand.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.floor import H200, Language, Tower, Work, floor_seconds
from benchmarks.page import Facts, Tables, head, rewrite, row
from benchmarks.presets import PRESETS
from benchmarks.scaling import PAYS

RESULTS = Path(__file__).parent / "results"
PHASES = ("rollout", "replay", "attention", "tower", "dml", "optimizer", "data", "other", "step")
WAYS = {"ours": "saga", "naive": "naive"}


def step(found: Facts) -> Iterator[str]:
    """Seconds by phase, side by side, and their ratios."""
    sizes, seconds = found["sizes"], found["seconds"]
    yield (
        f"{sizes['pairs']} pairs × {sizes['group']} completions, {sizes['images']} images of "
        f"{sizes['image_size']} px, prompt {sizes['prompt_tokens']} tokens, completions of "
        f"{sizes['completion_tokens_mean']:.1f} tokens on average; {sizes['replayed_pairs']} pairs "
        f"contributed. {_where(found)}"
    )
    yield ""
    yield from head("phase, ms", *WAYS.values(), "naive / saga")
    for phase in PHASES:
        ours, naive = (1000 * seconds[way][phase] for way in WAYS)
        ratio = f"{naive / ours:.1f}" if naive and ours and phase not in ("other", "data") else ""
        yield row(
            f"**{phase}**" if phase == "step" else phase, f"{ours:.1f}", f"{naive:.1f}", ratio
        )
    ratios, equal = found["ratios"], found["equal"]
    yield ""
    yield (
        f"`ratios`: rollout {ratios['rollout']:.1f} (target 3), replay with attention capture "
        f"{ratios['replay']:.1f} (target 4), whole step {ratios['step']:.1f} (target 3). SAGA over a "
        f"DML step: {found['saga_over_dml']:.2f} (target at most 4). Tokens per second: saga "
        f"{found['tokens_per_second']['ours']:,.0f}, naive {found['tokens_per_second']['naive']:,.0f}."
    )
    yield (
        f"Share of the floor on this CPU: {100 * found['floor']['fraction']:.0f} %. Same completions: "
        + ", ".join(f"{name} {value:.1e}" for name, value in equal.items() if _number(value))
        + "."
    )


def versions(found: Facts) -> Iterator[str]:
    """The parts of a step, of the embedded example, at two commits."""
    before, after = (commit[:7] for commit in found["commits"])
    yield _where(found)
    yield ""
    yield from head("embedded example, ms", before, after, "before / after")
    for name, ratio in found["ratios"].items():
        old, new = (1000 * side[name] for side in found["seconds"])
        yield row(name, f"{old:.0f}", f"{new:.0f}", f"{ratio:.2f}")


def sweep(found: Facts) -> Iterator[str]:
    """How a step grows with each factor."""
    yield from head(
        "factor", "value", "step, ms", "rollout, ms", "replay, ms", "tower and backward, ms"
    )
    for factor, rows in found["sweep"].items():
        for measured in rows:
            phases = measured["phases"]
            tower = phases.get("tower", 0) + phases.get("backward", 0)
            cells = (measured["seconds"], phases.get("rollout", 0), phases.get("replay", 0), tower)
            yield row(factor, str(measured["value"]), *(f"{1000 * s:.0f}" for s in cells))


def choice(found: Facts) -> Iterator[str]:
    """Shares of contributing pairs by mode, and the lean."""
    seeds = ", ".join(map(str, found["seeds"]))
    yield (
        f"{_where(found)} {found['steps']} steps of the embedded example, seeds {seeds}; means over the "
        f"steps after the first {found['skipped_steps']}."
    )
    yield ""
    names = ("contributing", "contributing_explored", "contributing_predicted", "similarity_shift")
    yield from head(
        "mode", "contributing", "drawn evenly", "predicted", "cosine, shift of the mean"
    )
    for mode, rows in found["modes"].items():
        columns = [[row[name] for row in rows if name in row] for name in names]
        cells = ["–" if not c else f"{sum(c) / len(c):.3f}" for c in columns]
        yield row(mode, *cells)


def retrieval(found: Facts) -> Iterator[str]:
    """CPU seconds of R@{1,2,4,8} and NMI; wall seconds hang on what else a machine does."""
    ratios = found["ratios"]
    yield (
        f"{_where(found)} CPU seconds. Smallest ratios in wall seconds of the same run, beside other "
        f"work on the machine: PML / saga {ratios['vs_pytorch_metric_learning']:.1f}, product / saga "
        f"{ratios['vs_matmul_topk']:.2f}."
    )
    yield ""
    yield from head(
        "embeddings",
        "saga, s",
        "search alone, s",
        "pytorch-metric-learning, s",
        "bare product and top-k, s",
        "PML / saga",
        "product / saga",
        "peak memory, MB",
    )
    for case in found["cases"]:
        seconds, ratios = case["cpu_seconds"], case["cpu_ratios"]
        names = ("saga", "saga_search_only", "pytorch_metric_learning", "matmul_topk")
        yield row(
            case["size"].replace("x", " × "),
            *(f"{seconds[name]:.1f}" if name in seconds else "–" for name in names),
            f"{ratios['vs_pytorch_metric_learning']:.1f}",
            f"{ratios['vs_matmul_topk']:.2f}",
            f"{case['peak_memory_bytes']['saga'] / 1e6:.0f}",
        )


def extraction(found: Facts) -> Iterator[str]:
    """Throughput of extraction over the bare tower's."""
    yield _where(found)
    yield ""
    yield from head(
        "tower", "bare, ms an image", "preparing an image, ms", "with workers", "without"
    )
    for tower, case in found["towers"].items():
        yield row(
            tower,
            f"{case['bare_ms']:.1f}",
            f"{case['prepare_ms']:.1f}",
            f"{case['ratio']:.2f}",
            f"{case['ratio_without_overlap']:.2f}",
        )


def scaling(found: Facts) -> Iterator[str]:
    """What more GPUs bring, and where that ends."""
    assumed, pays, held = found["assumed"], found["pays_up_to"], found["tokens_held"]
    weak, strong, room = found["weak"], found["strong"]["balanced"], held["room_bytes"]
    yield from head(
        "GPUs",
        "efficiency, balanced",
        "efficiency, in turns",
        "efficiency, where rolled out",
        "waiting, balanced",
        "waiting, where rolled out",
        "exchanging",
        "GB a step",
        "efficiency, slower GPUs",
        "one step: times as fast",
    )
    columns = (weak["balanced"], weak["turns"], weak["rolled out"], found["weak_slower"])
    for place, (balanced, turns, rolled, slower) in enumerate(zip(*columns)):
        faster = strong[0]["seconds"] / strong[place]["seconds"] if place < len(strong) else None
        yield row(
            str(balanced["gpus"]),
            *(f"{row['efficiency']:.2f}" for row in (balanced, turns, rolled)),
            *(f"{100 * row['wait_share']:.0f} %" for row in (balanced, rolled)),
            f"{100 * balanced['exchange_share']:.0f} %",
            f"{balanced['bytes'] / 1e9:.1f}",
            f"{slower['efficiency']:.2f}",
            "–" if faster is None else f"{faster:.2f}",
        )
    wider = found["weak_wider"]
    of_wider = ", ".join(f"{dealing} {of[-1]['efficiency']:.2f}" for dealing, of in wider.items())
    lengths = assumed["lengths"]
    yield ""
    yield (
        f"One GPU's step: {assumed['images']} images and {assumed['pairs']} pairs a batch, "
        f"{assumed['wanted']} contributing pairs × {assumed['group']} completions; a pair contributes "
        f"with {assumed['contributing']:.2f} (`choice.json`), so several batches make a step. Lengths: "
        f"log-normal, mean {lengths['mean']} tokens, sigma {lengths['sigma']} of the logarithm, "
        f"{100 * lengths['between']:.0f} % of the variance between pairs, expected with a correlation "
        f"of {lengths['known']:.2f}. Slower GPUs: {assumed['slowdown']:.1f} times the floor's seconds. "
        f"With sigma {assumed['wider_sigma']}, efficiency at {wider['balanced'][-1]['gpus']} GPUs: "
        f"{of_wider}."
    )
    yield ""
    yield (
        f"Where it stops paying, if twice the GPUs must do at least {PAYS} times the work: one step "
        + (
            f"shared, at {pays['strong']} GPUs"
            if pays["strong"] > 1
            else "shared, with the second GPU"
        )
        + f"; a growing step not before {pays['weak']}. But every rank keeps all images' tokens and their "
        f"gradients, {held['bytes_a_gpu'] / 1e9:.2f} GB for each GPU that takes part, and beside the "
        f"model {room / 1e9:.0f} GB are free: **{room // held['bytes_a_gpu']:.0f} GPUs at most**. One step "
        "an epoch comes at "
        + " and ".join(f"{gpus:.0f} GPUs ({n})" for n, gpus in found["one_step_an_epoch"].items())
        + f". If every rank read all answers, as it did before, that alone would take "
        f"{found['read_by_all_seconds_a_gpu']:.2f} s a step for each GPU that takes part."
    )
    seen = found["measured"]
    steps = [(of["formula"]["total"], of["measured"]) for of in seen["bytes"]]
    most = max(abs(formula - given) for formula, by_rank in steps for given in by_rank)
    shares = ", ".join(f"{100 * share:.1f} %" for share in seen["wait_share_of_each"])
    yield ""
    yield (
        f"Measured over {seen['ranks']} processes (gloo), {seen['steps']} steps of the embedded example: "
        f"{min(f for f, _ in steps):,} to {max(f for f, _ in steps):,} bytes a step and rank; the formula "
        f"is off by {most} bytes at most. Waiting of the two ranks: {shares}. {_where(found)}"
    )


def floor(_: Facts) -> Iterator[str]:
    """Least seconds of a Qwen3-VL-8B step on one H200."""
    preset = PRESETS["qwen3-vl-8b"]
    assert preset.shape is not None
    ids = dict.fromkeys(("image", "video", "start", "stop", "pad", "end"), 0)
    config = preset.shape.config(ids)
    language, tower = Language.of(config.text_config, 2), Tower.of(config.vision_config)
    work = Work(650, [[450] * 8] * 8, 64, 224)
    found = floor_seconds(language, tower, work, H200)
    yield from head("part", "least seconds")
    for part, seconds in found.items():
        yield row(part, f"{seconds:.2f}")


TABLES: Tables = {
    "floor": ("", floor),
    "step": ("step-tiny-cpu.json", step),
    "sweep": ("step-tiny-cpu.json", sweep),
    "versions": ("versions.json", versions),
    "choice": ("choice.json", choice),
    "scaling": ("scaling.json", scaling),
    "retrieval": ("retrieval.json", retrieval),
    "extraction": ("extraction.json", extraction),
}


def _where(found: Facts) -> str:
    place = found["environment"]
    commit = str(place["git_commit"])[:7] + (" and changes" if place["git_dirty"] else "")
    cores = place["hardware"]["cores"]
    return (
        f"Measured {place['date'][:10]} at {commit}, {place['hardware']['processor']}, {cores} cores, "
        f"{place['threads']} thread{'s' if place['threads'] > 1 else ''}."
    )


def _number(value: Any) -> bool:
    return isinstance(value, float)


if __name__ == "__main__":
    rewrite(TABLES, RESULTS)
