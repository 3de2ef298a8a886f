"""Matrix products of the sizes that one step of a small network has, and the functions of its gates, for Numba.

A step of a recurrent network, or a layer of a TCN on one sequence, is a product of some tens of rows: calling a
library for it costs as much as the product. Kernels that loop over time themselves call `multiply_add`, which keeps
a block of the result in vector registers: 95 % of what a core of the machine in `results/speed` can do, at these
sizes. The block is written as LLVM's vectors, which LLVM lays onto whatever the processor has.

Each number of a product is one chain of multiply-adds in the order of k: it does not depend on how many rows are
computed together, and so on no slicing of a batch and no number of threads.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from typing import Any

import llvmlite.binding
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ._compiling import kernel

_FEATURES = llvmlite.binding.get_host_cpu_features()
_VECTOR_BYTES = 64 if _FEATURES.get("avx512f") else 32 if _FEATURES.get("avx2") else 16
_X86 = platform.machine().lower() in ("x86_64", "amd64")
_MANY_REGISTERS = not _X86 or bool(_FEATURES.get("avx512f"))  # 32 vector registers, else 16

PADDING = 16
"""Columns of a right-hand side are padded to a multiple of this many numbers (the most that one register holds)."""


def padded(columns: int) -> int:
    """`columns` rounded up to a multiple of `PADDING`."""
    return -(-columns // PADDING) * PADDING


@intrinsic
def lanes(typing_context: Any, array: Any) -> Any:
    """How many numbers of an array's type one vector register holds."""
    count = _VECTOR_BYTES // (array.dtype.bitwidth // 8)
    return types.intp(array), lambda context, builder, signature, args: context.get_constant(types.intp, count)


def _block(rows: int, *choices: int) -> Any:
    """An intrinsic that adds a product to a block: `rows` rows, and as many of `choices` vectors as are left.

    out[o + r·out_row + c] += Σ_p Σ_k a[i + p·a_tap + r·a_row + k·a_step] · b[j + (p·steps + k)·b_step + c]
    for r < rows and c < width · vectors, where `vectors`, the largest of the choices that is at most `left`, is
    returned.
    """

    @intrinsic
    def block(
        typing_context: Any,
        out: Any, o: Any, out_row: Any,
        a: Any, i: Any, a_row: Any, a_step: Any, a_tap: Any,
        b: Any, j: Any, b_step: Any,
        taps: Any, steps: Any, left: Any,
    ) -> Any:  # fmt: skip
        def emit(context: Any, builder: Any, signature: Any, args: Sequence[Any]) -> Any:
            done = cgutils.alloca_once_value(builder, context.get_constant(types.intp, 0))
            for vectors in choices:  # descending: the first that fits
                nothing_yet = builder.icmp_signed("==", builder.load(done), context.get_constant(types.intp, 0))
                fits = builder.icmp_signed(">=", args[-1], context.get_constant(types.intp, vectors))
                with builder.if_then(builder.and_(nothing_yet, fits)):
                    _emit(context, builder, signature, args, rows, vectors)
                    builder.store(context.get_constant(types.intp, vectors), done)
            return builder.load(done)

        return types.intp(out, *[types.intp] * 2, a, *[types.intp] * 4, b, *[types.intp] * 5), emit

    return block


def _emit(context: Any, builder: Any, signature: Any, args: Sequence[Any], rows: int, vectors: int) -> None:
    """One block of fixed size; `args` are those of the intrinsic."""
    dtype = signature.args[0].dtype
    width = _VECTOR_BYTES // (dtype.bitwidth // 8)
    vector = ir.VectorType(context.get_value_type(dtype), width)
    undefined = ir.Constant(vector, ir.Undefined)
    all_first = ir.Constant(ir.VectorType(ir.IntType(32), width), [0] * width)
    multiply_add = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(vector, [vector] * 3), f"llvm.fmuladd.v{width}f{dtype.bitwidth}"
    )

    def constant(value: int) -> Any:
        return context.get_constant(types.intp, value)

    def pointer(position: int) -> Any:  # to the element of array `position` that the argument after it gives
        array = context.make_array(signature.args[position])(context, builder, args[position])
        return builder.gep(array.data, [args[position + 1]])

    def place(base: Any, offset: Any) -> Any:
        return builder.bitcast(builder.gep(base, [offset]), vector.as_pointer())

    def load(base: Any, offset: Any) -> Any:
        return builder.load(place(base, offset), align=dtype.bitwidth // 8)

    def broadcast(number: Any) -> Any:
        first = builder.insert_element(undefined, number, ir.Constant(ir.IntType(32), 0))
        return builder.shuffle_vector(first, undefined, all_first)

    out, a, b = pointer(0), pointer(3), pointer(8)
    out_row, a_row, a_step, a_tap, b_step, taps, steps = (args[n] for n in (2, 5, 6, 7, 10, 11, 12))
    cells = [(row, number) for row in range(rows) for number in range(vectors)]
    offsets = {
        (row, number): builder.add(builder.mul(constant(row), out_row), constant(number * width))
        for row, number in cells
    }
    sums = {cell: cgutils.alloca_once(builder, vector) for cell in cells}  # LLVM keeps them in registers
    for cell in cells:
        builder.store(load(out, offsets[cell]), sums[cell])
    of_row = [builder.mul(constant(row), a_row) for row in range(rows)]
    left, right = cgutils.alloca_once(builder, a.type), cgutils.alloca_once(builder, b.type)
    builder.store(b, right)
    with cgutils.for_range(builder, taps) as tap:
        builder.store(builder.gep(a, [builder.mul(tap.index, a_tap)]), left)
        with cgutils.for_range(builder, steps):
            here, there = builder.load(left), builder.load(right)
            columns = [load(there, constant(number * width)) for number in range(vectors)]
            for row in range(rows):
                factor = broadcast(builder.load(builder.gep(here, [of_row[row]])))
                for number in range(vectors):
                    total = sums[row, number]
                    builder.store(builder.call(multiply_add, [factor, columns[number], builder.load(total)]), total)
            builder.store(builder.gep(here, [a_step]), left)
            builder.store(builder.gep(there, [b_step]), right)
    for cell in cells:
        builder.store(builder.load(sums[cell]), place(out, offsets[cell]), align=dtype.bitwidth // 8)


# Rows x registers whose sums fit in the registers beside what is loaded. One row wants many columns, because each
# multiply-add waits for the one before it in its chain.
_TALL = 8 if _MANY_REGISTERS else 4
_DEEP, _PART = 512, 128
"""Of a right-hand side with more rows than the first number, so many as the second are used up for all rows of the left
before the next: with the few columns of a block they stay in the innermost cache, and in what a core remembers of where
pages lie. (Of fewer rows all do, or nearly.)"""
_tall, _pair, _line = _block(_TALL, 3, 2, 1), _block(2, 6, 3, 2, 1), _block(1, 8, 3, 2, 1)


@kernel
def multiply_add(out, o, out_row, a, i, a_row, a_step, a_tap, b, j, b_step, taps, steps, rows, columns):
    """out[o + r·out_row + c] += Σ_p Σ_k a[i + p·a_tap + r·a_row + k·a_step] · b[j + (p·steps + k)·b_step + c].

    out, a, b: C-contiguous arrays of one floating type, seen as flat; o, i, j: where in them to begin; the other
    names with an underscore: distances in numbers. p < taps, k < steps, r < rows, c < columns. `columns` is rounded
    up to whole vectors: out and b must have room for `padded(columns)` in a row.
    """
    width = lanes(out)
    vectors = (columns + width - 1) // width
    tall, paired = rows // _TALL * _TALL, rows // 2 * 2
    depth = taps * steps if taps * steps <= _DEEP else _PART
    together = max(1, depth // max(1, steps))  # so many taps at a time
    c = 0
    while c < vectors and tall > 0 and depth > 0:  # columns outside: this part of b stays in the cache for all rows
        done = 0
        for p in range(0, taps, together):
            for k in range(0, steps, depth):
                part, place = i + p * a_tap + k * a_step, j + (p * steps + k) * b_step + c * width
                for r in range(0, tall, _TALL):
                    done = _tall(
                        out, o + r * out_row + c * width, out_row, a, part + r * a_row, a_row, a_step, a_tap,
                        b, place, b_step, min(together, taps - p), min(depth, steps - k), vectors - c,
                    )  # fmt: skip
        c += done
    for r in range(tall, paired, 2):
        c, of = 0, i + r * a_row
        while c < vectors:
            to = o + r * out_row + c * width
            c += _pair(
                out, to, out_row, a, of, a_row, a_step, a_tap, b, j + c * width, b_step, taps, steps, vectors - c
            )
    if rows > paired:
        c, of = 0, i + paired * a_row
        while c < vectors:
            to = o + paired * out_row + c * width
            c += _line(
                out, to, out_row, a, of, a_row, a_step, a_tap, b, j + c * width, b_step, taps, steps, vectors - c
            )
