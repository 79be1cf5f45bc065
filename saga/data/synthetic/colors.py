"""Changes of colour that the supervisor was not pretrained on: a cast per image, one fixed shift."""

import numpy as np

SATURATION, GAMMA, OFFSET = 0.55, 1.35, 25.0
GAINS = (0.82, 0.95, 1.08)
CONTRAST = 0.85


def random_cast(tint: float, rng: np.random.Generator) -> tuple[float, float, float]:
    """Factors of the three channels, exp(N(0, tint²)) each."""
    red, green, blue = np.exp(rng.normal(0, tint, 3))
    return float(red), float(green), float(blue)


def fixed_shift(pixels: np.ndarray, strength: float) -> np.ndarray:
    """Paler, darker in the middle tones, bluish and flat, the same for every image.

    Args:
        pixels: float array (S, S, 3) in [0, 255].
        strength: 0 changes nothing, 1 is the whole shift.

    Returns:
        float array (S, S, 3), not clipped.
    """

    def towards(full: float) -> float:
        return 1 + strength * (full - 1)

    gray = pixels.mean(-1, keepdims=True)
    pixels = gray + towards(SATURATION) * (pixels - gray)
    pixels = 255 * (pixels / 255) ** towards(GAMMA)
    gains = np.array([towards(gain) for gain in GAINS])
    return towards(CONTRAST) * pixels * gains + strength * OFFSET
