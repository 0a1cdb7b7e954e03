"""The small experiment that is simulated for comparisons."""

from __future__ import annotations

FLAGS = (
    "-cell 40 50 60 -default_F 100 -N 5 -distance 80 -pixel 0.3 -detpixels_f 24 -detpixels_s 16 -oversample 1".split()
)
