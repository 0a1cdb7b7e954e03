"""The fast CPU kernels against a plain NumPy sum in float64."""

from __future__ import annotations

import math

import numba
import numpy as np
import pytest

from nbnumba.kernels.cpu import fast as cpu_fast
from nbnumba.kernels.cpu.tiles import NEAR
from nbnumba.kernels.formulas.blocks import GAUSS, ROUND, SQUARE, TOPHAT, BeamBlock, CellBlock, CrystalBlock, PanelBlock
from nbnumba.render.cpu.case import TILES, CpuCase
from nbnumba.render.kernel_table import LARGEST_ERROR, choose

SHAPES = {"square": SQUARE, "round": ROUND, "gauss": GAUSS, "tophat": TOPHAT}
NO_MASK = np.zeros((0, 0), np.uint8)


def unit(v):
    return np.asarray(v, float) / np.linalg.norm(v)


def rotation(axis, angle):
    x, y, z = unit(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross


class Case:
    """Arguments of a kernel for a small tilted detector and a triclinic crystal; keywords replace fields of blocks."""

    def __init__(
        self, *, shape="square", N=(5, 7, 4), wavelength=1e-10, orientations=1, n_sources=1, size=(40, 70), **more
    ):
        self.spixels, self.fpixels = size
        rng = np.random.default_rng(7)
        turn = rotation((1, 2, 3), 0.4)
        fdet, sdet = turn @ (0.0, 0.0, 1.0), turn @ (0.0, -1.0, 0.0)
        odet = np.cross(fdet, sdet)
        beam = np.array([1.0, 0.0, 0.0])
        close = 0.06
        pix0 = close * odet - 0.0015 * fdet - 0.001 * sdet + turn @ (0, 0.002, -0.003)
        fields = dict(
            zip(
                PanelBlock._fields, (*pix0, *fdet, *sdet, *odet, *beam, 1e-4, 0.065, close, 0.0, 0.0, 0.0), strict=False
            )
        )
        fields |= dict(fpixels=self.fpixels, s0=0, s1=self.spixels, f0=0, f1=self.fpixels, oversample=1, layers=1)
        fields |= dict(has_thickness=0, curved=0, point_pixel=0)
        real = np.array([[52.0, 3.0, -8.0], [-6.0, 61.0, 11.0], [9.0, -14.0, 43.0]])  # rows a, b, c in Å
        star = np.linalg.inv(real).T
        G = star @ star.T
        metric = (G[0, 0], G[1, 1], G[2, 2], G[0, 1], G[0, 2], G[1, 2])
        crystal = CrystalBlock(SHAPES[shape], *map(float, N), 1.0, *metric, 0)
        h_max = np.ceil(np.linalg.norm(real, axis=1) * 1e-10 / wavelength * 0.75).astype(int)
        low = (-h_max).astype(int)
        count = (2 * h_max + 1).astype(int)
        cell = CellBlock(*map(int, low), *map(int, count), 3.0, 0, 0, 1)
        F = rng.uniform(20, 200, count)
        self.F2 = np.concatenate([[9.0], F.ravel() ** 2]).astype(np.float32)
        polar = unit((0.0, 0.2, 1.0))
        beam_block = BeamBlock(*polar, 0.9, 0, 0.0, 0.0, 0, 1e-3, 0, 0, 0, 0)
        blocks = [PanelBlock(**fields), crystal, cell, beam_block]
        for i, block in enumerate(blocks):
            chosen = {k: v for k, v in more.items() if k in block._fields}
            blocks[i] = block._replace(**chosen)
            for key in chosen:
                more.pop(key)
        assert not more
        self.panel, self.crystal, self.cell, self.beam = blocks
        turns = [rotation((0, 0, 1), math.radians(0.3 * m)) @ rotation((1, 1, 0), 0.9) for m in range(orientations)]
        self.cells = np.array([(real @ R.T).ravel() * 1e-10 for R in turns])
        directions = [unit((1.0, *(2e-3 * rng.uniform(-1, 1, 2) * (i > 0)))) for i in range(n_sources)]
        spread = 1 + 0.01 * np.arange(n_sources)
        self.sources = np.array(
            [(*d, wavelength * w, 0.5 + i) for i, (d, w) in enumerate(zip(directions, spread, strict=True))]
        )

    def render(self, kernel, *, tile=(32, 16), mask=NO_MASK, fill=0.0, rows=None, F2=None):
        image = np.full((self.spixels, self.fpixels), fill, np.float32)
        row0, row1 = rows or (0, self.spixels)
        blocks = (self.panel, self.crystal, self.cell, self.beam)
        F2 = self.F2 if F2 is None else F2
        kernel(image, *blocks, self.sources, self.cells, F2, mask, row0, row1, tile)
        return image


def lattice_factor(crystal, h, k, l):
    """F_latt^2 in float64, the formulas of nanoBragg.c on the fractions of the indices."""
    d = [x - np.ceil(x - 0.5) for x in (h, k, l)]
    N = (crystal.Na, crystal.Nb, crystal.Nc)
    cells = N[0] * N[1] * N[2]
    if crystal.shape == SQUARE:
        product = 1.0
        for x, n in zip(d, N, strict=True):
            if n > 1:
                sine = np.sin(np.pi * x)
                product = product * np.where(x == 0, n, np.sin(np.pi * n * x) / np.where(x == 0, 1, sine))
        return product**2
    per_axis = sum((n * x) ** 2 for n, x in zip(N, d, strict=True))
    if crystal.shape == ROUND:
        X = np.pi * np.sqrt(per_axis * crystal.fudge)
        safe = np.where(X < 1e-3, 1, X)
        ball = np.where(X < 1e-3, 1 - X * X / 10, 3 * (np.sin(safe) / safe - np.cos(safe)) / safe**2)
        return (cells * 0.723601254558268 * ball) ** 2
    g = crystal
    metric = np.array([[g.G11, g.G12, g.G13], [g.G12, g.G22, g.G23], [g.G13, g.G23, g.G33]])
    radius = per_axis if g.per_axis else np.einsum("i...,ij,j...", d, metric, d) * cells**2
    if crystal.shape == GAUSS:
        return (cells * np.exp(-(radius / 0.63 * g.fudge))) ** 2
    return (cells * (radius * g.fudge < 0.3969)) ** 2


def bend(panel, place):
    """Positions of the curved detector: arc lengths in lab y and z."""
    beam = np.array((panel.beam_x, panel.beam_y, panel.beam_z)) * panel.distance
    fdet = (panel.fdet_x, panel.fdet_y, panel.fdet_z)
    sdet = (panel.sdet_x, panel.sdet_y, panel.sdet_z)
    result = np.empty_like(place)
    for at in np.ndindex(place.shape[:2]):
        swung = rotation(sdet, place[at][1] / panel.distance) @ beam
        result[at] = rotation(fdet, place[at][2] / panel.distance) @ swung
    return result


def polarization(beam, incident, d):
    """The textbook form, with the azimuth's arc tangent."""
    B = unit(np.cross((beam.polar_x, beam.polar_y, beam.polar_z), incident))
    E = unit(np.cross(incident, B))
    c2 = (d @ incident) ** 2
    psi = -np.arctan2(d @ B, d @ E)
    return 0.5 * (1 + c2 - beam.kahn_factor * np.cos(2 * psi) * (1 - c2))


def structure_factor(case, h, k, l):
    """F^2 of the nearest reflection."""
    c = case.cell
    i = [np.ceil(x - 0.5).astype(int) - low for x, low in zip((h, k, l), (c.h_min, c.k_min, c.l_min), strict=True)]
    count = (c.h_range, c.k_range, c.l_range)
    inside = np.logical_and.reduce([(x >= 0) & (x < n) for x, n in zip(i, count, strict=True)])
    number = np.where(inside, 1 + (i[0] * count[1] + i[1]) * count[2] + i[2], 0)
    return case.F2.astype(float)[number]


def naive(case):
    """The image, one array operation after the other, in the order of the reference's loops."""
    panel, beam = case.panel, case.beam
    n, shape = panel.oversample, (case.spixels, case.fpixels)
    s, f = np.mgrid[: shape[0], : shape[1]]
    axes = np.array(panel[:12]).reshape(4, 3)  # pix0, fdet, sdet, odet
    total = np.zeros(shape) if beam.per_term else np.full(shape, beam.I_bg)
    polar = np.full(shape, 1.0 if beam.nopolar else 0.0)
    omega = capture = None
    for layer, subS, subF in np.ndindex(panel.layers, n, n):
        Fdet, Sdet = (panel.pixel_size * (x + (sub + 0.5) / n) for x, sub in ((f, subF), (s, subS)))
        depth = panel.first_depth + layer * panel.layer_step
        place = Fdet[..., None] * axes[1] + Sdet[..., None] * axes[2] + depth * axes[3] + axes[0]
        place = bend(panel, place) if panel.curved else place
        r = np.linalg.norm(place, axis=-1)
        d = place / r[..., None]
        if omega is None or beam.per_term:
            omega = 1 / r**2 if panel.point_pixel else panel.pixel_size**2 * panel.close_distance / r**3
        if beam.per_term or (subS == 0 and subF == 0):
            depth_in, depth_out = layer * panel.layer_step, (layer + 1) * panel.layer_step
            mu = panel.mu / (d @ axes[3])
            capture = np.exp(-depth_in * mu) - np.exp(-depth_out * mu) if panel.has_thickness else np.ones(shape)
        for *incident, wavelength, weight in case.sources:
            q = (d - incident) / wavelength
            stol = np.linalg.norm(q, axis=-1) / 2
            kept = beam.dmin <= 0.5 / stol if beam.dmin > 0 else np.ones(shape, bool)
            fresh = polarization(beam, np.array(incident), d)
            if beam.per_term:
                factor = capture * weight * omega * (1.0 if beam.nopolar else fresh)
                total += beam.I_bg * factor
            else:
                polar = np.where((polar == 0) & kept, fresh, polar)
                factor = 1.0
            terms = np.zeros(shape)
            for m in case.cells:
                h, k, l = q @ m[:3], q @ m[3:6], q @ m[6:]
                terms += structure_factor(case, h, k, l) * lattice_factor(case.crystal, h, k, l)
            total += np.where(kept, terms * factor, 0)
    return beam.scale * (total if beam.per_term else total * capture * polar * omega)


def errors(image, expected):
    """Largest difference over the maximum, and the 99th percentile of the relative one.

    Values below the smallest normal float32 cannot be held and are left out of the second.
    """
    difference = np.abs(image - expected)
    seen = expected > 2e-38
    return difference.max() / expected.max(), np.percentile(difference[seen] / expected[seen], 99)


def check64(case, tiles=((4, 4), (32, 16))):
    """In small tiles, where eight structure factors are chosen between, and in large ones, where each is fetched."""
    expected = naive(case)
    for tile in tiles:
        largest, typical = errors(case.render(cpu_fast.render_fast64, tile=tile), expected)
        assert largest <= 3e-7  # float32 polynomials and storage
        assert typical <= 2e-6


def test_small_and_large_tiles_take_both_ways():
    case = Case()
    reach = [CpuCase(case).tile_reach(tile) for tile in ((4, 4), (32, 16))]
    assert reach[0] < NEAR < reach[1]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("N", [(5, 7, 4), (1, 3, 2), (1000, 1000, 1000)])
def test_double_phases_meet_the_bar_for_every_shape_and_size(shape, N):
    if shape in ("gauss", "tophat") and N[0] > 1:
        check64(Case(shape=shape, N=[min(n, 25) for n in N], per_axis=1, orientations=9))
        N = (3, 2, 4)  # scaled by the product of all, larger crystals miss every pixel
    check64(Case(shape=shape, N=N, orientations=2))


def test_short_wavelength_and_large_crystal():
    check64(Case(N=(1000, 1000, 1000), wavelength=3e-11, orientations=2))


LAYERS = dict(layers=3, layer_step=1.5e-4, mu=3000.0, has_thickness=1)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("per_term", [0, 1])
def test_sub_pixels_layers_sources_and_background(shape, per_term):
    many = dict(orientations=35, n_sources=2, size=(12, 37), oversample=2, first_depth=5e-5)
    case = Case(shape=shape, N=(3, 2, 4), per_term=per_term, dmin=1.9e-10, I_bg=50.0, **many, **LAYERS)
    check64(case, tiles=((4, 4), (16, 8)))


@pytest.mark.parametrize("per_term", [0, 1])
@pytest.mark.parametrize(
    "options", [dict(curved=1), dict(point_pixel=1), dict(nopolar=1), dict(kahn_factor=0.0), dict(fudge=0.3)]
)
def test_options(options, per_term):
    shape = "round" if "fudge" in options else "square"
    check64(Case(shape=shape, size=(12, 37), oversample=2, n_sources=2, per_term=per_term, **options))


@pytest.mark.parametrize("nopolar", [0, 1])
def test_pixels_cut_altogether_are_black_unless_polarization_is_off(nopolar):
    case = Case(dmin=1e-9, I_bg=5.0, nopolar=nopolar)
    image = case.render(cpu_fast.render_fast64)
    expected = naive(case)
    assert (expected.max() > 0) == bool(nopolar)
    np.testing.assert_allclose(image, expected, rtol=2e-6)  # float32 storage and omega


def test_outside_the_box_is_default_F():
    case = Case(h_min=2, h_range=3, k_min=-20, k_range=17, l_min=0, l_range=4)
    check64(case)
    bare = Case(has_hkl=0)
    bare.F2 = np.array([16.0], np.float32)
    bare.cell = bare.cell._replace(h_range=0, k_range=0, l_range=0)
    check64(bare)


def test_exact_peak_and_forward_beam():
    """At h = k = l = 0 both sines vanish: the pixel in the direct beam is (Na Nb Nc)^2 F^2."""
    case = Case(N=(36, 47, 29), nopolar=1, point_pixel=1, size=(1, 1))
    axes = np.array(case.panel[3:12]).reshape(3, 3)
    pix0 = 0.1 * np.array([1.0, 0, 0]) - 0.5e-4 * (axes[0] + axes[1])
    case.panel = case.panel._replace(pix0_x=pix0[0], pix0_y=pix0[1], pix0_z=pix0[2])
    c = case.cell
    F2 = case.F2[1 + (-c.h_min * c.k_range - c.k_min) * c.l_range - c.l_min]
    expected = case.beam.scale * 100 * F2 * (36 * 47 * 29) ** 2
    for kernel in (cpu_fast.render_fast32, cpu_fast.render_fast64):
        assert case.render(kernel)[0, 0] == pytest.approx(expected, rel=1e-6)  # float32 storage


@pytest.mark.parametrize("tile", TILES)
def test_single_phases_within_their_bound(tile):
    case = Case(orientations=40, N=(12, 12, 12))
    error = CpuCase(case).error_of(tile)
    assert error < LARGEST_ERROR
    largest, typical = errors(case.render(cpu_fast.render_fast32, tile=tile), naive(case))
    assert largest <= 1.3 * error + 1e-7  # slope of a peak's flank, float32 storage
    assert typical <= 80 * error / math.sqrt(40)


@pytest.mark.parametrize("shape", ["round", "gauss", "tophat"])
def test_other_shapes_are_double_in_both_kernels(shape):
    case = Case(shape=shape, N=(9, 8, 7), per_axis=1, orientations=4)
    single, double = case.render(cpu_fast.render_fast32), case.render(cpu_fast.render_fast64)
    assert double.max() > 0
    np.testing.assert_allclose(single, double, rtol=3e-7)  # the compilers may group sums differently


def test_extent_of_a_tile_is_the_largest_change_of_the_indices():
    case = Case(orientations=3, n_sources=2)
    panel = case.panel
    s, f = np.mgrid[: case.spixels - 7, : case.fpixels - 15]
    corner, along, across = np.array(panel[:9]).reshape(3, 3)

    def directions(s, f):
        place = corner + 1e-4 * (f[..., None] * along + s[..., None] * across)
        return place / np.linalg.norm(place, axis=-1)[..., None]

    changes = [directions(s + 8, f + 16) - directions(s, f), directions(s, f + 16) - directions(s + 8, f)]
    products = np.abs(np.array(changes) @ case.cells.reshape(-1, 3).T / case.sources[:, 3].min())
    expected = products.reshape(-1, 3, 3).max(axis=(0, 1))
    extent = CpuCase(case).tile_extent((16, 8))
    np.testing.assert_allclose(extent, expected, rtol=0.05)  # the derivative, at a grid of points


class Inputs:
    def __init__(self, case, steps):
        self.panel, self.crystal, self.cell, self.beam = case.panel, case.crystal, case.cell, case.beam
        self.sources, self.cells, self.steps_per_pixel, self.first_cells = case.sources, case.cells, steps, ()
        self.coupling = (0.0, 0.0, 0.0)


def chosen(case, steps, precision="auto"):
    choice = choose(CpuCase(Inputs(case, steps)), precision)
    return choice.kernel.name, choice.tile


def test_choice_of_kernel():
    case = Case(N=(12, 12, 12))
    case.panel = case.panel._replace(s1=2000, f1=2000, pix0_y=0.0, pixel_size=1e-5)
    assert chosen(case, 10) == ("fast32", (32, 16))
    assert chosen(case, 1)[0] == "fast64"
    case.crystal = case.crystal._replace(Na=1e5)
    assert chosen(case, 10)[0] == "fast64"
    assert chosen(case, 10, "mixed")[0] == "fast32"
    case.crystal = case.crystal._replace(shape=GAUSS)
    assert chosen(case, 10) == ("spots", (0, 0))
    case.crystal = case.crystal._replace(fudge=1e-12)
    assert chosen(case, 10) == ("fast64", (8, 8))
    case.crystal = case.crystal._replace(shape=ROUND)
    assert chosen(case, 10) == ("fast64", (32, 16))
    case.cell = case.cell._replace(h_range=2000, k_range=2000, l_range=2000)
    assert chosen(case, 10)[0] == "general"


def test_rows_columns_and_mask_change_nothing_else():
    case = Case(size=(40, 150), orientations=3)
    whole = case.render(cpu_fast.render_fast64)
    mask = (np.random.default_rng(1).random(whole.shape) < 0.7).astype(np.uint8)
    case.panel = case.panel._replace(s0=3, s1=33, f0=70, f1=141)
    part = case.render(cpu_fast.render_fast64, mask=mask, fill=-7.0, rows=(5, 40))
    chosen = np.zeros(whole.shape, bool)
    chosen[5:33, 70:141] = True
    chosen &= mask > 0
    assert chosen.any()
    np.testing.assert_array_equal(part, np.where(chosen, whole, np.float32(-7.0)))


def test_threads_change_no_bit():
    case = Case(size=(40, 150), orientations=3)
    all_threads = case.render(cpu_fast.render_fast32)
    previous = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        one_thread = case.render(cpu_fast.render_fast32)
    finally:
        numba.set_num_threads(previous)
    np.testing.assert_array_equal(all_threads, one_thread)
