"""Settings that are right by themselves and impossible together.

Each check reads some sections, is skipped where one of them already has a problem, and yields
(setting, message) pairs. What needs the dataset or the supervisor's files is in
pipelines.preflight.
"""

from collections.abc import Callable, Iterator

from pipelines.configuration import RunConfig, gate_policy_path, study_path
from saga.data.splits import CANONICAL_CLASSES
from saga.encoders.configuration import EncoderConfig
from saga.errors import UserInputError
from saga.settings.typed import Problems
from saga.supervisors.prompts import load_prompt
from saga.training.configuration import TrainingConfig

Found = Iterator[tuple[str, str]]


def check_combinations(run: RunConfig, problems: Problems) -> None:
    """Note every combination that cannot mean anything."""
    sound = [check for sections, check in CHECKS if not problems.touch(*sections)]
    for check in sound:
        for setting, message in check(run):
            if _as_candidate(setting, message) not in problems.found:
                problems.add(setting, message)


def _as_candidate(setting: str, message: str) -> tuple[str, str]:
    """What the candidate would be told: the baseline takes most settings from it."""
    setting, message = (
        text.replace("baseline_encoder", "encoder").replace("baseline", "training")
        for text in (setting, message)
    )
    return setting, message


def _arms(run: RunConfig) -> Iterator[tuple[str, str, TrainingConfig, EncoderConfig]]:
    """Candidate and baseline, each with the names of its sections."""
    yield "training", "encoder", run.training, run.encoder
    yield "baseline", "baseline_encoder", run.baseline, run.baseline_encoder


def _prompt_exists(run: RunConfig) -> Found:
    try:
        load_prompt(run.supervisor.prompt)
    except UserInputError as error:
        yield "supervisor.prompt", str(error)


def _alignment_needs_attributes(run: RunConfig) -> Found:
    try:
        prompt = load_prompt(run.supervisor.prompt)
    except UserInputError:  # told by _prompt_exists
        return
    for section, _, training, _ in _arms(run):
        if training.weights.kl > 0 and not prompt.attributes:
            yield (
                f"{section}.weights.kl",
                f"{section}.weights.kl is {training.weights.kl:g}, but the prompt {prompt.name} "
                "asks for no attributes, so there are no tokens whose attention could be aligned. "
                f"Set {section}.weights.kl to 0, or supervisor.prompt to one with attributes.",
            )


def _alignment_needs_attention(run: RunConfig) -> Found:
    for section, encoder, training, chosen in _arms(run):
        kind = chosen.pooler.kind
        if training.weights.kl > 0 and kind in ("mean", "max"):
            yield (
                f"{section}.weights.kl",
                f"{section}.weights.kl is {training.weights.kl:g}, but a {kind} pooler has no "
                f"attention to align. Set {encoder}.pooler.kind to attention or attribute, or "
                f"{section}.weights.kl to 0.",
            )
        elif training.weights.kl > 0 and training.optimizer.pooler_lr == 0:
            yield (
                f"{section}.weights.kl",
                f"{section}.weights.kl is {training.weights.kl:g}, but "
                f"{section}.optimizer.pooler_lr is 0: alignment teaches the pooler alone. Set one "
                "of the two otherwise.",
            )


def _something_to_train(run: RunConfig) -> Found:
    for section, encoder, training, chosen in _arms(run):
        frozen = chosen.tuning == "frozen"
        if not frozen and training.optimizer.encoder_lr > 0:
            continue
        why = f"{encoder}.tuning is frozen" if frozen else f"{section}.optimizer.encoder_lr is 0"
        if training.weights.grpo > 0:
            yield (
                f"{section}.weights.grpo",
                f"{section}.weights.grpo is {training.weights.grpo:g}, but {why}: the verdict's "
                f"gradient reaches the encoder alone. Set {section}.weights.grpo to 0, or let the "
                "encoder learn.",
            )
        bare = chosen.pooler.kind in ("mean", "max") and chosen.pooler.embedding_dim is None
        if bare or training.optimizer.pooler_lr == 0:
            yield (
                f"{encoder}.pooler",
                f"{why}, and the {chosen.pooler.kind} pooler has nothing to learn either. Choose "
                f"the attention pooler with {section}.optimizer.pooler_lr above 0, or let the "
                "encoder learn.",
            )


def _buffer_can_fill(run: RunConfig) -> Found:
    for section, _, training, _ in _arms(run):
        drawn = training.pairs_per_round * training.max_rounds
        if training.weights.supervised and drawn < training.contributing_pairs:
            yield (
                f"{section}.contributing_pairs",
                f"{section}.contributing_pairs is {training.contributing_pairs}, but a step draws "
                f"at most pairs_per_round × max_rounds = {drawn} pairs. Lower it to {drawn}, or "
                "raise one of the two.",
            )


def _pairs_fit_batch(run: RunConfig) -> Found:
    for section, _, training, _ in _arms(run):
        classes, images = training.classes_per_batch, training.images_per_class
        same = classes * images * (images - 1) // 2
        if training.weights.supervised and (training.pairs_per_round + 1) // 2 > same:
            yield (
                f"{section}.pairs_per_round",
                f"{section}.pairs_per_round is {training.pairs_per_round}, half of them of one "
                f"class, but a batch of {classes} classes × {images} images holds {same} such "
                f"pairs. Allowed: at most {2 * same}.",
            )


def _processes_share_a_batch(run: RunConfig) -> Found:
    for section, _, training, _ in _arms(run):
        images = training.classes_per_batch * training.images_per_class
        spread = training.distributed
        if spread.processes > images:
            nodes = f" on each of {spread.nodes} nodes" if spread.nodes > 1 else ""
            yield (
                f"{section}.distributed.processes_per_node",
                f"{section}.distributed.processes_per_node is {spread.processes_per_node}{nodes}, but "
                f"a batch has {images} images, and each process needs one. Allowed: {images} in all.",
            )


def _batch_fits_data(run: RunConfig) -> Found:
    classes, images = _train_classes(run), _images_per_class(run)
    if classes is not None and classes < 2:
        yield (
            "dataset.validation_classes",
            f"dataset.validation_classes is {run.dataset.validation_classes}, which leaves "
            f"{classes} training classes. At least 2 are needed.",
        )
        return
    for section, _, training, _ in _arms(run):
        for name, given, most, what in (
            ("classes_per_batch", training.classes_per_batch, classes, "training classes"),
            ("images_per_class", training.images_per_class, images, "images a class"),
        ):
            if most is not None and given > most:
                yield (
                    f"{section}.{name}",
                    f"{section}.{name} is {given}, but the dataset has {most} {what}. "
                    f"Allowed: 2 to {most}.",
                )


def _one_validation_split(run: RunConfig) -> Found:
    own = run.dataset.synthetic.validation_classes
    held_out = run.dataset.validation_classes
    if run.dataset.layout == "synthetic" and own and held_out:
        yield (
            "dataset.validation_classes",
            f"dataset.validation_classes is {held_out}, but the synthetic dataset has {own} "
            "validation classes of its own. Set it, or dataset.synthetic.validation_classes, to 0.",
        )


def _train_classes(run: RunConfig) -> int | None:
    """Training classes, where the settings alone tell."""
    held_out = run.dataset.validation_classes
    if run.dataset.layout == "synthetic":
        return run.dataset.synthetic.train_classes - held_out
    if run.dataset.layout in CANONICAL_CLASSES:
        return CANONICAL_CLASSES[run.dataset.layout][0] - held_out
    return None


def _images_per_class(run: RunConfig) -> int | None:
    """Most images that a training class can have, where the settings alone tell."""
    cap = run.dataset.max_images_per_class
    if run.dataset.layout != "synthetic":
        return cap
    drawn = run.dataset.synthetic.images_per_class
    return drawn if cap is None else min(cap, drawn)


def _equal_widths(run: RunConfig) -> Found:
    ours, theirs = run.encoder.pooler.embedding_dim, run.baseline_encoder.pooler.embedding_dim
    if ours is not None and theirs is not None and ours != theirs:
        yield (
            "baseline_encoder.pooler.embedding_dim",
            f"baseline_encoder.pooler.embedding_dim is {theirs}, encoder.pooler.embedding_dim "
            f"{ours}: embeddings of different width cannot be compared fairly. Leave the "
            "baseline's out.",
        )


def _ablations_leave_something_out(run: RunConfig) -> Found:
    weights = run.training.weights
    needed = {"kl": "kl", "grpo": "grpo", "kl_only": "kl"}
    for name in run.ablations:
        if getattr(weights, needed[name]) == 0:
            yield (
                "ablations",
                f"ablations has {name}, but training.weights.{needed[name]} is 0: the arm would not "
                "have what it is named after. Leave it out.",
            )


def _study_can_be_read(run: RunConfig) -> Found:
    from saga.studies.published import published

    if run.study is not None:
        try:
            published(study_path(run.study))
        except UserInputError as error:
            yield "study", str(error)


def _gates_exist(run: RunConfig) -> Found:
    try:
        gate_policy_path(run.gates)
    except UserInputError as error:
        yield "gates", str(error)


CHECKS: tuple[tuple[tuple[str, ...], Callable[[RunConfig], Found]], ...] = (
    (("supervisor",), _prompt_exists),
    (("supervisor", "training", "baseline"), _alignment_needs_attributes),
    (("encoder", "baseline_encoder", "training", "baseline"), _alignment_needs_attention),
    (("encoder", "baseline_encoder", "training", "baseline"), _something_to_train),
    (("training", "baseline"), _buffer_can_fill),
    (("training", "baseline"), _pairs_fit_batch),
    (("training", "baseline"), _processes_share_a_batch),
    (("dataset", "training", "baseline"), _batch_fits_data),
    (("dataset",), _one_validation_split),
    (("encoder", "baseline_encoder"), _equal_widths),
    (("training", "ablations"), _ablations_leave_something_out),
    (("study",), _study_can_be_read),
    (("gates",), _gates_exist),
)
