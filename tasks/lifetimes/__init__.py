"""Supervised lifetimes: streams of short episodes in which something new has to be learned, one family per file."""
