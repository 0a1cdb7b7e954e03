"""The picture and the table of a refinement: which shoeboxes are shown, where their pixels are, and odd refinements."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from nbnumba.errors import FileError
from nbnumba.output import shoebox_strips as strips
from nbnumba.output.refine_picture import HEIGHT_PX, OUTLIERS, WIDTH_PX, save_refinement, stage_curves, table_rows
from nbnumba.output.refine_table import write_rows
from nbnumba.refinement.spots import SPOT
from tests.output.refined_inputs import BACKGROUND, EDGE, make_refined, make_steps, peaks

SIZE, LABEL = (1040, 840), 18


def assert_picture(path: Path) -> np.ndarray:
    from matplotlib.image import imread

    pixels = imread(path)[..., :3]
    assert pixels.shape[:2] == (HEIGHT_PX, WIDTH_PX) == (1000, 1600)
    assert (pixels.min(axis=-1) > 0.99).mean() > 0.3  # paper
    assert (pixels.max(axis=-1) < 0.3).any()  # ink
    assert path.stat().st_size > 10_000
    return pixels


# --- which shoeboxes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_those_that_the_start_did_not_explain_are_shown(seed: int) -> None:
    """Four in each of six shells of ten, by falling d."""
    rng = np.random.default_rng(seed)
    wrong = np.concatenate([rng.permutation(np.arange(10) < 4) for _ in range(6)])
    chosen = strips.telling_boxes(make_refined(60, wrong=wrong))
    assert chosen.tolist() == np.flatnonzero(wrong).tolist()


def test_shoeboxes_come_from_all_resolutions() -> None:
    """Where the strongest spots of all are those of lowest resolution."""
    count = 600
    refined = make_refined(count, wrong=np.ones(count, bool), heights=np.geomspace(20_000, 5, count), noise=False)
    chosen = strips.telling_boxes(refined)
    expected = [100 * shell + place for shell in range(6) for place in range(4)]
    assert chosen.tolist() == expected
    assert (np.diff(strips.resolutions(refined)[chosen]) < 0).all()


def test_from_a_start_that_is_right_the_strongest_are_shown() -> None:
    heights = np.full(60, 50.0)
    strong = np.arange(60) % 10 < 4
    heights[strong] = 5000
    assert strips.telling_boxes(make_refined(60, heights=heights)).tolist() == np.flatnonzero(strong).tolist()


@pytest.mark.parametrize(("count", "most", "shown"), [(1, 24, 1), (3, 24, 3), (23, 24, 23), (25, 24, 24), (90, 7, 7)])
def test_number_of_strips(count: int, most: int, shown: int) -> None:
    chosen = strips.telling_boxes(make_refined(count), most)
    assert len(chosen) == shown == len(set(chosen.tolist()))


def test_resolution_is_that_of_the_own_lattice() -> None:
    refined = make_refined(5, lattices=2)
    settings = tuple(SimpleNamespace(state=SimpleNamespace(direct=a * np.eye(3))) for a in (EDGE, 2 * EDGE))
    d = strips.resolutions(make_refined(5, lattices=2, settings=settings))
    np.testing.assert_allclose(d, [100, 100, 100 / 3, 50, 20])
    np.testing.assert_allclose(strips.resolutions(refined), 100 / np.arange(1, 6))
    # rows of the matrix are a, b, c: the reciprocal length of 2 0 0 of a monoclinic cell is 2 a* = 2 / (a sin beta)
    direct = np.array([[50.0, 0, -5], [0, 60, 0], [0, 0, 70]])
    settings = (SimpleNamespace(state=SimpleNamespace(direct=direct)),)
    assert strips.resolutions(make_refined(2, settings=settings))[1] == pytest.approx(25.0)
    origin = make_refined(2)
    origin.boxes.hkl[0] = 0
    assert strips.resolutions(origin)[0] == np.inf


# --- their images ------------------------------------------------------------------------------------------------


def test_images_of_a_strip() -> None:
    wrong = np.array([False, True])
    refined = make_refined(2, wrong=wrong, noise=False)
    for number in (0, 1):
        images = strips.strip_images(refined.boxes, strips.pixel_values(refined), number)
        data, start, last, Z = images
        assert data.shape == (7, 9)
        for image in images:
            assert np.isnan(image[[0, 0, -1, -1], [0, -1, 0, -1]]).all() and np.isnan(image).sum() == 4
        inside = np.isfinite(data)
        assert data[3, 4] == last[3, 4] == pytest.approx(100 + BACKGROUND)
        assert start[3, 4] == pytest.approx(BACKGROUND + 100 * (number == 0))
        np.testing.assert_allclose(Z[inside], 0, atol=1e-9)
        assert strips.grey_range(images) == pytest.approx((data[inside].min(), 110))


def test_start_that_is_too_bright_leaves_the_scale_to_the_data() -> None:
    data = np.array([[1.0, 500.0], [np.nan, 2.0]])
    assert strips.grey_range(np.stack([data, 1000 * data, data + 1, data])) == (1.0, 501.0)


def test_noise_alone_is_pale() -> None:
    data = np.random.default_rng(1).poisson(25.0, (12, 12)).astype(float)
    ends = strips.grey_range(np.stack([data, data, np.full_like(data, 25.0), data]))
    assert ends == (data.min(), 25 + 8 * 5)
    assert strips.grey(data, ends).mean() > 130
    assert strips.grey_range(np.zeros((4, 2, 2))) == (0.0, 8.0)


def test_colours() -> None:
    shades = strips.grey(np.array([[0.0, 1, 5, 10, 99, -5]]), (0.0, 10.0))[0, :, 0].astype(int)
    assert shades[0] > 250 and shades[3] == shades[4] < 15 and shades[5] == shades[0]
    assert (np.diff(shades[:4]) < 0).all()
    red, white, blue = strips.blue_red(np.array([[6.0, 0.0, -6.0]]))[0].astype(int)
    assert red[0] > red[2] + 50 and blue[2] > blue[0] + 50 and white.min() > 240


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (3, 1), (8, 2), (24, 3)])
@pytest.mark.parametrize("shape", [(7, 9), (1, 30), (40, 3), (150, 200)])
def test_every_strip_has_four_images_in_its_place(count: int, columns: int, shape: tuple[int, int]) -> None:
    refined = make_refined(count, shape=shape)
    sheet = strips.make_sheet(refined, np.arange(count), SIZE, LABEL)
    assert sheet.dots.shape == (*SIZE[::-1], 3) and sheet.corners.shape == (count, 2)
    assert sheet.columns == columns == len(set(sheet.corners[:, 0].tolist()))
    left = np.ones(sheet.dots.shape[:2], bool)
    for x, y in sheet.corners:
        assert y >= LABEL and x + 4 * sheet.tile + 18 <= SIZE[0] and y + sheet.tile <= SIZE[1]
        for at in range(4):
            part = slice(y, y + sheet.tile), slice(x + at * (sheet.tile + 6), x + at * (sheet.tile + 6) + sheet.tile)
            assert left[part].all()  # no two cover each other
            left[part] = False
            assert (sheet.dots[part] < 255).any()
    assert (sheet.dots[left] == 255).all()


def test_pixels_are_squares_in_the_middle_of_their_tile() -> None:
    refined = make_refined(1, noise=False)
    sheet = strips.make_sheet(refined, np.array([0]), SIZE, LABEL)
    (x, y), tile, times = sheet.corners[0], sheet.tile, sheet.tile // 9
    top, left = y + (tile - 7 * times) // 2, x + (tile - 9 * times) // 2
    images = strips.strip_images(refined.boxes, strips.pixel_values(refined), 0)
    data, expected = images[0], strips.grey(images[0], strips.grey_range(images))
    for slow in range(7):
        for fast in range(9):
            middle = sheet.dots[top + slow * times + times // 2, left + fast * times + times // 2]
            assert (middle == (255 if np.isnan(data[slow, fast]) else expected[slow, fast])).all()
    # data and refined model are the same, and so are their images
    step = tile + 6
    a, b = (sheet.dots[y : y + tile, x + at * step : x + at * step + tile] for at in (0, 2))
    np.testing.assert_array_equal(a, b)


# --- curves and table --------------------------------------------------------------------------------------------


def test_curves_of_stages() -> None:
    """Stages go on where the one before ended; that without outliers has an end of its own."""
    steps = (
        *make_steps("1", (4000.0, 300.0)),
        *make_steps("2", (300.0, 12.0, 10.0), 0.25),
        *make_steps(OUTLIERS, (7.0, 6.5), 0.125),
    )
    one, two, three = stage_curves(make_refined(steps=steps))
    assert [curve[0] for curve in (one, two, three)] == ["1", "2", OUTLIERS]
    assert one[1].tolist() == [0, 1] and one[2].tolist() == [3990.25, 290.25]
    assert two[1].tolist() == [1, 2, 4] and two[2].tolist() == [290.25, 2.25, 0.25]
    assert three[1].tolist() == [4, 5] and three[2].tolist() == [0.625, 0.125]
    assert stage_curves(make_refined(steps=())) == []


def test_numbers_have_the_digits_of_their_errors() -> None:
    rows, others = table_rows(make_refined())
    assert rows == [
        ("misset_x_deg", "0.00000", "−0.15012", "0.00031"),
        ("cell_a", "55.10000", "55.00021", "0.00022"),
        ("scale", "1.0000", "1.2500", "0.0040"),
    ]
    assert others == 0
    errors = np.array([np.inf, 30.0, 0.0])
    rows, _ = table_rows(make_refined(values=np.array([1.5, 1234.0, 1e9]), errors=errors))
    assert [row[2:] for row in rows] == [("1.50000", "–"), ("1234", "30"), ("1e+09", "–")]


def test_of_many_parameters_those_that_changed_most_are_shown() -> None:
    count = 50
    values = np.where(np.arange(count) % 5 == 2, 3.0, 0.01)
    names = tuple(f"F[{i},0,0]" for i in range(count))
    errors = np.ones(count)
    refined = make_refined(names=names, start=np.zeros(count), values=values, errors=errors)
    rows, others = table_rows(refined, 11)
    assert [row[0] for row in rows] == [f"F[{i},0,0]" for i in range(2, count, 5)] and others == 40


# --- the whole picture -------------------------------------------------------------------------------------------

MANY = {
    "names": tuple(f"lattice{1 + i % 2}.panel{i}_shift_x_mm" for i in range(40)),
    **{key: np.arange(40.0) for key in ("start", "values")},
    "errors": np.where(np.arange(40) % 3, 0.01, np.inf),
    "correlations": np.eye(40),
}
ODD = {
    "usual": lambda: make_refined(60, wrong=np.arange(60) % 3 == 0),
    "three boxes": lambda: make_refined(3),
    "one box, one step": lambda: make_refined(1, steps=make_steps("1", (5.0, 1.0))),
    "no step": lambda: make_refined(steps=()),
    "no gain": lambda: make_refined(steps=make_steps("1", (1.0, 1.0), float("nan"))),
    "not converged": lambda: make_refined(reason="it did not converge within 50 iterations; " * 9),
    "two lattices, many parameters": lambda: make_refined(30, lattices=2, rejected=12, **MANY),
    "perfect": lambda: make_refined(30, noise=False),
    "dark": lambda: make_refined(30, heights=np.zeros(30), noise=False),
    "nothing expected": lambda: _without_offsets(make_refined(4, wrong=np.ones(4, bool), heights=np.full(4, 1e7))),
    "narrow": lambda: make_refined(30, shape=(1, 12)),
    "large": lambda: make_refined(30, shape=(120, 90)),
}


def _without_offsets(refined):
    refined.spots["offset_px"] = np.nan
    refined.spots["sigma"] = 0
    return refined


@pytest.mark.parametrize("kind", ODD)
def test_picture_of_any_refinement(kind: str, tmp_path: Path) -> None:
    save_refinement(tmp_path / "a.png", ODD[kind](), "shot_0001.cbf")
    assert_picture(tmp_path / "a.png")


@pytest.mark.parametrize("name", ["", "x" * 300, "a\tb$x^$\n.npy", "字\udce4$_$.npy"])
def test_any_name(name: str, tmp_path: Path) -> None:
    save_refinement(tmp_path / "a.png", make_refined(3), name)
    assert_picture(tmp_path / "a.png")


def test_strips_are_where_the_sheet_has_them(tmp_path: Path) -> None:
    """The picture shows the sheet dot by dot."""
    refined = make_refined(60, wrong=np.arange(60) % 3 == 0)
    save_refinement(tmp_path / "a.png", refined)
    pixels = assert_picture(tmp_path / "a.png")
    from nbnumba.output.refine_picture import _LABEL, _STRIPS

    left, top, wide, high = _STRIPS
    sheet = strips.make_sheet(refined, strips.telling_boxes(refined), (wide, high), _LABEL)
    assert len(sheet.corners) == 24
    for x, y in sheet.corners:
        shown = pixels[top + y : top + y + sheet.tile, left + x : left + x + sheet.tile]
        np.testing.assert_allclose(shown * 255, sheet.dots[y : y + sheet.tile, x : x + sheet.tile], atol=1.1)


def test_a_picture_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="does not exist"):
        save_refinement(tmp_path / "none" / "a.png", make_refined(2))


# --- table of spots ----------------------------------------------------------------------------------------------


def test_spots_are_read_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    spots = np.zeros(50, SPOT)
    for name in SPOT.names or ():
        values = rng.normal(0, 10.0 ** rng.uniform(-6, 9, 50))
        spots[name] = values if SPOT[name].kind == "f" else rng.integers(-40, 40, 50)
    spots["offset_px"][::3], spots["correlation"][1], spots["intensity"][2] = np.nan, np.nan, np.inf
    write_rows(tmp_path / "spots.csv", spots)
    text = (tmp_path / "spots.csv").read_text()
    assert text.splitlines()[0] == ",".join(SPOT.names or ()) and text.endswith("\n") and len(text.splitlines()) == 51
    assert "nan" not in text and "inf" not in text
    found = np.genfromtxt(tmp_path / "spots.csv", delimiter=",", names=True)
    for name in SPOT.names or ():
        expected = np.where(np.isfinite(spots[name]), spots[name], np.nan)
        np.testing.assert_allclose(found[name], expected, rtol=1e-7)
    assert np.isnan(found["offset_px"][::3]).all() and np.isfinite(found["offset_px"][1::3]).all()


def test_no_spots_are_a_line_of_names(tmp_path: Path) -> None:
    write_rows(tmp_path / "spots.csv", np.zeros(0, SPOT))
    assert (tmp_path / "spots.csv").read_text() == ",".join(SPOT.names or ()) + "\n"


def test_spots_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="does not exist"):
        write_rows(tmp_path / "none" / "spots.csv", np.zeros(1, SPOT))


def test_made_up_spots_are_in_the_middle() -> None:
    """The input of these tests: the brightest pixel of a box is that in its middle."""
    refined = make_refined(3, noise=False)
    light = peaks(refined.boxes, np.array([1.0, 2.0, 3.0]))
    np.testing.assert_allclose(np.maximum.reduceat(light, refined.boxes.starts[:-1]), [1, 2, 3])
