"""`saga build-supervisor`: pretrain the tiny supervisor."""

from pathlib import Path

from pipelines.answer import Answer
from pipelines.commands import outputs
from pipelines.configuration import load_config
from pipelines.progress import reporter, shown
from saga.supervisors.pretraining.configuration import PretrainingConfig


def main(config: Path, output: Path, settings: list[str]) -> Answer:
    """Pretrain, save, and say how well it describes."""
    pretraining = load_config(PretrainingConfig, config, settings)
    outputs.check_new(output, "--output")
    from pipelines.environment import git_state
    from saga.supervisors.pretraining.train import build_supervisor

    with shown():
        report = reporter("pretrain")
        facts = build_supervisor(
            pretraining,
            output,
            str(git_state()["git_commit"]),
            lambda done, total, losses: report(done, total, f"loss {losses['answers']:.3f}"),
        )
    accuracy = "\n".join(f"  {name}: {value:.1%}" for name, value in facts["accuracy"].items())
    text = (
        f"{output} written in {facts['minutes']} minutes. Accuracy on held-out images:\n{accuracy}"
    )
    return Answer({"output": str(output)} | facts, text)
