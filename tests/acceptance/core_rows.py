"""Rows of the acceptance tests of the core and of the command line."""

from __future__ import annotations

from tests.acceptance.row import C_FOLLOWED, HOLDS, Row

PIVOTS = "A convention sets its pivot after all flags, MOSFLM by default; only in CUSTOM do flags count, the last one."

CORE: dict[str, Row] = {
    "AT-GEO-001": Row(
        "corner of a MOSFLM detector", HOLDS, ("test_geometry.test_geo_001_corner_of_a_mosflm_detector",)
    ),
    "AT-GEO-002": Row(
        "pivot by default and by flags",
        C_FOLLOWED,
        ("test_geometry.test_geo_002_pivot", "test_against_c.test_c_pivots"),
        f"A holds. B and C: {PIVOTS}",
    ),
    "AT-GEO-003": Row(
        "distance and beam centre of a rotated detector",
        C_FOLLOWED,
        ("test_geometry.test_geo_003_distance_and_beam_centre", "test_against_c.test_c_beam_centre_after_a_swing"),
        "The cosine is that of the normal before the two-theta swing, so that the reported distance and beam centre are "
        "off after a swing, while the beam's spot is where the user put it; a sample pivot moves the spot.",
    ),
    "AT-GEO-004": Row("axis of two-theta by convention", HOLDS, ("test_geometry.test_geo_004_twotheta_axis",)),
    "AT-GEO-005": Row(
        "curved detector",
        C_FOLLOWED,
        ("test_geometry.test_geo_005_curved_detector", "test_against_c.test_c_prints_these_factors"),
        "All distances are equal. The angles are laboratory y and z over the distance, y about the slow axis and z about "
        "the fast one, and not the detector's coordinates.",
    ),
    "AT-GEO-006": Row(
        "solid angle, with and without obliquity", HOLDS, ("test_geometry.test_geo_006_solid_angle_of_a_pixel",)
    ),
    "AT-SAM-001": Row("steps divide the sum", HOLDS, ("test_sampling.test_sam_001_steps_divide_the_sum",)),
    "AT-SAM-002": Row(
        "which solid angle and polarization a pixel gets",
        C_FOLLOWED,
        (
            "test_sampling.test_sam_002_corrections_of_the_first_sub_pixel",
            "test_against_c.test_c_prints_these_factors",
        ),
        "They are computed once in a pixel, for its first sub-pixel, and not for its last. With `-oversample_omega` the "
        "running sum is multiplied by that of each sub-pixel.",
    ),
    "AT-ABS-001": Row(
        "absorption by layers of the sensor",
        C_FOLLOWED,
        ("test_sampling.test_abs_001_sensor_layers", "test_against_c.test_c_prints_these_factors"),
        "n layers that are given are thickness/(n - 1) apart, so that together they capture more than the sensor would; "
        "the last layer's fraction, and the running sum with `-oversample_thick`, are as the text says.",
    ),
    "AT-SAM-003": Row("resolution limit", HOLDS, ("test_sampling.test_sam_003_resolution_limit",)),
    "AT-STR-001": Row("nearest structure factor", HOLDS, ("test_structure_factors.test_str_001_nearest_reflection",)),
    "AT-STR-002": Row(
        "interpolation, and its end",
        C_FOLLOWED,
        (
            "test_structure_factors.test_str_002_interpolation_and_its_end",
            "test_against_c.test_c_prints_these_factors",
        ),
        "The evaluation out of range has the nearest reflection of the list, as all after it; `-default_F` only if it is "
        "not on the list.",
    ),
    "AT-STR-003": Row(
        "lattice factors of four shapes", HOLDS, ("test_structure_factors.test_str_003_lattice_factors",)
    ),
    "AT-STR-004": Row(
        "reflections missing in the list",
        HOLDS,
        ("test_structure_factors.test_str_004_gaps_in_the_list",),
        "Measured with (0,1,0), since (1,0,0) lies along the beam; geometry is divided out.",
    ),
    "AT-POL-001": Row(
        "Kahn's polarization factor",
        HOLDS,
        ("test_sampling.test_pol_001_polarization",),
        "The last value computed is that of the first sub-pixel: AT-SAM-002.",
    ),
    "AT-BKG-001": Row("background of water", HOLDS, ("test_sampling.test_bkg_001_water",)),
    "AT-NOISE-001": Row("three ranges of noise, seeds, overloads", HOLDS, ("test_files.test_noise_001_three_ranges",)),
    "AT-IO-001": Row(
        "SMV header and order of pixels",
        HOLDS,
        ("test_files.test_io_001_smv",),
        "ADC_OFFSET is one more key, DIALS_ORIGIN has the semicolon that the C program forgets, and the header has a "
        "multiple of 512 bytes, since a full one does not fit into 512.",
    ),
    "AT-IO-002": Row("PGM file", HOLDS, ("test_files.test_io_002_pgm",)),
    "AT-IO-003": Row("dump of structure factors", HOLDS, ("test_structure_factors.test_io_003_dump",)),
    "AT-IO-004": Row(
        "lists with more columns",
        HOLDS,
        ("test_structure_factors.test_io_004_columns_of_the_list", "test_against_c.test_c_list_with_more_columns"),
        "The C program fails: it reads the fifth number as the next index. nbnumba departs from it on purpose.",
    ),
    "AT-SRC-001": Row(
        "file of two sources",
        C_FOLLOWED,
        ("test_sources.test_src_001_source_file", "test_against_c.test_c_source_wavelengths"),
        "The weights are ignored, but the wavelengths of the file are used.",
    ),
    "AT-SRC-002": Row(
        "numbers of steps that are chosen",
        C_FOLLOWED,
        ("test_sources.test_src_002_chosen_numbers", "test_against_c.test_c_chosen_numbers"),
        "`-thicksteps` alone is no sensor instead of 0.5 µm, `-dispsteps` alone no dispersion, `-phisteps` alone covers one degree instead of one radian, "
        "a range of phi or a thickness alone is halved, and a number alone divides the range by n instead of n - 1.",
    ),
    "AT-PRE-001": Row(
        "headers of -img and -mask",
        C_FOLLOWED,
        ("test_precedence.test_pre_001_headers", "test_against_c.test_c_headers_and_masks"),
        "`-img` is read after `-mask` in any order of the flags; TWOTHETA of a header is not used. Y of a mask is "
        "mirrored as the text says.",
    ),
    "AT-PRE-002": Row(
        "pivot by flags of the beam centre",
        C_FOLLOWED,
        ("test_precedence.test_pre_002_flags_of_the_beam_centre", "test_against_c.test_c_pivots"),
        f"{PIVOTS} `-pivot` before them does not override them.",
    ),
    "AT-ROI-001": Row(
        "region of interest and mask",
        C_FOLLOWED,
        ("test_precedence.test_roi", "test_against_c.test_c_headers_and_masks"),
        "The rmsd counts masked pixels; all other statistics leave them out.",
    ),
    "AT-FLU-001": Row(
        "fluence, and the crystal clipped to the beam",
        HOLDS,
        ("test_sources.test_flu_001_fluence_and_clipping",),
        "The flux that follows from a fluence is used nowhere, and not reported.",
    ),
    "AT-STA-001": Row(
        "statistics of the float image",
        C_FOLLOWED,
        ("test_precedence.test_sta_001_statistics", "test_against_c.test_c_headers_and_masks"),
        "The rmsd counts masked pixels.",
    ),
}

CLI: dict[str, Row] = {
    "AT-CLI-001": Row(
        "help",
        HOLDS,
        ("test_command_line.test_cli_001_help", "test_against_c.test_c_help_is_an_error"),
        "The C program has no `-h`: it prints the options with exit code 9.",
    ),
    "AT-CLI-002": Row("smallest run, and its headers", HOLDS, ("test_command_line.test_cli_002_minimal_run",)),
    "AT-CLI-003": Row(
        "conventions and pivots",
        C_FOLLOWED,
        ("test_precedence.test_cli_003_conventions", "test_against_c.test_c_pivots"),
        PIVOTS,
    ),
    "AT-CLI-004": Row(
        "headers that disagree, and a mask",
        C_FOLLOWED,
        ("test_precedence.test_cli_004_mask", "test_against_c.test_c_headers_and_masks"),
        "`-img` is read last in any order. Masked pixels are 0 in the float image, but have the offset, 40 counts, in the "
        "integer images; the rmsd counts them.",
    ),
    "AT-CLI-005": Row("nothing outside the region", HOLDS, ("test_precedence.test_roi",)),
    "AT-CLI-006": Row(
        "scales of integer and grey images",
        C_FOLLOWED,
        ("test_command_line.test_cli_006_scales", "test_against_c.test_c_rounds_counts"),
        "Counts are rounded to the nearest whole number, not down. The brightest pixel has 55000 plus the offset.",
    ),
    "AT-CLI-007": Row("seed of the noise", HOLDS, ("test_command_line.test_cli_007_seeds",)),
    "AT-CLI-008": Row("resolution limit in an image", HOLDS, ("test_command_line.test_cli_008_dmin",)),
    "AT-CLI-009": Row(
        "no structure factors",
        HOLDS,
        ("test_command_line.test_cli_009_no_structure_factors",),
        "One sentence that names the flags that are missing, instead of all options.",
    ),
}
