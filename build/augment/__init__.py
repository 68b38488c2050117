"""Balancing and augmentation over NumPy and OpenCV; needs no framework."""
