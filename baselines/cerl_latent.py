"""cerl-latent: CERL whose population evolves in the codes of autoencoders over networks that solve the source.

Document: "Neural Network Autoencoders for Compressed Neuroevolution", which names the combination as future work. All
is as in ``neuroevolution-latent``, but the target is learned by CERL: the population's genes are codes, the TD3
learners' are weights, and an actor that migrates into the population is encoded. What the document leaves open:
learners start from their own fresh networks, not from a decoded one, and an immigrant is what the decoder makes of it.

The experts' networks give means or logits, CERL's give scores that pass a tanh. For discrete actions that is the same
policy; a mean near 0 becomes a larger action, as if the expert were stiffer.
"""

from __future__ import annotations

from tlbench.baselines.neuroevolution_latent import NeuroevolutionLatent


class CerlLatent(NeuroevolutionLatent):
    """CERL whose population evolves the codes of autoencoders over networks that solve the source."""

    id = "cerl-latent"
    learners = ("cerl",)
