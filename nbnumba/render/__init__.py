"""From an experiment to an image: inputs of the kernels, choice of kernel and device, and the public function."""
