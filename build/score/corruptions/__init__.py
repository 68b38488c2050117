"""Corruptions by kind (photometric, noise, filters, geometric, overlays) and the suites made of them, one file each."""
