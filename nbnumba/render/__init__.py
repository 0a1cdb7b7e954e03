"""From an experiment to an image: kernels' inputs, which kernel and device, and the public function."""
