"""The losses written out in loops over Python floats, straight from their equations.

Independent of saga and of pytorch-metric-learning; slow, to be read against METHOD section 3.
"""

import math

Vectors = list[list[float]]


def unit(vector: list[float]) -> list[float]:
    length = math.sqrt(sum(x * x for x in vector))
    return [x / length for x in vector]


def dot(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b))


def distance(a: list[float], b: list[float]) -> float:
    return math.sqrt(sum((x - y) ** 2 for x, y in zip(a, b)))


def infonce(z: Vectors, labels: list[int], temperature: float) -> float:
    z = [unit(v) for v in z]
    terms = []
    for i in range(len(z)):
        negatives = [
            math.exp(dot(z[i], z[n]) / temperature) for n in range(len(z)) if labels[n] != labels[i]
        ]
        for p in range(len(z)):
            if p != i and labels[p] == labels[i]:
                positive = math.exp(dot(z[i], z[p]) / temperature)
                terms.append(-math.log(positive / (positive + sum(negatives))))
    return sum(terms) / len(terms)


def multi_similarity(
    z: Vectors, labels: list[int], alpha: float, beta: float, base: float, epsilon: float
) -> float:
    z = [unit(v) for v in z]
    total = 0.0
    for i in range(len(z)):
        others = [j for j in range(len(z)) if j != i]
        positives = [dot(z[i], z[j]) for j in others if labels[j] == labels[i]]
        negatives = [dot(z[i], z[j]) for j in others if labels[j] != labels[i]]
        hard_positives = [s for s in positives if s < max(negatives) + epsilon]
        hard_negatives = [s for s in negatives if s > min(positives, default=math.inf) - epsilon]
        pull = sum(math.exp(-alpha * (s - base)) for s in hard_positives)
        push = sum(math.exp(beta * (s - base)) for s in hard_negatives)
        total += math.log(1 + pull) / alpha + math.log(1 + push) / beta
    return total / len(z)


def proxy_anchor(
    z: Vectors, labels: list[int], proxies: Vectors, alpha: float, margin: float
) -> float:
    z, proxies = [unit(v) for v in z], [unit(v) for v in proxies]
    pull, push = [], []
    for c, proxy in enumerate(proxies):
        own = [dot(z[i], proxy) for i in range(len(z)) if labels[i] == c]
        foreign = [dot(z[i], proxy) for i in range(len(z)) if labels[i] != c]
        if own:
            pull.append(math.log(1 + sum(math.exp(-alpha * (s - margin)) for s in own)))
        push.append(math.log(1 + sum(math.exp(alpha * (s + margin)) for s in foreign)))
    return sum(pull) / len(pull) + sum(push) / len(proxies)


def potential_field(
    z: Vectors, labels: list[int], proxies: list[Vectors], alpha: float, delta: float, floor: float
) -> float:
    """METHOD's U with its two branches, then times δ^α and divided by the ordered pairs."""
    charges = [(unit(v), label) for v, label in zip(z, labels)]
    charges += [(unit(p), c) for c, group in enumerate(proxies) for p in group]
    U = 0.0
    for i, (r, own) in enumerate(charges):
        for j, (source, other) in enumerate(charges):
            if i == j:
                continue
            d = max(distance(r, source), floor)
            if own == other:
                U += -(delta**-alpha) if d < delta else -(d**-alpha)
            else:
                U += d**-alpha if d < delta else delta**-alpha
    return delta**alpha * U / (len(charges) * (len(charges) - 1))


def grpo(
    logp: list[list[list[float]]], advantages: list[list[float]], lengths: list[list[int]]
) -> float:
    total, tokens = 0.0, 0
    for group, group_advantages, group_lengths in zip(logp, advantages, lengths):
        for completion, advantage, length in zip(group, group_advantages, group_lengths):
            for t in range(length):
                total += advantage * completion[t]
                tokens += 1
    return -total / tokens


def kl(teacher: list[float], student: list[float]) -> float:
    return sum(a * math.log(a / b) for a, b in zip(teacher, student) if a > 0)
