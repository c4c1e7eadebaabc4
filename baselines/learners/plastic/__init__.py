"""Differentiable plasticity: networks whose connections change within a lifetime, and their non-plastic rivals."""
