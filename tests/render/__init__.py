"""Which device and kernel render an image, and that it is the same image every time."""
