"""Neuroevolution: populations of policy networks as rows of one matrix, playing in shared lanes, alone or with TD3."""
