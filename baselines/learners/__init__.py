"""Learners: one file per algorithm that has an id, and the pieces they share."""
