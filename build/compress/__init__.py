"""Smaller weights at the same accuracy: grids of values, palettes, fine-tuning through them, tfmot as an option."""

ROWS = 128
"""Validation images a condition that candidates are judged on."""
STEPS = 200
"""Of every fine-tuning, at most an epoch."""
