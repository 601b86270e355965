"""Products that combine the rows of a table, in vector registers: dense, and with spikes.

Arrays are float32 and C-contiguous, and flat to these functions: they come with the offset of their first number and with
their strides, in numbers. Rows are as long as a multiple of LANES. numba has no vectors of its own, so the innermost loops
are written for LLVM, which maps their vectors to what a processor has.
"""

from typing import Any, TypeAlias

import numpy as np
from llvmlite import ir
from numba.core import cgutils, config, types
from numba.extending import intrinsic

from spike_ctrl._files.arrays import Floats, Number
from spike_ctrl._files.kernel import kernel

Placed: TypeAlias = tuple[Floats, int, int]
"""An array, its first number, and the stride from row to row."""
PlacedTwice: TypeAlias = tuple[Floats, int, int, int]
"""The same with a second stride."""

LANES, WORD = 16, 64
_VECTOR = ir.VectorType(ir.FloatType(), LANES)
_CONTRACT = ("contract",)


def _place(context: Any, builder: Any, kind: Any, array: Any, offset: Any, width: int = LANES) -> Any:
    """Pointer to a vector in the data of an array."""
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [offset]), ir.VectorType(ir.FloatType(), width).as_pointer())


def _load(builder: Any, pointer: Any) -> Any:
    value = builder.load(pointer)
    value.align = 4
    return value


def _block(rows: int, vectors: int) -> Any:
    """The innermost loop of `combine`, for so many rows of the result and vectors of each."""

    @intrinsic
    def multiply(  # type: ignore[no-untyped-def]
        typing, out, o, o_row, factors, f, f_row, f_column, count, table, t, t_row, add
    ):  # fmt: skip
        i = types.intp
        signature = types.void(out, i, i, factors, i, i, i, i, table, i, i, types.boolean)

        def generate(context, builder, signature, given):  # type: ignore[no-untyped-def]
            out, o, o_row, factors, f, f_row, f_column, count, table, t, t_row, add = given
            kinds = signature.args
            scalars = context.make_array(kinds[3])(context, builder, factors).data
            size = context.get_constant
            sums, places = [], []
            for r in range(rows):
                for v in range(vectors):
                    at = builder.add(o, builder.add(builder.mul(o_row, size(i, r)), size(i, LANES * v)))
                    place = _place(context, builder, kinds[0], out, at)
                    total = cgutils.alloca_once(builder, _VECTOR)
                    builder.store(ir.Constant(_VECTOR, None), total)
                    sums.append(total)
                    places.append(place)
            with builder.if_then(add):
                for total, place in zip(sums, places, strict=True):
                    builder.store(_load(builder, place), total)
            with cgutils.for_range(builder, count) as loop:
                first = builder.add(t, builder.mul(t_row, loop.index))
                row = [
                    _load(builder, _place(context, builder, kinds[8], table, builder.add(first, size(i, LANES * v))))
                    for v in range(vectors)
                ]
                column = builder.add(f, builder.mul(f_column, loop.index))
                for r in range(rows):
                    scalar = builder.load(builder.gep(scalars, [builder.add(column, builder.mul(f_row, size(i, r)))]))
                    factor = _spread(builder, scalar)
                    for v in range(vectors):
                        total = sums[r * vectors + v]
                        product = builder.fmul(factor, row[v], flags=_CONTRACT)
                        builder.store(builder.fadd(builder.load(total), product, flags=_CONTRACT), total)
            for total, place in zip(sums, places, strict=True):
                builder.store(builder.load(total), place).align = 4
            return context.get_dummy_value()

        return signature, generate

    return multiply


def _spread(builder: Any, scalar: Any) -> Any:
    """A vector of equal numbers."""
    one = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), scalar, ir.IntType(32)(0))
    return builder.shuffle_vector(one, ir.Constant(_VECTOR, ir.Undefined), ir.VectorType(ir.IntType(32), LANES)([0] * LANES))


def _marked(vectors: int) -> Any:
    """The innermost loop of `add_marked`, for so many vectors of a row."""

    @intrinsic
    def add(typing, total, o, mask, table, t, t_row):  # type: ignore[no-untyped-def]
        i = types.intp
        signature = types.void(total, i, types.uint64, table, i, i)

        def generate(context, builder, signature, given):  # type: ignore[no-untyped-def]
            total, o, mask, table, t, t_row = given
            kinds, size = signature.args, context.get_constant
            places = [_place(context, builder, kinds[0], total, builder.add(o, size(i, LANES * v))) for v in range(vectors)]
            sums = [cgutils.alloca_once(builder, _VECTOR) for _ in range(vectors)]
            left = cgutils.alloca_once_value(builder, mask)
            for one, place in zip(sums, places, strict=True):
                builder.store(_load(builder, place), one)
            head, body, end = (builder.append_basic_block(name) for name in ("marked", "marked.body", "marked.end"))
            builder.branch(head)
            builder.position_at_end(head)
            bits = builder.load(left)
            builder.cbranch(builder.icmp_unsigned("!=", bits, bits.type(0)), body, end)
            builder.position_at_end(body)
            index = builder.cttz(bits, ir.IntType(1)(1))
            builder.store(builder.and_(bits, builder.sub(bits, bits.type(1))), left)
            first = builder.add(t, builder.mul(t_row, index))
            for v, one in enumerate(sums):
                row = _load(builder, _place(context, builder, kinds[3], table, builder.add(first, size(i, LANES * v))))
                builder.store(builder.fadd(builder.load(one), row), one)
            builder.branch(head)
            builder.position_at_end(end)
            for one, place in zip(sums, places, strict=True):
                builder.store(builder.load(one), place).align = 4
            return context.get_dummy_value()

        return signature, generate

    return add


@intrinsic
def _marks(typing, spikes, at):  # type: ignore[no-untyped-def]
    """A word whose bit n says whether spikes[at + n] is above one half, for the next WORD numbers."""
    signature = types.uint64(spikes, types.intp)

    def generate(context, builder, signature, given):  # type: ignore[no-untyped-def]
        values = _load(builder, _place(context, builder, signature.args[0], given[0], given[1], WORD))
        half = ir.Constant(values.type, [0.5] * WORD)
        return builder.bitcast(builder.fcmp_ordered(">", values, half), ir.IntType(WORD))

    return signature, generate


_8x2, _8x1, _1x2, _1x1 = _block(8, 2), _block(8, 1), _block(1, 2), _block(1, 1)
_add4, _add8 = _marked(4), _marked(8)
PANEL = 2 * LANES  # columns of a result that are found at once


def _combine(out: Placed, factors: PlacedTwice, count: int, table: PlacedTwice, rows: int, width: int, add: bool) -> None:
    """out [rows, width] = factors [rows, count] @ table [count, width], or += where `add`.

    factors: with the strides from row to row and from column to column. table: with those from row to row, and from PANEL
    columns to the next PANEL, which is PANEL where rows are in one piece.
    """
    result, o, o_row = out
    numbers, f, f_row, f_column = factors
    array, t, t_row, panel = table
    for column in range(0, width, PANEL):
        here, row = t + column // PANEL * panel, 0
        if column + PANEL <= width:
            while row + 8 <= rows:
                at, first = o + row * o_row + column, f + row * f_row
                _8x2(result, at, o_row, numbers, first, f_row, f_column, count, array, here, t_row, add)
                row += 8
            while row < rows:
                at, first = o + row * o_row + column, f + row * f_row
                _1x2(result, at, o_row, numbers, first, f_row, f_column, count, array, here, t_row, add)
                row += 1
        else:
            while row + 8 <= rows:
                at, first = o + row * o_row + column, f + row * f_row
                _8x1(result, at, o_row, numbers, first, f_row, f_column, count, array, here, t_row, add)
                row += 8
            while row < rows:
                at, first = o + row * o_row + column, f + row * f_row
                _1x1(result, at, o_row, numbers, first, f_row, f_column, count, array, here, t_row, add)
                row += 1


def _add_marked(total: Floats, o: int, mask: Number, table: Placed, width: int) -> None:
    """total[o : o + width] += the rows n of the table for which bit n of the mask is set. width: a multiple of WORD."""
    array, t, t_row = table
    column = 0
    while column + 2 * WORD <= width:
        _add8(total, o + column, mask, array, t + column, t_row)
        column += 2 * WORD
    if column < width:
        _add4(total, o + column, mask, array, t + column, t_row)


# Without numba's compiler, as tests have it, kernels are plain Python, and these stand for what LLVM would be given.


def _combine_plain(
    out: Placed, factors: PlacedTwice, count: int, table: PlacedTwice, rows: int, width: int, add: bool
) -> None:
    result, o, o_row = out
    numbers, f, f_row, f_column = factors
    array, t, t_row, panel = table
    row, number, column = np.arange(rows)[:, None], np.arange(count), np.arange(width)
    left = numbers.reshape(-1)[f + f_row * row + f_column * number]
    right = array.reshape(-1)[t + t_row * number[:, None] + column // PANEL * panel + column % PANEL]
    flat, places = result.reshape(-1), o + o_row * row + column
    flat[places] = left @ right + (flat[places] if add else 0)


def _add_marked_plain(total: Floats, o: int, mask: Number, table: Placed, width: int) -> None:
    array, t, t_row = table
    for n in range(WORD):
        if int(mask) >> n & 1:
            total.reshape(-1)[o : o + width] += array.reshape(-1)[t + n * t_row :][:width]


def _marks_plain(spikes: Floats, at: int) -> Number:
    found: Number = np.packbits(spikes.reshape(-1)[at : at + WORD] > 0.5, bitorder="little").view(np.uint64)[0]
    return found


_OPTIONS = {"cache": True, "error_model": "numpy", "nogil": True}
combine = _combine_plain if config.DISABLE_JIT else kernel(**_OPTIONS)(_combine)
add_marked = _add_marked_plain if config.DISABLE_JIT else kernel(**_OPTIONS)(_add_marked)
marks: Any = _marks_plain if config.DISABLE_JIT else _marks
