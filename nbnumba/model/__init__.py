"""What is simulated: the configuration that users write, and what follows from it before a pixel is computed."""
