"""The table of all flags of ``nbnumba run``, the reference's and the extensions; continued in ``flag_table_output``.

A row gives the name, the field that gets the value, the unit of a number and the help; then what only some flags have.
"""

from __future__ import annotations

import math

from nbnumba.cli.flag_table_output import OUTPUT, READOUT, RUN
from nbnumba.cli.flags import Flag, Table, axis, count, file, flag, number, panel, switch

EV_A = 12398.42  # photon energy times wavelength, eV Å, as the reference has it

_NO_DIVERGENCE = "is ignored, as by nanoBragg: -hdivrange and -vdivrange set the divergence"
_UNUSED = "has no effect: the reference reads it but never uses it"
_AT_BEAM = ("detector.pivot", "BEAM")
_AT_SAMPLE = ("detector.pivot", "SAMPLE")


def _energy_to_wavelength(energy_eV: float) -> float:
    if energy_eV <= 0:
        raise ValueError("must be > 0")
    return EV_A / energy_eV


def _m_to_mm(vector: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(1000.0 * v for v in vector)


_CRYSTAL = panel(
    "Crystal",
    file("-mat", "input.matrix", "Orientation matrix as MOSFLM writes it: nine numbers.", also="-matrix", stems="-mat"),
    flag(
        "-cell",
        "cell",
        "crystal.cell",
        "Unit cell, in Å and degrees; stops early at the next flag.",
        metavar="a b c al be ga",
        unit="Å and degrees",
    ),
    flag(
        "-misset",
        "misset",
        "crystal.misset_deg",
        "Turn the crystal about x, y, z (degrees), or 'random'.",
        metavar="X Y Z",
        unit="deg",
    ),
    count("-misset_seed", "crystal.misset_seed", "Seed of '-misset random'.", default="the time"),
    count("-N", "crystal.Na crystal.Nb crystal.Nc", "Unit cells along each axis.", default="1"),
    count("-Na", "crystal.Na", "Unit cells along a."),
    count("-Nb", "crystal.Nb", "Unit cells along b."),
    count("-Nc", "crystal.Nc", "Unit cells along c."),
    number(
        "-xtalsize",
        "crystal.size_mm[0] crystal.size_mm[1] crystal.size_mm[2]",
        "mm",
        "Width of the crystal, instead of -N.",
        also="-xtal_size -samplesize -sample_size",
    ),
    number(
        "-xtal_x",
        "crystal.size_mm[0]",
        "mm",
        "Width along a.",
        also="-xtal_thick -sample_x -sample_thick",
        stems="-xtal_thick -sample_thick",
    ),
    number("-xtal_y", "crystal.size_mm[1]", "mm", "Width along b.", also="-xtal_width -sample_y -sample_width -width"),
    number(
        "-xtal_z",
        "crystal.size_mm[2]",
        "mm",
        "Width along c.",
        also="-xtal_height -sample_z -sample_height -height",
        stems="-xtal_heigh -sample_heigh -heigh",
    ),
    switch("-square_xtal", "Parallelepiped crystal (the default).", ("crystal.shape", "square")),
    switch("-round_xtal", "Ellipsoidal crystal.", ("crystal.shape", "round")),
    switch("-gauss_xtal", "Gaussian spots without fringes.", ("crystal.shape", "gauss")),
    switch("-tophat_spots", "Flat spots, cut at half maximum.", ("crystal.shape", "tophat"), also="-binary_spots"),
    number("-fudge", "crystal.fudge", "", "Scales squared radius of round, gauss, tophat.", default="1"),
    number(
        "-mosaic",
        "crystal.mosaic_spread_deg",
        "deg",
        "Mosaic spread (isotropic); 90 is a powder.",
        also="-mosaicity -mosaic_spread",
        stems="-mosaici -mosaic_spr",
        default="0",
    ),
    count(
        "-mosaic_domains",
        "crystal.mosaic_domains",
        "Orientations that sample the spread.",
        also="-mosaic_dom",
        stems="-mosaic_dom",
        default="10 with a spread, else 1",
    ),
    count("-mosaic_seed", "crystal.mosaic_seed", "Seed of the mosaic domains.", default="12345678"),
)

_FACTORS = panel(
    "Structure factors",
    file(
        "-hkl",
        "structure_factors.hkl",
        "Text lines 'h k l F', all of P1; or MTZ, CIF, XDS_ASCII, SHELX, SCALEPACK or CrystFEL lists.",
        stems="-hkl",
    ),
    flag(
        "--label",
        "path",
        "structure_factors.hkl_label",
        "Column of an MTZ or CIF file, by label or by type: G, F, K or J; F or J of a text list.",
        metavar="LABEL",
        default="the best of these types",
    ),
    flag(
        "--dataset",
        "path",
        "structure_factors.hkl_dataset",
        "Data set of an MTZ file, block of a CIF file, or wavelength_id=2 of a loop.",
        metavar="NAME",
        default="the first",
    ),
    flag(
        "--symmetry",
        "path",
        "structure_factors.hkl_symmetry",
        "Group that expands a text list of an asymmetric unit: P212121, 19, 422.",
        metavar="GROUP",
    ),
    switch(
        "--average",
        "Average rows of one reflection, of unmerged files too. Default: refuse them.",
        ("structure_factors.hkl_average", True),
    ),
    file("--model", "structure_factors.model", "Atomic model (mmCIF, CIF, PDB) to calculate F from, to -dmin."),
    number(
        "--solvent-k", "structure_factors.solvent_k", "", "Density of a model's bulk solvent, e/Å3.", default="0.35"
    ),
    number("--solvent-B", "structure_factors.solvent_B", "", "B of a model's bulk solvent, Å2.", default="46"),
    number("-default_F", "structure_factors.default_F", "", "F of reflections not in the file.", default="0"),
    file(
        "-dump",
        "structure_factors.dump",
        "Binary copy, written with -hkl, else read.",
        also="-dumpfile",
        stems="-dump",
        default="Fdump.bin",
    ),
    switch(
        "-interpolate",
        "Interpolate F between reflections. Default: only if N is 1 or 2 along an axis.",
        ("structure_factors.interpolate", True),
    ),
    switch("-nointerpolate", "Never interpolate.", ("structure_factors.interpolate", False)),
)

_BEAM = panel(
    "Beam",
    number("-lambda", "beam.wavelength_A", "Å", "Wavelength.", also="-wavelength", stems="-wave", default="1"),
    number("-energy", "beam.wavelength_A", "eV", "Photon energy, instead of -lambda.", convert=_energy_to_wavelength),
    number("-fluence", "beam.fluence", "photons/m2", "Photons per m², in all.", metavar="PH/M2", default="1.26e29"),
    number(
        "-flux",
        "beam.flux",
        "photons/s",
        "Photons per second; with -exposure and -beamsize instead of -fluence.",
        metavar="PH/S",
    ),
    number("-exposure", "beam.exposure_s", "s", "Exposure time.", default="1"),
    number("-beamsize", "beam.beamsize_mm", "mm", "Width of the beam.", default="0.1"),
    number(
        "-polar",
        "beam.kahn_factor",
        "",
        "Kahn's polarization factor, -1 to 1.",
        sets=(("beam.nopolar", False),),
        default="0",
    ),
    switch("-nopolar", "No polarization correction.", ("beam.nopolar", True)),
    number("-divergence", "beam.hdivrange_mrad beam.vdivrange_mrad", "mrad", "Divergence both ways, full width."),
    number("-hdivrange", "beam.hdivrange_mrad", "mrad", "Horizontal divergence, full width.", default="0"),
    number("-vdivrange", "beam.vdivrange_mrad", "mrad", "Vertical divergence, full width.", default="0"),
    number("-hdivstep", "beam.hdivstep_mrad", "mrad", "Spacing of source points, horizontal."),
    number("-vdivstep", "beam.vdivstep_mrad", "mrad", "Spacing of source points, vertical."),
    count("-hdivsteps", "beam.hdivsteps", "Source points, horizontal.", default="1"),
    count("-vdivsteps", "beam.vdivsteps", "Source points, vertical.", default="1"),
    count("-divsteps", "beam.hdivsteps beam.vdivsteps", "Source points, both ways."),
    number("-hdiv", "", "mrad", "Ignored, as by nanoBragg, whose examples have it.", note=_NO_DIVERGENCE),
    number("-vdiv", "", "mrad", "Ignored, as by nanoBragg, whose examples have it.", note=_NO_DIVERGENCE),
    switch("-round_div", "Elliptical divergence (the default).", ("beam.round_div", True)),
    switch("-square_div", "Rectangular divergence.", ("beam.round_div", False)),
    number(
        "-dispersion",
        "beam.dispersion_percent",
        "percent",
        "Width of the spectrum, in percent of the wavelength.",
        metavar="%",
        default="0",
    ),
    count("-dispsteps", "beam.dispsteps", "Wavelengths in the spectrum.", default="2 with dispersion, else 1"),
    file("-sourcefile", "beam.sourcefile", "Source points, one a line: X Y Z weight wavelength, lengths in metres."),
    switch("--source-weights", "Use the weights of the sources, as --spectrum does.", ("beam.source_weights", True)),
    file("--spectrum", "beam.spectrum", "Spectrum, one point a line: wavelength (Å) or energy (eV), weight."),
    count("--spectrum-steps", "beam.spectrum_steps", "Gather the spectrum in this many wavelengths."),
)

_DETECTOR = panel(
    "Detector",
    number(
        "-distance",
        "detector.distance_mm",
        "mm",
        "From crystal to detector, along the beam.",
        sets=(_AT_BEAM,),
        default="100",
    ),
    number(
        "-close_distance",
        "detector.close_distance_mm",
        "mm",
        "To the nearest point of the plane; overrides -distance.",
        sets=(_AT_SAMPLE,),
    ),
    number("-pixel", "detector.pixel_mm", "mm", "Size of a pixel.", default="0.1"),
    count("-detpixels", "detector.fpixels detector.spixels", "Pixels along both axes.", default="1024"),
    count("-detpixels_f", "detector.fpixels", "Pixels along fast.", also="-detpixels_x"),
    count("-detpixels_s", "detector.spixels", "Pixels along slow.", also="-detpixels_y"),
    number(
        "-detsize",
        "detector.detsize_f_mm detector.detsize_s_mm",
        "mm",
        "Width; replaced by the number of pixels.",
        default="102.4",
    ),
    number("-detsize_f", "detector.detsize_f_mm", "mm", "Width along fast.", also="-detsize_x"),
    number("-detsize_s", "detector.detsize_s_mm", "mm", "Width along slow.", also="-detsize_y"),
    number("-Xbeam", "detector.Xbeam_mm", "mm", "Direct beam, x. Default: middle.", sets=(_AT_BEAM,)),
    number("-Ybeam", "detector.Ybeam_mm", "mm", "Direct beam, y. Default: middle.", sets=(_AT_BEAM,)),
    number("-Xclose", "detector.Xclose_mm", "mm", "Nearest point, x.", sets=(_AT_SAMPLE,)),
    number("-Yclose", "detector.Yclose_mm", "mm", "Nearest point, y.", sets=(_AT_SAMPLE,)),
    number("-ORGX", "detector.ORGX", "pixels", "Nearest point, fast, as XDS counts.", sets=(_AT_SAMPLE,)),
    number("-ORGY", "detector.ORGY", "pixels", "Nearest point, slow, as XDS counts.", sets=(_AT_SAMPLE,)),
    switch("-mosflm", "MOSFLM's axes and beam centre (the default).", ("detector.convention", "MOSFLM"), _AT_BEAM),
    switch("-denzo", "DENZO's axes and beam centre.", ("detector.convention", "DENZO"), _AT_BEAM),
    switch("-adxv", "ADXV's axes and beam centre.", ("detector.convention", "ADXV"), _AT_BEAM),
    switch("-xds", "XDS's axes, near point and pivot.", ("detector.convention", "XDS"), _AT_SAMPLE),
    switch("-dials", "DIALS' axes, near point and pivot.", ("detector.convention", "DIALS"), _AT_BEAM),
    flag(
        "-pivot",
        "choice",
        "detector.pivot",
        "What stays in place when the detector turns; for given axes only.",
        metavar="beam|sample",
        choices=("beam", "sample"),
        convert=str.upper,
    ),
    number("-detector_rotx", "detector.rotx_deg", "deg", "Turn the detector about x.", default="0"),
    number("-detector_roty", "detector.roty_deg", "deg", "Turn the detector about y.", default="0"),
    number("-detector_rotz", "detector.rotz_deg", "deg", "Turn the detector about z.", default="0"),
    number(
        "-twotheta",
        "detector.twotheta_deg",
        "deg",
        "Swing the detector about the sample.",
        sets=(_AT_SAMPLE,),
        default="0",
    ),
    axis("-twotheta_axis", "detector.twotheta_axis", "Axis of the swing.", _AT_SAMPLE),
    axis("-fdet_vector", "detector.fdet_vector", "Direction of fast.", also="-xdet_vector"),
    axis("-sdet_vector", "detector.sdet_vector", "Direction of slow.", also="-ydet_vector"),
    axis("-odet_vector", "detector.odet_vector", "Away from the sample.", also="-zdet_vector"),
    axis("-beam_vector", "detector.beam_vector", "Direction of the beam."),
    axis("-polar_vector", "detector.polar_vector", "Direction of polarization."),
    axis(
        "-pix0_vector", "detector.pix0_vector_mm", "Corner of the first pixel, in metres.", unit="m", convert=_m_to_mm
    ),
    axis("-pix0_vector_mm", "detector.pix0_vector_mm", "Corner of the first pixel, in mm.", unit="mm"),
    switch("-curved_det", "All pixels at the same distance.", ("detector.curved", True)),
    switch("-point_pixel", "No solid angle correction.", ("detector.point_pixel", True)),
    flag(
        "-detector_abs",
        "depth",
        "detector.attenuation_um",
        "Attenuation depth of the sensor, or 'inf': no sensor.",
        unit="µm",
        metavar="UM",
        also="-detector_absorb",
        stems="-detector_abs",
        default="the thickness",
    ),
    number("-detector_thick", "detector.thickness_um", "µm", "Sensor thickness.", default="0"),
    count("-detector_thicksteps", "detector.thicksteps", "Layers of the sensor.", also="-thicksteps"),
    file("-img", "input.img", "Take geometry from this SMV header; flags override it.", stems="-img"),
    file("-mask", "input.mask", "Skip pixels that are 0 in this SMV image.", stems="-mask"),
)

_SCAN = panel(
    "Scan",
    number("-phi", "scan.phi_deg", "deg", "Start of the rotation.", default="0"),
    number("-osc", "scan.osc_deg", "deg", "Range of the rotation.", stems="-osc"),
    number("-phistep", "scan.phistep_deg", "deg", "Spacing of the steps."),
    count("-phisteps", "scan.phisteps", "Number of steps.", default="2 with -osc, else 1"),
    axis("-spindle_axis", "detector.spindle_axis", "Axis of the rotation, right-handed."),
)

_GEOMETRY = panel(
    "Geometry from a file",
    file(
        "--geometry",
        "input.geometry",
        "Geometry, crystal and scan from a DIALS .expt, XPARM.XDS, XDS.INP, CrystFEL .geom or stream, or an image; "
        "flags override it.",
    ),
    count(
        "--geometry-image",
        "input.geometry_image",
        "Which image of the file's scan, or chunk of a stream.",
        default="the first",
    ),
    count(
        "--experiment",
        "input.experiment",
        "Which experiment of a .expt, or crystal of a stream, counted from 0.",
        default="0",
    ),
)

_SAMPLING = panel(
    "Sampling",
    count("-oversample", "sampling.oversample", "Sub-pixels a side. Default: by size of the crystal."),
    switch("-oversample_thick", "Absorption at every sub-pixel.", ("sampling.oversample_thick", True)),
    switch("-oversample_polar", "Polarization at every sub-pixel.", ("sampling.oversample_polar", True)),
    switch("-oversample_omega", "Solid angle at every sub-pixel.", ("sampling.oversample_omega", True)),
    flag(
        "-roi",
        "ints",
        "sampling.roi",
        "Render these pixels only; the last ones are included, x is fast.",
        metavar="xmin xmax ymin ymax",
        count=4,
    ),
    number("-dmin", "sampling.dmin_A", "Å", "Resolution limit; 0: none.", default="0"),
    switch("-coherent", "Add amplitudes; no effect.", note=_UNUSED),
)

_WATER = panel(
    "Background",
    number("-water", "background.water_um", "µm", "Size of the water around the crystal.", default="0"),
    number("--background", "background.thickness_mm", "mm", "Thickness of the material of -stol.", default="0"),
    file(
        "-stol",
        "background.stol",
        "Structure factor for --background: lines 'sin(theta)/lambda F'.",
        sets=(("background.stol_scale", 1.0),),
    ),
    file("-4stol", "background.stol", "As -stol, with 4 sin(theta)/lambda.", sets=(("background.stol_scale", 0.25),)),
    file(
        "-Q",
        "background.stol",
        "As -stol, with Q = 4 pi sin(theta)/lambda.",
        sets=(("background.stol_scale", 0.25 / math.pi),),
    ),
    file("-stolout", "", "Copy of the -stol table; no effect.", stems="-stolout", note=_UNUSED),
    number(
        "-density",
        "background.density_g_cm3",
        "g/cm3",
        "Density of the --background.",
        also="-sample_density",
        stems="-sample_den",
        default="1",
    ),
    number(
        "-MW",
        "background.molar_mass_g",
        "g/mol",
        "Molecular weight of the --background.",
        also="-molecular_weight",
        stems="-molec",
        default="18",
    ),
    number("--air", "background.air_mm", "mm", "Air along the beam.", default="0"),
)

FLAGS: tuple[Flag, ...] = (
    *_CRYSTAL,
    *_FACTORS,
    *_BEAM,
    *_DETECTOR,
    *_SCAN,
    *_GEOMETRY,
    *_SAMPLING,
    *_WATER,
    *OUTPUT,
    *READOUT,
    *RUN,
)
TABLE = Table(FLAGS)
