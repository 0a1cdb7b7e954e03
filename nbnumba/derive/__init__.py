"""Derivatives of the image: parameters by name, images of derivatives, normal equations, gradients."""
