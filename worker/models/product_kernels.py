"""Products of matrices as machine code (Numba), for the other kernels to be made of.

Every row is computed by the same sums in the same order, whatever rows are beside it. A BLAS does not promise that.
Shapes: N rows, K inputs, G outputs.
"""

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from worker.models.compiling import compiled

Floats = np.ndarray[Any, np.dtype[np.float32]]

PANEL = 16  # columns of weights that are multiplied together: one vector
ROWS = 6  # that are multiplied with a panel together: with 2 registers each, 12 of the 16 that AVX2 has
LINE = 4 * PANEL  # columns that a single row is multiplied with at a time

_SINGLE, _LONG, _VECTOR = ir.FloatType(), ir.IntType(64), ir.VectorType(ir.FloatType(), PANEL)


def packed(weight_KG: Floats) -> Floats:
    """A weight matrix as `add_products` reads it: PANEL columns after one another, zeros where the last are too few."""
    inputs, outputs = weight_KG.shape
    panels = -(-outputs // PANEL)
    wide = np.zeros((inputs, panels * PANEL), dtype=np.float32)
    wide[:, :outputs] = weight_KG
    return np.ascontiguousarray(wide.reshape(inputs, panels, PANEL).transpose(1, 0, 2)).reshape(-1)


def _block(most_rows: int, panels: int) -> Callable[[Floats, Floats, Floats], None]:
    """What adds x · weights to `out` for up to so many rows and exactly so many panels, whose first columns they are.

    Written as instructions, since no loop in Python says that sums stay in registers from the first input to the last,
    which is most of what a BLAS has over such a loop. Neighbours in a row have to lie side by side.
    """

    @intrinsic
    def add(_: Any, x_NK: Any, weights: Any, out_NG: Any) -> tuple[Any, Callable[..., Any]]:
        def emit(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
            arrays = zip(signature.args, arguments, strict=True)
            x, packs, out = (context.make_array(of)(context, builder, array) for of, array in arrays)
            rows, inputs = cgutils.unpack_tuple(builder, x.shape)
            x_step, out_step = (cgutils.unpack_tuple(builder, array.strides)[0] for array in (x, out))
            panel_bytes = builder.mul(inputs, _LONG(4 * PANEL))
            done = builder.append_basic_block("done")
            choice = builder.switch(rows, done)
            for count in range(1, most_rows + 1):
                choice.add_case(_LONG(count), block := builder.append_basic_block(f"rows{count}"))
                builder.position_at_end(block)
                lines = [_at(builder, x.data, _SINGLE, x_step, i) for i in range(count)]
                columns = [_at(builder, packs.data, _VECTOR, panel_bytes, j) for j in range(panels)]
                starts = [_at(builder, out.data, _VECTOR, out_step, i) for i in range(count)]
                sums = [builder.gep(start, [_LONG(j)]) for start in starts for j in range(panels)]
                _multiply(builder, inputs, lines, columns, sums)
                builder.branch(done)
            builder.position_at_end(done)
            return context.get_dummy_value()

        return types.void(x_NK, weights, out_NG), emit

    return cast(Callable[[Floats, Floats, Floats], None], add)


def _at(builder: ir.IRBuilder, data: Any, of: ir.Type, step_bytes: Any, count: int) -> Any:
    """A pointer to what lies so many steps further."""
    start = builder.bitcast(data, ir.IntType(8).as_pointer())
    return builder.bitcast(builder.gep(start, [builder.mul(step_bytes, _LONG(count))]), of.as_pointer())


def _multiply(builder: ir.IRBuilder, inputs: Any, lines: list[Any], columns: list[Any], sums: list[Any]) -> None:
    """Add the products of each line with each column to its vector of sums."""
    multiply_add = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(_VECTOR, [_VECTOR] * 3), f"llvm.fmuladd.v{PANEL}f32"
    )
    undefined, zeros = _VECTOR(ir.Undefined), ir.VectorType(ir.IntType(32), PANEL)([0] * PANEL)
    held = [cgutils.alloca_once(builder, _VECTOR) for _ in sums]
    for place, pointer in zip(held, sums, strict=True):
        builder.store(builder.load(pointer, align=4), place)
    with cgutils.for_range(builder, inputs) as loop:
        weights = [builder.load(builder.gep(column, [loop.index]), align=4) for column in columns]
        for i, line in enumerate(lines):
            number = builder.load(builder.gep(line, [loop.index]))
            one = builder.insert_element(undefined, number, ir.IntType(32)(0))
            everywhere = builder.shuffle_vector(one, undefined, zeros)
            for j, weight in enumerate(weights):
                place = held[i * len(columns) + j]
                builder.store(builder.call(multiply_add, [everywhere, weight, builder.load(place)]), place)
    for place, pointer in zip(held, sums, strict=True):
        builder.store(builder.load(place), pointer, align=4)


_add_rows, _add_row = _block(ROWS, 1), _block(1, LINE // PANEL)


@compiled
def add_products(x_NK: Floats, weights: Floats, out_NG: Floats) -> None:
    """Add x · weights, which are `packed`, to `out`. The sums over K run from the first input to the last."""
    rows, outputs = out_NG.shape
    inputs = x_NK.shape[1]
    left = 0
    while rows == 1 and left + LINE <= outputs:
        _add_row(x_NK, weights[left * inputs :], out_NG[:, left:])
        left += LINE
    edge_NG = np.zeros((ROWS, PANEL), np.float32)
    while left < outputs:
        panel, wide = weights[left * inputs :], min(PANEL, outputs - left)
        first = 0
        while first < rows:
            blocks = (rows - first + ROWS - 1) // ROWS
            last = first + (rows - first + blocks - 1) // blocks  # evenly, so that no row is left alone
            if wide == PANEL:
                _add_rows(x_NK[first:last], panel, out_NG[first:last, left:])
            else:
                edge_NG[: last - first, :wide] = out_NG[first:last, left:]
                _add_rows(x_NK[first:last], panel, edge_NG)
                out_NG[first:last, left:] = edge_NG[: last - first, :wide]
            first = last
        left += PANEL
