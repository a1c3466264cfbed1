"""Bytes from applications to nouns: one decoder per protocol, and thin listeners."""
