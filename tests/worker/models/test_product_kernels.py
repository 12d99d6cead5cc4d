"""Products by compiled loops against the same arithmetic in double precision."""

import numpy as np
import pytest

from worker.models.product_kernels import Floats, add_products, packed

# Whole panels and a rest; full blocks of rows, and any number over.
SHAPES = [(1, 1, 1), (1, 9, 64), (1, 128, 65), (2, 30, 16), (5, 7, 17), (6, 128, 512), (7, 13, 65), (32, 300, 48)]


def drawn(*shape: int) -> Floats:
    return np.random.default_rng(shape).standard_normal(shape, dtype=np.float32)


@pytest.mark.parametrize(("rows", "inputs", "outputs"), SHAPES)
def test_products_are_added_as_a_plain_product_would(rows: int, inputs: int, outputs: int) -> None:
    x, weight, before = drawn(rows, inputs), drawn(inputs, outputs), drawn(rows, outputs)
    out = before.copy()

    add_products(x, packed(weight), out)

    expected = before + x.astype(np.float64) @ weight
    terms = np.abs(before) + np.abs(x.astype(np.float64)) @ np.abs(weight)
    assert np.all(np.abs(out - expected) <= (inputs + 1) * np.finfo(np.float32).eps * terms)


@pytest.mark.parametrize(("inputs", "outputs"), [(3, 5), (128, 512), (100, 65)])
def test_a_row_s_products_are_the_same_to_the_last_bit_whatever_rows_are_beside_it(inputs: int, outputs: int) -> None:
    x, weight = drawn(40, inputs), packed(drawn(inputs, outputs))
    together = np.zeros((40, outputs), np.float32)
    add_products(x, weight, together)

    for rows in range(1, 14):
        apart = np.zeros((rows, outputs), np.float32)
        add_products(x[20 : 20 + rows], weight, apart)
        assert np.array_equal(apart, together[20 : 20 + rows])


def test_products_of_some_rows_of_a_larger_array_leave_the_others_alone() -> None:
    x, weight = drawn(4, 9, 20), drawn(20, 33)
    out = np.zeros((4, 9, 33), np.float32)

    add_products(x[2, 3:8], packed(weight), out[2, 3:8])

    assert np.allclose(out[2, 3:8], x[2, 3:8] @ weight, atol=1e-4)
    out[2, 3:8] = 0
    assert not out.any()
