"""What users ask for, and what follows from it before a pixel is computed."""
