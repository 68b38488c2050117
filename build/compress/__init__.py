"""Smaller weights at the same accuracy: grids of values, palettes, fine-tuning through them, tfmot as an option."""
