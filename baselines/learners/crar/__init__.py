"""CRAR: a learner that plans and values states in one small abstract space."""
