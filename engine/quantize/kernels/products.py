"""A packed matrix times the rows of an input: the two loops, written for an instruction set and a kind of matrix.

Sixteen rows of the matrix make a tile, and tiles stand alone: threads share them out. Few input rows meet the codes as
they lie in memory. For many, a piece of a tile is first unpacked into bytes that stay in the nearest cache. In both the
same numbers are added in the same order, so a row's result depends neither on the rows beside it nor on the threads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from llvmlite import ir

from engine.quantize.kernels.activations import BLOCK
from engine.quantize.kernels.dots import Dots
from engine.quantize.kernels.emit import F16, F32, I8, I16, I32, I64, POINTER, Emitter, Value, count, splat, vector
from engine.quantize.kernels.sharing import FIELDS

TILE = 16
"""Rows of the matrix side by side."""

MANY = 8
"""Input rows from which unpacking pays."""

PIECE = 512
"""Columns unpacked at once: 8 KB of bytes."""

CHUNK = 128
"""Input rows that meet a piece before the next is unpacked; their sums wait in 8 KB."""

AHEAD = 4096
"""Bytes of codes that are asked for before they are needed: processors look ahead too, but not past a page's end."""

LINE = 64
"""Bytes that come from memory together."""


@dataclass(frozen=True)
class Kind:
    """What a kernel is written for: bits of a code, columns that share a scale, and whether there is a zero."""

    bits: int
    group: int
    zero: bool

    @property
    def block_bytes(self) -> int:
        """Bytes of the codes of 32 columns of a tile."""
        return TILE * BLOCK * self.bits // 8

    def __str__(self) -> str:
        return f"{self.bits}_{self.group}{'_zero' if self.zero else ''}"


Steps = list[tuple[int, list[Value]]]
"""The codes of a block: for each four columns, where they begin, and one vector of codes for each part of the tile."""


class Product:
    """Writes `product(matrix, bytes, step, shift, blocks, y, M, first, last)` for one kind in one instruction set.

    bytes, step, shift: the input as activations.py leaves it, `blocks` blocks a row; y: float32 [M, rows].
    """

    def __init__(self, module: ir.Module, dots: Dots, kind: Kind) -> None:
        self.dots, self.kind = dots, kind
        self.parts = TILE // dots.lanes
        self.per = kind.group // BLOCK
        self.floats = vector(F32, dots.lanes)
        self.raw = vector(I8, 4 * dots.lanes)
        self.f = Emitter(module, f"product_{kind}", [POINTER] * 4 + [I64, POINTER] + [I64] * 3)
        f = self.f
        self.matrix, self.bytes, self.step, self.shift, self.blocks, self.y, self.M, first, last = f.arguments
        self.codes, self.scale, self.zero = (
            f.load(POINTER, self.matrix, FIELDS.index(name), I64, 8) for name in ("codes", "scale", "zero")
        )
        self.N, self.groups = (f.load(I64, self.matrix, FIELDS.index(name), I64, 8) for name in ("rows", "groups"))
        self.edge = f.room(F32, TILE)
        self.piece = f.room(I8, TILE * PIECE)
        self.scales = f.room(F32, TILE * PIECE // kind.group)
        self.zeros = f.room(F32, TILE * PIECE // kind.group)
        self.sums = f.room(F32, TILE * CHUNK)
        f.loop(first, last, 1, [], self._tile)
        f.b.ret_void()

    def _tile(self, tile: Value, _: object) -> list[Value]:
        f = self.f
        self.tile = tile
        blocks = f.b.mul(self.groups, count(self.per))
        self.tile_codes = f.at(self.codes, f.b.mul(tile, f.b.mul(blocks, count(self.kind.block_bytes))), I8)
        self.tile_scale = f.at(self.scale, f.b.mul(tile, f.b.mul(self.groups, count(TILE))), F16)
        self.tile_zero = f.at(self.zero, f.b.mul(tile, f.b.mul(self.groups, count(TILE))), F16)
        with f.b.if_else(f.b.icmp_signed(">=", self.M, count(MANY))) as (many, few):
            with many:
                f.loop(count(0), self.M, CHUNK, [], self._chunk)
            with few:
                start = count(0)
                for height in (4, 2, 1):
                    stop = f.b.and_(self.M, count(-height))
                    f.loop(start, stop, height, [], self._few(height))
                    start = stop
        return []

    # --- few rows: codes as they lie in memory ---------------------------------------------------------------------

    def _few(self, height: int) -> Callable[[Value, object], list[Value]]:
        """`height` rows of the input from a place on, over all columns."""

        def rows(first: Value, _: object) -> list[Value]:
            f = self.f
            places = [f.b.add(first, count(row)) for row in range(height)]
            # Four rows by the whole tile would not fit into sixteen registers.
            spans = [range(self.parts)] if height * self.parts <= 4 else [range(p, p + 1) for p in range(self.parts)]
            for parts in spans:

                def group(index: Value, sums: Sequence[Value], parts: range = parts) -> list[Value]:
                    scale = [self._half(self.tile_scale, index, part) for part in parts]
                    zero = [self._half(self.tile_zero, index, part) for part in parts] if self.kind.zero else []
                    first = f.b.mul(index, count(self.per))
                    return self._group(places, first, self._packed(first, parts), scale, zero, sums)

                start = [splat(F32, self.dots.lanes, 0.0)] * (height * len(parts))
                sums = f.loop(count(0), self.groups, 1, start, group)
                for number, total in enumerate(sums):
                    row, part = divmod(number, len(parts))
                    self._put(places[row], parts[part], total)
            return []

        return rows

    def _half(self, base: Value, group: Value, part: int) -> Value:
        """The scales (or zeros) of a part of the tile, widened to float32."""
        f = self.f
        place = f.b.add(f.b.mul(group, count(TILE)), count(part * self.dots.lanes))
        return f.b.fpext(f.load(vector(F16, self.dots.lanes), base, place, F16, 2), self.floats)

    def _packed(self, first: Value, parts: range) -> Callable[[Value], Steps]:
        """Reads the codes of a block, counted from the first, from the packed matrix."""
        f, size = self.f, 4 * self.dots.lanes

        def read(index: Value) -> Steps:
            base = f.at(self.tile_codes, f.b.mul(f.b.add(first, index), count(self.kind.block_bytes)), I8)
            if len(parts) == self.parts:  # a pass over the whole tile is the first, which waits for memory
                for line in range(0, self.kind.block_bytes, LINE):
                    f.prefetch(base, AHEAD + line)
            steps: Steps = []
            for four in range(self.kind.bits):
                raw = [f.load(self.raw, base, 4 * TILE * four + size * part, I8, 32) for part in parts]
                if self.kind.bits == 8:
                    steps.append((4 * four, raw))
                else:
                    steps += [(4 * four, [self._low(each) for each in raw])]
                    steps += [(4 * four + BLOCK // 2, [self._high(each) for each in raw])]
            return steps

        return read

    def _low(self, raw: Value) -> Value:
        return self.f.b.and_(raw, splat(I8, 4 * self.dots.lanes, 15))

    def _high(self, raw: Value) -> Value:
        words = vector(I16, 2 * self.dots.lanes)
        moved = self.f.b.lshr(self.f.b.bitcast(raw, words), splat(I16, 2 * self.dots.lanes, 4))
        return self._low(self.f.b.bitcast(moved, self.raw))

    def _put(self, row: Value, part: int, total: Value) -> None:
        """Write one row's results of a part of the tile; what lies past the matrix's last row is dropped."""
        f, lanes = self.f, self.dots.lanes
        column = f.b.add(f.b.mul(self.tile, count(TILE)), count(part * lanes))
        target = f.at(self.y, f.b.add(f.b.mul(row, self.N), column), F32)
        with f.b.if_else(f.b.icmp_signed("<=", f.b.add(column, count(lanes)), self.N)) as (inside, across):
            with inside:
                f.store(total, target, 0, F32, 4)
            with across:
                f.store(total, self.edge, 0, F32, 4)
                f.loop(count(0), f.b.sub(self.N, column), 1, [], self._copy(self.edge, target))

    def _copy(self, source: Value, target: Value) -> Callable[[Value, object], list[Value]]:
        def one(place: Value, _: object) -> list[Value]:
            self.f.store(self.f.load(F32, source, place, F32, 4), target, place, F32, 4)
            return []

        return one

    # --- many rows: a piece of the tile as bytes ------------------------------------------------------------------

    def _chunk(self, first: Value, _: object) -> list[Value]:
        """Up to CHUNK rows of the input from a place on, piece by piece."""
        f = self.f
        height = f.smaller(f.b.sub(self.M, first), count(CHUNK))
        per_piece = PIECE // self.kind.group

        def piece(start: Value, _: object) -> list[Value]:
            groups = f.smaller(f.b.sub(self.groups, start), count(per_piece))
            f.loop(count(0), groups, 1, [], self._unpack(start))

            def rows(row: Value, _: object) -> list[Value]:
                # What is missing to four is the last row once more; nobody reads those results.
                last = f.b.sub(self.M, count(1))
                places = [f.smaller(f.b.add(f.b.add(first, row), count(each)), last) for each in range(4)]
                room = f.at(self.sums, f.b.mul(row, count(TILE)), F32)
                self._many(places, room, start, groups)
                return []

            f.loop(count(0), height, 4, [], rows)
            return []

        nothing = splat(F32, 8, 0.0)

        def clear(place: Value, _: object) -> list[Value]:
            f.store(nothing, self.sums, f.b.mul(place, count(8)), F32, 32)
            return []

        f.loop(count(0), count(TILE * CHUNK // 8), 1, [], clear)
        f.loop(count(0), self.groups, per_piece, [], piece)

        def put(row: Value, _: object) -> list[Value]:
            for part in range(self.parts):
                place = f.b.add(f.b.mul(row, count(TILE)), count(part * self.dots.lanes))
                self._put(f.b.add(first, row), part, f.load(self.floats, self.sums, place, F32, 32))
            return []

        f.loop(count(0), height, 1, [], put)
        return []

    def _unpack(self, start: Value) -> Callable[[Value, object], list[Value]]:
        def one(number: Value, _: object) -> list[Value]:
            f, lanes = self.f, self.dots.lanes
            group = f.b.add(start, number)
            for part in range(self.parts):
                place = f.b.add(f.b.mul(number, count(TILE)), count(part * lanes))
                f.store(self._half(self.tile_scale, group, part), self.scales, place, F32, 32)
                if self.kind.zero:
                    f.store(self._half(self.tile_zero, group, part), self.zeros, place, F32, 32)
            read = self._packed(f.b.mul(group, count(self.per)), range(self.parts))

            def block(index: Value, _: object) -> list[Value]:
                target = f.b.add(f.b.mul(number, count(self.per)), index)
                base = f.at(self.piece, f.b.mul(target, count(TILE * BLOCK)), I8)
                for column, codes in read(index):
                    for part, each in enumerate(codes):
                        f.store(each, base, TILE * column + 4 * lanes * part, I8, 32)
                return []

            f.loop(count(0), count(self.per), 1, [], block)
            return []

        return one

    def _many(self, places: list[Value], room: Value, start: Value, groups: Value) -> None:
        """Four rows of the input over a piece's groups, added to what waits in `room` [4, TILE]."""
        f, lanes = self.f, self.dots.lanes

        parts = range(self.parts)

        def group(index: Value, sums: Sequence[Value]) -> list[Value]:
            place = f.b.mul(index, count(TILE))
            scale = [f.load(self.floats, self.scales, f.b.add(place, count(p * lanes)), F32, 32) for p in parts]
            zero = [f.load(self.floats, self.zeros, f.b.add(place, count(p * lanes)), F32, 32) for p in parts]
            first = f.b.mul(f.b.add(start, index), count(self.per))
            return self._group(places, first, self._unpacked(f.b.mul(index, count(self.per))), scale, zero, sums)

        spots = [(row, part) for row in range(len(places)) for part in parts]
        begun = [f.load(self.floats, room, TILE * row + lanes * part, F32, 32) for row, part in spots]
        sums = f.loop(count(0), groups, 1, begun, group)
        for (row, part), total in zip(spots, sums, strict=True):
            f.store(total, room, TILE * row + lanes * part, F32, 32)

    def _unpacked(self, first: Value) -> Callable[[Value], Steps]:
        """Reads the codes of a block, counted from the first, from the unpacked piece."""
        f, size = self.f, 4 * self.dots.lanes

        def read(index: Value) -> Steps:
            base = f.at(self.piece, f.b.mul(f.b.add(first, index), count(TILE * BLOCK)), I8)
            return [
                (column, [f.load(self.raw, base, TILE * column + size * part, I8, 32) for part in range(self.parts)])
                for column in range(0, BLOCK, 4)
            ]

        return read

    # --- what both do ---------------------------------------------------------------------------------------------

    def _group(
        self,
        places: list[Value],
        first: Value,
        read: Callable[[Value], Steps],
        scale: list[Value],
        zero: list[Value],
        sums: Sequence[Value],
    ) -> list[Value]:
        """Add a group's share to the sums, one for each input row (place) and part of the tile.

        first: the number of the group's first block in an input row; read: the codes of a block of the group, counted
        from its first.
        """
        f, parts = self.f, len(scale)
        shifted = len(places) if self.kind.zero else 0

        def block(index: Value, carried: Sequence[Value]) -> list[Value]:
            inner, shifts = list(carried[: len(sums)]), list(carried[len(sums) :])
            number = f.b.add(first, index)
            dots = self._dots(places, number, read(index))
            for row, place in enumerate(places):
                own = f.b.add(f.b.mul(place, self.blocks), number)
                step = f.broadcast(f.load(F32, self.step, own, F32, 4), self.dots.lanes)
                shift = self._shift(own)
                if shifted:
                    shifts[row] = f.b.fadd(shifts[row], shift)
                for part in range(row * parts, (row + 1) * parts):
                    start = inner[part] if shift is None else f.b.fadd(inner[part], shift)
                    inner[part] = f.fma(dots[part], step, start)
            return [*inner, *shifts]

        # Adding -0 changes nothing, and LLVM leaves it out.
        begun = [splat(F32, self.dots.lanes, -0.0)] * (len(sums) + shifted)
        done = block(count(0), begun) if self.per == 1 else f.loop(count(0), count(self.per), 1, begun, block)
        results = []
        for number, total in enumerate(sums):
            row, part = divmod(number, parts)
            total = f.fma(done[number], scale[part], total)
            if shifted:
                total = f.fma(f.b.fmul(done[len(sums) + row], splat(F32, self.dots.lanes, -1 / 8)), zero[part], total)
            results.append(total)
        return results

    def _shift(self, own: Value) -> Value | None:
        """What takes the codes' offset out again, of one block of one input row."""
        eights = 1 if self.kind.bits == 4 else self.dots.shifted
        if not eights:
            return None
        shift = self.f.broadcast(self.f.load(F32, self.shift, own, F32, 4), self.dots.lanes)
        return shift if eights == 1 else self.f.b.fmul(shift, splat(F32, self.dots.lanes, float(eights)))

    def _dots(self, places: list[Value], block: Value, steps: Steps) -> list[Value]:
        """The 32 products of each input row and tile row added up, as float32."""
        f = self.f
        parts = len(steps[0][1])
        sums: list[Value | None] = [None] * (len(places) * parts)
        add = self.dots.add4 if self.kind.bits == 4 else self.dots.add8
        starts = [f.b.mul(f.b.add(f.b.mul(place, self.blocks), block), count(BLOCK)) for place in places]
        for column, codes in steps:
            for row, start in enumerate(starts):
                four = f.load(I32, self.bytes, f.b.add(start, count(column)), I8, 4)
                x = f.b.bitcast(f.broadcast(four, self.dots.lanes), self.raw)
                for part in range(parts):
                    number = row * parts + part
                    sums[number] = add(f, sums[number], codes[part], x)
        total = self.dots.total4 if self.kind.bits == 4 else lambda f, value: value
        return [f.b.sitofp(total(f, each), self.floats) for each in sums]
