"""Amounts mean what they mean in Kubernetes."""

from decimal import Decimal

import pytest

from pipelines.stacks.quantity import amount, check_memory, cores


@pytest.mark.parametrize(
    ("text", "number"),
    [("2", 2), ("500m", Decimal("0.5")), ("1.5", Decimal("1.5")), ("16Gi", 16 * 2**30), ("1k", 1000)],
)  # fmt: skip
def test_a_quantity_is_its_number(text, number):
    assert amount(text) == number


@pytest.mark.parametrize("text", ["", "Gi", "1 Gi", "1gi", "-1", "1e3", "0x1"])
def test_other_text_is_none(text):
    with pytest.raises(ValueError, match="is not a quantity"):
        amount(text)


def test_cores_are_written_in_thousandths_and_never_rounded_down():
    assert (cores(2), cores(0.5), cores(0.0001)) == ("2000m", "500m", "1m")


@pytest.mark.parametrize("text", ["16", "16G i", "0Gi", "16GiB", "500m"])
def test_memory_needs_its_unit(text):
    with pytest.raises(ValueError, match="memory must be an amount"):
        check_memory("memory", text)
