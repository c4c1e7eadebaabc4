"""Imported once by the fork server: everything a worker needs, so that each worker starts in milliseconds."""

import torch

from tlbench.protocol import discovery

torch.set_num_threads(1)
torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))])  # the first optimiser imports a second's worth of modules
discovery.import_environments()
discovery.methods()
