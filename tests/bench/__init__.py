"""Benchmarks of the figures monitord promises. Run with ``make bench``; nothing here is a test."""
