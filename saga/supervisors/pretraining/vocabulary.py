"""What a tiny supervisor can say: the prompts it is asked, its attributes and their values."""

from dataclasses import dataclass

from saga.data.synthetic.attributes import ATTRIBUTES

Combination = tuple[int, ...]
"""For each attribute the index of its value."""


@dataclass(frozen=True)
class Vocabulary:
    """One domain's prompts and words; the prompt files in configs/prompts say the same."""

    prompt: str
    """Asks for descriptions, differences and the verdict."""
    generic_prompt: str
    """Asks for differences and the verdict alone."""
    item: str
    """As in the keys "{item}_1" and "{item}_2"."""
    verdict_key: str
    """Key of the "yes" or "no"."""
    attributes: dict[str, tuple[str, ...]]
    """Values of each attribute."""

    @property
    def counts(self) -> tuple[int, ...]:
        """Number of values of each attribute."""
        return tuple(len(values) for values in self.attributes.values())

    def values_of(self, combination: Combination) -> dict[str, str]:
        """Value of each attribute, in words."""
        pairs = zip(self.attributes.items(), combination, strict=True)
        return {name: values[i] for (name, values), i in pairs}


COLORS = ("black", "white", "gray", "brown", "blue", "yellow", "red")
DRAWN_BIRDS = Vocabulary(
    "compare the two birds :", "same birds or different ?", "bird", "same_species", ATTRIBUTES
)
"""configs/prompts/synthetic_birds.yaml and synthetic_generic.yaml."""
PHOTOGRAPHED_BIRDS = Vocabulary(
    "compare the two photographed birds :",
    "same birds or different ?",
    "bird",
    "same_species",
    {
        "bill shape": ("all-purpose", "cone", "hooked", "other"),
        "crown color": COLORS,
        "wing color": COLORS,
        "wing pattern": ("solid", "striped", "spotted", "multi-colored"),
        "breast pattern": ("solid", "streaked", "multi-colored"),
        "belly color": COLORS,
        "size": ("small", "large"),
        "primary color": COLORS,
    },
)
"""configs/prompts/cub_birds.yaml."""
