"""Analysis of images and pixels: the trace of one pixel, and comparisons of two images or of two traces."""
