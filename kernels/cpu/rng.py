"""Random numbers of the reference program: uniform, Poisson and Gaussian deviates, random rotations.

Problem: a noise image is reproducible only if every deviate is, because one draw more or less shifts the sequence of
all later pixels. The C code keeps many temporaries as ``float``, so a comparison in double would now and then fall on
the other side.

Choice: each function rounds to float32 where ``nanoBragg.c`` stores a ``float`` and works in float64 where C promotes
to ``double``; nothing is contracted or reordered (``STRICT``). What C keeps in statics is an explicit state here.

Cost: one draw after the other, no threads; 6 million pixels take well below a second. Misuse: ``fastmath`` or a fused
multiply-add on these functions breaks the sequence without any error.

Sources: D. Knuth, TAOCP 2, 3.2 and 3.4 (shuffled congruential generator; rejection); Park & Miller, CACM 31 (1988) 1192;
Bays & Durham, ACM TOMS 2 (1976) 59; Lanczos, SIAM J. Numer. Anal. B1 (1964) 86 (log gamma); Box & Muller,
Ann. Math. Stat. 29 (1958) 610. Same results as ``ran1``, ``poidev``, ``gaussdev``, ``gammln``,
``mosaic_rotation_umat`` and ``umat2misset`` of ``nanoBragg.c``.
"""

from __future__ import annotations

import math

import numpy as np

from nbnumba.kernels.jit.cpu import STRICT, device, kernel

MODULUS = 2147483647  # 2^31 - 1
MULTIPLIER = 16807
WARM_UP = 8  # draws discarded before the shuffle table is filled
TABLE_SIZE = 32
#: Shape of the generator's state: the congruential number, the last output, the shuffle table.
STATE_SIZE = 2 + TABLE_SIZE

_SCALE = 1.0 / MODULUS
_LARGEST = np.float32(1.0 - 1.2e-7)
_GAUSS_ABOVE = np.float32(1e6)  # means above are drawn from a normal distribution
_DIRECT_BELOW = np.float32(12.0)  # means below are drawn by counting exponential delays
_TABULATED = 4096  # arguments of log gamma that one image computes only once
_ONE_THIRD = np.float32(1.0 / 3.0)


@device(fastmath=STRICT)
def _advance(number):
    # the low and high 31 bits of the product add up to the remainder by 2^31 - 1
    product = number * MULTIPLIER
    number = (product & MODULUS) + (product >> 31)
    return number - MODULUS if number >= MODULUS else number


@device(fastmath=STRICT)
def seed_state(seed, state):
    """Fill ``state`` (``STATE_SIZE``, int64) for a seed >= 0; 0 counts as 1, and the period of seeds is 2^31 - 1."""
    number = np.int64(seed) % MODULUS
    if number == 0:
        number = np.int64(1)
    for _ in range(WARM_UP):
        number = _advance(number)
    for j in range(TABLE_SIZE - 1, -1, -1):
        number = _advance(number)
        state[2 + j] = number
    state[0] = number
    state[1] = state[2]


@device(fastmath=STRICT)
def ran1(state):
    """A float32 uniform in (0, 1), multiples of 2^-31 as far as float32 can hold them; advances ``state``."""
    number = _advance(state[0])
    state[0] = number
    j = 2 + (state[1] >> 26)  # 32 equal parts of the range
    drawn = state[j]
    state[1] = drawn
    state[j] = number
    return min(np.float32(_SCALE * np.float64(drawn)), _LARGEST)


@device(fastmath=STRICT)
def gammln(xx):
    """Float32 logarithm of the gamma function, for float32 ``xx`` > 0; relative error about 1e-7."""
    x = np.float64(xx)
    tmp = x + 5.5
    tmp -= (x + 0.5) * math.log(tmp)
    ser = 1.000000000190015
    ser += 76.18009172947146 / (x + 1.0)
    ser += -86.50532032941677 / (x + 2.0)
    ser += 24.01409824083091 / (x + 3.0)
    ser += -1.231739572450155 / (x + 4.0)
    ser += 0.1208650973866179e-2 / (x + 5.0)
    ser += -0.5395239384953e-5 / (x + 6.0)
    return np.float32(-tmp + math.log(2.5066282746310005 * ser / x))


@device(fastmath=STRICT)
def gaussdev(state, spare):
    """A float32 normal deviate of mean 0 and rms 1.

    Deviates come in pairs: ``spare`` (2, float32) holds whether one is left (0 or 1), and which.
    """
    if spare[0] != np.float32(0):
        spare[0] = np.float32(0)
        return spare[1]
    rsq = np.float32(0)
    v1 = np.float32(0)
    v2 = np.float32(0)
    while rsq >= np.float32(1) or rsq == np.float32(0):
        v1 = np.float32(2.0 * np.float64(ran1(state)) - 1.0)
        v2 = np.float32(2.0 * np.float64(ran1(state)) - 1.0)
        rsq = v1 * v1 + v2 * v2
    radius_sq = np.float64(rsq)
    fac = np.float32(math.sqrt(-2.0 * math.log(radius_sq) / radius_sq))
    spare[0] = np.float32(1)
    spare[1] = v1 * fac
    return v2 * fac


@device(fastmath=STRICT)
def _poisson_direct(threshold, state):
    # a product of uniforms falls below exp(-mean) after mean + 1 factors on average
    em = np.float32(0)
    product = ran1(state)
    while product > threshold:
        em += np.float32(1)
        product *= ran1(state)
    return em


@device(fastmath=STRICT)
def _log_factorial(em, table):
    if em < np.float32(len(table)):
        return table[int(em)]
    return gammln(np.float32(np.float64(em) + 1.0))


@device(fastmath=STRICT)
def _poisson_rejection(xm, sq, alxm, g, state, table):
    # candidates from a Lorentzian around the mean, accepted by the ratio of the two densities
    while True:
        y = np.float32(math.tan(math.pi * np.float64(ran1(state))))
        em = sq * y + xm
        while em < np.float32(0):
            y = np.float32(math.tan(math.pi * np.float64(ran1(state))))
            em = sq * y + xm
        em = np.floor(em)
        exponent = em * alxm - _log_factorial(em, table) - g
        ratio = np.float32(0.9 * (1.0 + np.float64(y * y)) * math.exp(np.float64(exponent)))
        if not ran1(state) > ratio:
            return em


@device(fastmath=STRICT)
def _logs_of_mean(xm):
    """``sqrt(2 xm)``, ``log(xm)`` and ``xm log(xm) - log(xm!)``, float32."""
    sq = np.float32(math.sqrt(2.0 * np.float64(xm)))
    alxm = np.float32(math.log(np.float64(xm)))
    g = xm * alxm - gammln(np.float32(np.float64(xm) + 1.0))
    return sq, alxm, g


@device(fastmath=STRICT)
def poidev(xm, state, spare, table):
    """A float32 Poisson deviate of float32 mean ``xm``; a normal one, not rounded, for means above 1e6.

    Parameters
    ----------
    xm : float32
        Mean. Not more than 0 gives 0, NaN gives NaN.
    state : (STATE_SIZE,) int64
        See :func:`seed_state`.
    spare : (2,) float32
        See :func:`gaussdev`.
    table : (n,) float32
        log(k!) for k < n, as :func:`gammln` gives them; may be empty.
    """
    if xm > _GAUSS_ABOVE:
        mean = np.float64(xm)
        return np.float32(mean + math.sqrt(mean) * np.float64(gaussdev(state, spare)))
    if xm < _DIRECT_BELOW:
        return _poisson_direct(np.float32(math.exp(-np.float64(xm))), state)
    sq, alxm, g = _logs_of_mean(xm)
    return _poisson_rejection(xm, sq, alxm, g, state, table)


@kernel(parallel=False, fastmath=STRICT)
def poisson_image(image, s0, s1, f0, f1, seed, adc_offset, out):
    """Photons counted in each pixel, drawn in raster order.

    Parameters
    ----------
    image : (slow, fast) float32
        Expected photons per pixel.
    s0, s1, f0, f1 : int
        Half-open region to fill; the rest of ``out`` stays as it is.
    seed : int
        At least 0; see :func:`seed_state`.
    adc_offset : float
        Added to every count before it is clipped to 65535 and truncated. Negative results lose all but their lowest
        16 bits, as in a C program on common processors.
    out : (slow, fast) uint16
        Counts.

    Returns
    -------
    photons : float
        Sum of the deviates, before offset and clipping.
    overloads : int
        Number of clipped pixels.
    """
    state = np.empty(STATE_SIZE, np.int64)
    seed_state(seed, state)
    spare = np.zeros(2, np.float32)
    table = np.empty(_TABULATED, np.float32)
    for k in range(_TABULATED):
        table[k] = gammln(np.float32(k + 1))
    photons = 0.0
    overloads = 0
    for s in range(s0, s1):
        for f in range(f0, f1):
            drawn = np.float64(poidev(image[s, f], state, spare, table))
            photons += drawn
            count = drawn + adc_offset
            if count > 65535.0:
                count = 65535.0
                overloads += 1
            out[s, f] = np.uint16(np.int64(count) & 65535)
    return photons, overloads


@device(fastmath=STRICT)
def _random_rotation(max_angle, state, umat):
    r1 = 2.0 * np.float64(ran1(state)) - 1.0
    r2 = 2.0 * np.float64(ran1(state)) - 1.0
    r3 = 2.0 * np.float64(ran1(state)) - 1.0
    in_plane = math.sqrt(1.0 - r2 * r2)
    x = in_plane * math.sin(math.pi * r1)
    y = in_plane * math.cos(math.pi * r1)
    z = r2
    # a double power of float32 arguments, rounded once, is a correctly rounded powf
    share = np.float32(np.float64(np.float32(1.0 - r3 * r3)) ** np.float64(_ONE_THIRD))
    rot = np.float64(np.float32(max_angle) * share)
    cosine = math.cos(rot)
    sine = math.sin(rot)
    versine_x = (1.0 - cosine) * x
    umat[0, 0] = cosine + (1.0 - cosine) * (x * x)
    umat[0, 1] = versine_x * y - sine * z
    umat[0, 2] = versine_x * z + sine * y
    umat[1, 0] = versine_x * y + sine * z
    umat[1, 1] = cosine + (1.0 - cosine) * (y * y)
    umat[1, 2] = (1.0 - cosine) * y * z - sine * x
    umat[2, 0] = versine_x * z - sine * y
    umat[2, 1] = (1.0 - cosine) * y * z + sine * x
    umat[2, 2] = cosine + (1.0 - cosine) * (z * z)


@kernel(parallel=False, fastmath=STRICT)
def _rotations(max_angle, seed, umats):
    state = np.empty(STATE_SIZE, np.int64)
    seed_state(seed, state)
    for n in range(len(umats)):
        _random_rotation(max_angle, state, umats[n])


def mosaic_umats(spread_rad: float, n_domains: int, seed: int = 12345678) -> np.ndarray:
    """Rotations of the mosaic domains, (n_domains, 3, 3) float64; the first is the identity.

    Axes are uniform on the sphere; angles are ``spread_rad * (1 - r^2)^(1/3)`` with r uniform in (-1, 1), a float32
    product. The random numbers of the first domain are drawn and dropped, so domain n does not depend on ``n_domains``.
    """
    umats = np.empty((n_domains, 3, 3))
    _rotations(float(spread_rad), int(seed), umats)
    umats[:1] = np.eye(3)
    return umats


def random_umat(seed: int) -> np.ndarray:
    """Random rotation of ``-misset random``, (3, 3) float64: the reference passes 90 as *radians* of spread."""
    umats = np.empty((1, 3, 3))
    _rotations(90.0, int(seed), umats)
    return umats[0]


def umat_to_misset(umat: np.ndarray) -> tuple[float, float, float]:
    """Angles in radians about x, then y, then z (right-handed, fixed axes) that make up the rotation ``umat``.

    Rows are brought to unit length first. Where the second rotation is a right angle the other two are not unique:
    the first is then pi.
    """
    rows: np.ndarray = np.asarray(umat, dtype=np.float64)
    for _ in range(2):  # twice, as the reference does: the last bit of the angles depends on it
        rows = np.array([[v / math.sqrt(r[0] * r[0] + r[1] * r[1] + r[2] * r[2]) for v in r] for r in rows.tolist()])
    (uxx, uxy, _), (uyx, uyy, _), (uzx, uzy, uzz) = rows.tolist()
    if uzx * uzx < 1.0:
        return math.atan2(uzy, uzz), math.atan2(-uzx, math.sqrt(uzy * uzy + uzz * uzz)), math.atan2(uyx, uxx)
    return math.pi, math.pi / 2, math.atan2(uxy, -uyy)
