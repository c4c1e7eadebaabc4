"""Learned dynamics and what is done with them: models, the environment they make, policies trained in it."""
