"""Benchmarks of the figures monitord promises. Run with ``make bench``; `test_*` test the tools."""
