"""What a decoder does between its products, on vectors of eight floats: norms, rotations, softmax, SiLU.

Lengths are known when the code is written, and are multiples of eight.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llvmlite import ir

from engine.quantize.kernels.emit import F32, I32, Emitter, Value, count, splat, vector

LANES = 8
EIGHT = vector(F32, LANES)

LOG2E, LN2_HIGH, LN2_LOW = 1.44269504088896341, 0.693359375, -2.12194440e-4
EXP = (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)
"""Of e^r for |r| <= ln 2 / 2. Source: Cephes, expf; the error is below 2 units in the last place."""


def number(value: float) -> Value:
    """A constant in every lane."""
    return splat(F32, LANES, value)


def each(f: Emitter, length: int, body: Callable[[Value], None]) -> None:
    """body(place) for every eighth place of a vector."""

    def one(place: Value, _: object) -> list[Value]:
        body(place)
        return []

    f.loop(count(0), count(length), LANES, [], one)


def get(f: Emitter, base: Value, place: Value | int) -> Value:
    """Eight floats from a place on."""
    return f.load(EIGHT, base, place, F32, 4)


def put(f: Emitter, value: Value, base: Value, place: Value | int) -> None:
    f.store(value, base, place, F32, 4)


def total(f: Emitter, value: Value) -> Value:
    """The sum of the lanes."""
    for half in (4, 2, 1):
        order = ir.Constant(vector(I32, LANES), [(lane + half) % LANES for lane in range(LANES)])
        value = f.b.fadd(value, f.b.shuffle_vector(value, value, order))
    return f.b.extract_element(value, ir.Constant(I32, 0))


def larger(f: Emitter, a: Value, b: Value) -> Value:
    """The larger in each lane; NaN where b is NaN."""
    return f.b.select(f.b.fcmp_ordered(">", a, b), a, b)


def largest(f: Emitter, value: Value) -> Value:
    """The largest of the lanes, in every lane."""
    for half in (4, 2, 1):
        order = ir.Constant(vector(I32, LANES), [(lane + half) % LANES for lane in range(LANES)])
        value = larger(f, value, f.b.shuffle_vector(value, value, order))
    return value


def eight_totals(f: Emitter, rows: Sequence[Value]) -> Value:
    """The sums of the lanes of eight vectors, one in each lane."""
    add = "llvm.x86.avx.hadd.ps.256"
    pairs = [f.call(add, EIGHT, rows[i], rows[i + 1]) for i in range(0, 8, 2)]
    fours = [f.call(add, EIGHT, pairs[i], pairs[i + 1]) for i in (0, 2)]
    low, high = ([*range(begin, begin + 4), *range(begin + 8, begin + 12)] for begin in (0, 4))
    halves = (f.b.shuffle_vector(*fours, ir.Constant(vector(I32, 8), order)) for order in (low, high))
    return f.b.fadd(*halves)


def exp(f: Emitter, x: Value) -> Value:
    """e^x; what is below -87 or above 88 counts as that, NaN stays NaN."""
    for sign, bound in (("<", -87.0), (">", 88.0)):
        x = f.b.select(f.b.fcmp_ordered(sign, x, number(bound)), number(bound), x)
    n = f.call("llvm.rint.v8f32", EIGHT, f.b.fmul(x, number(LOG2E)))
    r = f.fma(n, number(-LN2_LOW), f.fma(n, number(-LN2_HIGH), x))
    p = number(EXP[0])
    for factor in EXP[1:]:
        p = f.fma(p, r, number(factor))
    p = f.b.fadd(f.fma(p, f.b.fmul(r, r), r), number(1.0))
    whole = f.call("llvm.x86.avx.cvt.ps2dq.256", vector(I32, LANES), n)
    power = f.b.shl(f.b.add(whole, splat(I32, LANES, 127)), splat(I32, LANES, 23))
    return f.b.fmul(p, f.b.bitcast(power, EIGHT))


def rms_norm(f: Emitter, x: Value, weight: Value, y: Value, length: int, epsilon: float) -> None:
    """y = x / sqrt(mean(x^2) + epsilon) * weight; y may be x."""

    def square(place: Value, sums: Sequence[Value]) -> list[Value]:
        part = get(f, x, place)
        return [f.fma(part, part, sums[0])]

    [sums] = f.loop(count(0), count(length), LANES, [number(0.0)], square)
    mean = f.b.fdiv(total(f, sums), ir.Constant(F32, float(length)))
    root = f.call("llvm.sqrt.f32", F32, f.b.fadd(mean, ir.Constant(F32, epsilon)))
    factor = f.broadcast(f.b.fdiv(ir.Constant(F32, 1.0), root), LANES)

    def scale(place: Value) -> None:
        put(f, f.b.fmul(f.b.fmul(get(f, x, place), factor), get(f, weight, place)), y, place)

    each(f, length, scale)


def silu_times(f: Emitter, gate: Value, up: Value, y: Value, length: int) -> None:
    """y = gate / (1 + e^-gate) * up."""

    def one(place: Value) -> None:
        g = get(f, gate, place)
        s = f.b.fdiv(g, f.b.fadd(number(1.0), exp(f, f.b.fneg(g))))
        put(f, f.b.fmul(s, get(f, up, place)), y, place)

    each(f, length, one)


def add(f: Emitter, x: Value, other: Value, length: int) -> None:
    """x += other."""
    each(f, length, lambda place: put(f, f.b.fadd(get(f, x, place), get(f, other, place)), x, place))


def rotate(f: Emitter, x: Value, cosines: Value, sines: Value, y: Value, width: int) -> None:
    """y = x with each pair (i, i + width / 2) turned; the first half of the sines is negative. Halves are of 4n."""
    half = width // 2
    lanes = LANES if half % LANES == 0 else 4
    kind = vector(F32, lanes)

    def part(base: Value, place: int) -> Value:
        return f.load(kind, base, place, F32, 4)

    for place in range(0, half, lanes):
        low, high = part(x, place), part(x, place + half)
        for value, other, at in ((low, high, place), (high, low, place + half)):
            turned = f.fma(other, part(sines, at), f.b.fmul(value, part(cosines, at)))
            f.store(turned, y, at, F32, 4)
