"""Side-by-side speed measurements (`nox -s bench`); one file a subject, each prints ratios, medians and the machine."""
