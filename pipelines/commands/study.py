"""`saga study`: arms × regimes × seeds, one table."""

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipelines.answer import INPUT, OURS, Answer
from pipelines.overrides import apply_override
from pipelines.progress import reporter, shown
from saga.errors import UserInputError
from saga.settings.typed import Problems, build
from saga.studies.configuration import StudyConfig
from saga.studies.reading import read_study
from saga.studies.tuned import Tuned, check_tuned, load_tuned

STUDIES = Path("studies")
QUICK_SEEDS = 2


def main(
    config: Path,
    settings: list[str],
    quick: bool,
    tune: bool,
    only: str | None,
    explain: bool,
    jobs: int | None,
) -> Answer:
    """Make the cells that are missing, then the table; or tune; or make one cell again; or explain."""
    if tune and (only is not None or quick):
        raise UserInputError("--tune goes with neither --cell nor --quick. Leave one of them out.")
    if explain and (tune or only is not None):
        raise UserInputError(
            "--explain goes with neither --tune nor --cell. Leave one of them out."
        )
    study = load_study(config, settings)
    if quick:
        study = replace(study, seeds=min(study.seeds, QUICK_SEEDS))
    if jobs is not None:
        study = replace(study, jobs=jobs)
    again = command_line(config, settings, quick)
    if tune:
        return _tune(study, config)
    tuned = _tuned(study, config)
    if explain:
        return _explain(study, tuned, config)
    return _one(study, tuned, only, config) if only else _all(study, tuned, config, again)


def load_study(config: Path, settings: list[str]) -> StudyConfig:
    """Read a study's configuration, with what it extends.

    Raises:
        UserInputError: one message with every problem found.
    """
    raw, problems = read_study(config), Problems(str(config), StudyConfig)
    for text in settings:
        apply_override(raw, text, problems)
    study = build(StudyConfig, raw, problems)
    problems.raise_all()
    assert study is not None, "a configuration without problems can be built"
    return study


def command_line(config: Path, settings: list[str], quick: bool = False, tune: bool = False) -> str:
    """The command that repeats this study."""
    words = ["saga", "study", str(config)]
    words += ["--quick"] if quick else []
    words += ["--tune"] if tune else []
    for text in settings:
        words += ["--set", text]
    return shlex.join(words)


def resume_hint(config: Path, settings: list[str], quick: bool, tune: bool) -> str:
    """What to do after Ctrl-C."""
    return (
        "Cells that were finished are kept, and training goes on from its last checkpoint: "
        f"{command_line(config, settings, quick, tune)}"
    )


def _all(study: StudyConfig, tuned: Tuned | None, config: Path, command: str) -> Answer:
    from saga.studies.cells import study_cells
    from saga.studies.table import table

    cells = study_cells(study, tuned, str(config))
    _check_combinations(cells, config)
    runner = _runner(study)

    def write(failures: list[Any]) -> dict[str, Any]:
        return _write(study, tuned, cells, runner.store, failures, command)

    def after(cell: Any) -> None:
        """A summary after each whole seed: a study that is broken off has one."""
        if all(runner.store.has(other) for other in cells if other.seed == cell.seed):
            write([])

    runner.after = after
    with shown():
        failures = runner.run(cells)
    summary = write(failures)
    alone = f"One cell alone: {summary['cell_command']}"
    text = "\n".join([table(summary), "", *summary["files"], alone])
    return _failed(failures, summary, text) if failures else Answer(summary, text)


def _check_combinations(cells: list[Any], config: Path) -> None:
    """Refuse arms whose settings are impossible together, as `saga run` does.

    Raises:
        UserInputError: with every problem of every arm.
    """
    from pipelines.combinations import check_combinations
    from pipelines.configuration import RunConfig

    trained = {(c.regime, c.arm): c.config for c in cells if c.config.of == "train"}
    found: dict[str, None] = {}
    for (regime, arm), cell in trained.items():
        run = RunConfig(
            name=arm,
            model=arm,
            training=cell.training,
            baseline=cell.training,
            baseline_encoder=cell.encoder,
            dataset=cell.dataset,
            supervisor=cell.supervisor,
            encoder=cell.encoder,
            mining=cell.mining,
            evaluation=cell.evaluation,
        )
        problems = Problems(f"{config}, arm {arm} in {regime}", RunConfig)
        check_combinations(run, problems)
        try:
            problems.raise_all()
        except UserInputError as error:
            found |= dict.fromkeys(str(error).splitlines())
    if found:
        raise UserInputError("\n".join(found))


def _write(
    study: StudyConfig,
    tuned: Tuned | None,
    cells: list[Any],
    store: Any,
    failures: list[Any],
    command: str,
) -> dict[str, Any]:
    """Write report.html and summary.json of the cells that are whole; returns the summary."""
    from pipelines.environment import environment
    from saga.files import write_json, write_text
    from saga.reports.study import study_report
    from saga.studies.summary import study_id, summarise

    summary = summarise(study, tuned, cells, store, failures, environment())
    folder = STUDIES / study_id(study, tuned)
    report, facts = folder / "report.html", folder / "summary.json"
    summary |= {
        "command": command,
        "cell_command": f"{command} --cell {cells[0].name}",
        "files": [str(facts), str(report)],
    }
    write_text(report, study_report(summary))
    write_json(facts, summary)
    return summary


def _one(study: StudyConfig, tuned: Tuned | None, name: str, config: Path) -> Answer:
    from saga.studies.cells import named, study_cells

    cell = named(study_cells(study, tuned, str(config)), name)
    _check_combinations([cell], config)
    runner = _runner(study)
    before = runner.store.facts(cell) if runner.store.has(cell) else None
    with shown():
        failures = runner.run([cell], again=True)
    if failures:
        return _failed(failures, {"cell": name}, f"The cell {name} could not be made.")
    facts = runner.store.facts(cell)
    same = None if before is None else before["report_digest"] == facts["report_digest"]
    lines = [f"{name} in {facts['seconds']} s: {runner.store.folder(cell)}"]
    lines += [f"{metric:<14}{value:8.4f}" for metric, value in facts["metrics"].items()]
    if same is not None:
        lines.append("Every query as before." if same else "Not every query as before.")
    folder = str(runner.store.folder(cell))
    return Answer(
        {"cell": name, "folder": folder, "metrics": facts["metrics"], "as_before": same},
        "\n".join(lines),
    )


def _explain(study: StudyConfig, tuned: Tuned | None, config: Path) -> Answer:
    import time

    from saga.files import write_json
    from saga.studies.cells import study_cells
    from saga.studies.explanation import explain
    from saga.studies.explanation_table import explanation_table
    from saga.studies.summary import study_id

    cells = study_cells(study, tuned, str(config))
    runner = _runner(study)
    with shown():
        regimes = explain(
            cells,
            runner.store,
            runner.data,
            study.jobs,
            lambda done, total: runner.report(
                100 * done // total, 100, f"{done} of {total} probes"
            ),
        )
    path = STUDIES / study_id(study, tuned) / "explanation.json"
    facts = {
        "study_id": study_id(study, tuned),
        "regimes": regimes,
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    } | runner.git
    write_json(path, facts)
    return Answer(facts, f"{explanation_table(regimes)}\n\n{path}")


def _tune(study: StudyConfig, config: Path) -> Answer:
    from saga.files import write_json
    from saga.studies.tuning import choose, joined, trials

    if study.tuned is None:
        raise UserInputError(
            f"{config}: tuned is not set. Name the file that --tune writes, for example "
            "--set tuned=tuned.yaml."
        )
    path = _tuned_path(study.tuned, config)
    tried = trials(study, str(config))
    _check_combinations([cell for trial in tried for cell in trial.cells], config)
    runner = _runner(study)
    with shown():
        failures = runner.run([cell for trial in tried for cell in trial.cells])
    if failures:
        return _failed(failures, {"tuned": None}, "Nothing was chosen.")
    tuned, log = choose(study, tried, runner.store)
    lines = [
        f"{regime:<16}{arm:<24}{tuned.tried[regime][arm]:>3} tried   {_words(setting)}"
        for regime, arms in tuned.settings.items()
        for arm, setting in arms.items()
    ]
    if path.exists():
        tuned = joined(load_tuned(path), tuned)
    log_path = path.with_suffix(".json")
    tuned.save(path)
    write_json(log_path, _joined_log(log_path, log))
    return Answer(
        {"tuned": str(path), "log": str(log_path), "settings": tuned.settings},
        "\n".join([*lines, f"Chosen settings: {path}", f"All that were tried: {log_path}"]),
    )


def _joined_log(path: Path, log: dict[str, Any]) -> dict[str, Any]:
    """The new searches, and those of other arms that an earlier log of the same way holds."""
    import json

    try:
        old = json.loads(path.read_text(encoding="utf-8"))
        kept = old["settings"] if _way(old) == _way(log) else []
        searched = {(entry["regime"], entry["arm"]) for entry in log["settings"]}
        kept = [entry for entry in kept if (entry["regime"], entry["arm"]) not in searched]
    except (OSError, ValueError, KeyError, TypeError):
        kept = []
    return log | {"settings": [*kept, *log["settings"]]}


def _way(log: dict[str, Any]) -> tuple[Any, ...]:
    tuning = log["tuning"]
    return (tuning["data_seed"], tuning["seeds"], tuning["metric"], log["steps"])


def _runner(study: StudyConfig) -> Any:
    from pipelines.environment import git_state
    from pipelines.home import home
    from saga.studies.runner import Runner
    from saga.studies.store import CellStore

    report = reporter("study, %")
    return Runner(CellStore(STUDIES / "cells"), home() / "data", git_state(), study.jobs, report)


def _tuned(study: StudyConfig, config: Path) -> Tuned | None:
    if study.tuned is None:
        return None
    path = _tuned_path(study.tuned, config)
    tuned = load_tuned(path)
    check_tuned(tuned, study, path)
    return tuned


def _tuned_path(given: str, config: Path) -> Path:
    """Relative to the configuration's folder."""
    return config.parent / given


def _failed(failures: list[Any], facts: dict[str, Any], text: str) -> Answer:
    """Exit 2 where every cell refused its input, else 1; each with its log."""
    lines = [
        f"{failure.cell.name} failed ({failure.reason}): {failure.log}" for failure in failures
    ]
    code = INPUT if all(failure.code == INPUT for failure in failures) else OURS
    logs = [{"cell": failure.cell.name, "log": str(failure.log)} for failure in failures]
    message = "\n".join(
        [text, f"{len(failures)} cells failed; the same command tries them again:", *lines]
    )
    return Answer(facts | {"failures": logs, "exit_code": code}, message, code, problem=True)


def _words(setting: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value:g}" for name, value in setting.items())
