"""Settings of the trainer. The defaults are the paper's (METHOD section 4)."""

from dataclasses import dataclass, field
from typing import Literal

from saga.data.configuration import LoadingConfig
from saga.losses.configuration import MetricLossConfig
from saga.mining.configuration import ChoiceConfig
from saga.settings.checks import check_seed
from saga.supervisors.configuration import RolloutConfig


@dataclass(frozen=True, slots=True)
class LossWeights:
    """Weights of the normalised terms, L = dml·L_DML + grpo·L_GRPO + kl·L_KL + oracle·L_oracle."""

    dml: float = 1.0
    """Weight of the metric loss."""
    grpo: float = 1.0
    """Weight of the verdict's policy gradient; 0 leaves it out."""
    kl: float = 1.0
    """Weight of attention alignment; 0 leaves it out."""
    oracle: float = 0.0
    """Weight of the likelihood of the true descriptions, through the frozen model: the ceiling of what
    verdicts could teach, for studies on data whose attributes are known. The paper has no such term."""

    def __post_init__(self) -> None:
        weights = {name: getattr(self, name) for name in ("dml", "grpo", "kl", "oracle")}
        for name, weight in weights.items():
            if not weight >= 0:
                raise ValueError(f"weights.{name} must be at least 0, got {weight}")
        if not any(weights.values()):
            raise ValueError("weights: all are 0, nothing would be trained")

    @property
    def judged(self) -> bool:
        """Whether pairs are rolled out and judged."""
        return self.grpo > 0 or self.kl > 0

    @property
    def supervised(self) -> bool:
        """Whether the frozen language model takes part at all."""
        return self.judged or self.oracle > 0


@dataclass(frozen=True, slots=True)
class OptimizerConfig:
    """AdamW with one group each for encoder, pooler and proxies; warm-up, then cosine."""

    encoder_lr: float = 2e-5
    """Peak learning rate of θ; 0 freezes the encoder."""
    pooler_lr: float = 1e-4
    """Peak learning rate of φ."""
    proxy_lr_multiplier: float = 100.0
    """Proxies learn at this multiple of the pooler's rate."""
    weight_decay: float = 1e-4
    """Decoupled weight decay; not applied to proxies."""
    betas: tuple[float, float] = (0.9, 0.999)
    """AdamW's decay rates of the moments."""
    warmup_fraction: float = 0.05
    """Share of the steps in which the rate rises linearly from 0."""
    clip_norm: float = 1.0
    """Largest norm of the gradient; applied as clip_scope says."""
    clip_scope: Literal["global", "groups"] = "global"
    """"global" clips one norm over all parameters (the paper); "groups" clips encoder, pooler and
    proxies each by their own norm."""

    def __post_init__(self) -> None:
        for name in ("encoder_lr", "pooler_lr", "proxy_lr_multiplier", "weight_decay"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"optimizer.{name} must be at least 0, got {getattr(self, name)}")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas must be in [0, 1), got {list(self.betas)}")
        if not 0 <= self.warmup_fraction < 1:
            raise ValueError(f"warmup_fraction must be in [0, 1), got {self.warmup_fraction}")
        if not self.clip_norm > 0:
            raise ValueError(f"clip_norm must be above 0, got {self.clip_norm}")


@dataclass(frozen=True, slots=True)
class DistributedConfig:
    """Over how many processes a step is shared out; the result is that of one, to rounding."""

    processes_per_node: int = 1
    """Processes on each machine: one a GPU; on a CPU more than one is for trying it out."""
    nodes: int = 1
    """Machines; more than one needs a cluster whose training pool has as many (docs/kubernetes.md)."""
    timeout_minutes: float = 10.0
    """Longest that a rank waits for the others, in minutes; then the ranks that did not come are named and
    training ends."""

    def __post_init__(self) -> None:
        for name in ("processes_per_node", "nodes"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"distributed.{name} must be at least 1, got {getattr(self, name)}"
                )
        if not self.timeout_minutes > 0:
            raise ValueError(
                f"distributed.timeout_minutes must be above 0, got {self.timeout_minutes}"
            )

    @property
    def processes(self) -> int:
        """On all machines."""
        return self.nodes * self.processes_per_node


@dataclass(frozen=True, slots=True)
class CollapseConfig:
    """When training stops early because the embedding space has collapsed."""

    min_spread: float = 0.02
    """Smallest allowed 1 - mean pairwise cosine similarity of a batch's embeddings; for a space that
    begins narrower than twice this, half of what it begins with."""
    patience: int = 20
    """Steps in a row below min_spread after which training stops; 0 never stops."""
    barren_steps: int = 30
    """Steps in a row without a single contributing pair after which training stops; 0 never."""

    def __post_init__(self) -> None:
        if self.patience < 0 or self.barren_steps < 0:
            raise ValueError("collapse.patience and collapse.barren_steps must be at least 0")


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """One arm's training (METHOD sections 3 and 4)."""

    steps: int | None = None
    """Optimizer steps; give either steps or epochs."""
    epochs: float | None = None
    """Passes over the training images; the paper trains for 3."""
    classes_per_batch: int = 16
    """Classes in a batch, P of the P×K sampler."""
    images_per_class: int = 4
    """Images of each class in a batch, K of the P×K sampler (16×4 = the paper's 64)."""
    contributing_pairs: int = 8
    """Contributing pairs buffered before a step (the paper's K = 8)."""
    pairs_per_round: int = 8
    """Pairs rolled out at once when the buffer is (re)filled."""
    max_rounds: int = 8
    """Most rounds of rollouts for one step; the step then uses what the buffer holds."""
    weights: LossWeights = field(default_factory=LossWeights)
    """Weights of the three terms."""
    metric_loss: MetricLossConfig = field(default_factory=MetricLossConfig)
    """The DML term."""
    rollout: RolloutConfig = field(default_factory=RolloutConfig)
    """Sampling of completions."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """Learning rates, schedule, clipping."""
    standardise: Literal["sample", "population", "leave_one_out"] = "sample"
    """Group advantage: (r - mean)/(std + ε) with the sample or population std, or the leave-one-out
    baseline without division."""
    reference_beta: float = 0.0
    """Coefficient β of a term inside L_GRPO that holds what is said to what the untrained encoder would
    make the model say (it costs a second, frozen tower); the paper has none, which is 0."""
    alignment_pairs: int | None = None
    """Most contributing pairs per step that teach attention; None takes all."""
    autocast: Literal["none", "bfloat16"] = "bfloat16"
    """Precision of the forward passes."""
    choice: ChoiceConfig = field(default_factory=ChoiceConfig)
    """Which of the drawn pairs are rolled out."""
    refill: Literal["ahead", "after"] = "ahead"
    """Whether the pairs that a refill is expected to need are rolled out together with the first ones,
    or after them. Both keep the same pairs; ahead is faster where more rows of a decode batch are nearly
    free, as on a GPU."""
    graph_gib: float = 8.0
    """Memory for the tower's graphs of one step's micro-batches, in GiB; beyond it they are computed
    again in the backward."""
    term_norms_every: int = 10
    """Steps between measurements of each term's own gradient norm on the encoder, each of which costs a
    backward through the tower; 0 never measures."""
    loading: LoadingConfig = field(default_factory=LoadingConfig)
    """How training images are read; it does not change the result."""
    distributed: DistributedConfig = field(default_factory=DistributedConfig)
    """Several processes for one training."""
    replay_pairs: int = 8
    """Pairs replayed at once in phase C; bounds memory, does not change the result."""
    flip: bool = False
    """Flip each training image left-right with probability 1/2."""
    crop_scale: float = 1.0
    """Least share of a training image's area that a random square crop keeps; 1 never crops."""
    jitter: float = 0.0
    """Most relative change of a training image's contrast, and as much of its brightness."""
    collapse: CollapseConfig = field(default_factory=CollapseConfig)
    """Early stop with a reason."""
    checkpoint_every: int = 20
    """Steps between resumable checkpoints; 0 writes none."""
    seed: int = 0
    """Seed of everything drawn in training."""

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError(
                "training needs exactly one of steps and epochs, "
                f"got steps={self.steps}, epochs={self.epochs}"
            )
        if self.steps is not None and self.steps < 1:
            raise ValueError(f"steps must be at least 1, got {self.steps}")
        if self.epochs is not None and not self.epochs > 0:
            raise ValueError(f"epochs must be above 0, got {self.epochs}")
        minima = {
            "classes_per_batch": 2,
            "images_per_class": 2,
            "contributing_pairs": 1,
            "pairs_per_round": 1,
            "max_rounds": 1,
            "replay_pairs": 1,
            "checkpoint_every": 0,
            "graph_gib": 0,
            "term_norms_every": 0,
        }
        for name, least in minima.items():
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if not self.reference_beta >= 0:
            raise ValueError(f"reference_beta must be at least 0, got {self.reference_beta}")
        if self.alignment_pairs is not None and self.alignment_pairs < 1:
            raise ValueError(f"alignment_pairs must be at least 1, got {self.alignment_pairs}")
        if not 0 < self.crop_scale <= 1:
            raise ValueError(f"crop_scale must be above 0, up to 1, got {self.crop_scale}")
        if not 0 <= self.jitter < 1:
            raise ValueError(f"jitter must be at least 0, below 1, got {self.jitter}")
        check_seed(self.seed)
