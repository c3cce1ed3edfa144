"""One thread for every test: small tensors on a shared machine only lose by more."""

import torch

torch.set_num_threads(1)
