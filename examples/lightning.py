"""A module of PyTorch Lightning, recorded at the end of each epoch. Lightning is not among our dependencies."""

import importlib
import importlib.util

import torch

import kernel_collapse as kc

labels = torch.arange(300) % 3
x = torch.randn(300, 4, generator=torch.Generator().manual_seed(0)) + 2.0 * torch.eye(3, 4)[labels]
loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, labels), batch_size=50)


def train(pl):
    """Train with the package that is given; it is imported here so that the example runs without it."""

    class Network(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = torch.nn.Sequential(torch.nn.Linear(4, 32), torch.nn.ReLU(), torch.nn.Linear(32, 3))

        def forward(self, x):
            return self.net(x)

        def training_step(self, batch, number):
            return torch.nn.functional.cross_entropy(self(batch[0]), batch[1])

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters(), lr=1e-2)

    callback = kc.torch.Callback(loader, "before the last linear layer")
    trainer = pl.Trainer(max_epochs=3, callbacks=[callback], logger=False, enable_checkpointing=False)
    trainer.fit(Network(), loader)
    return callback.history


if importlib.util.find_spec("pytorch_lightning") is None:  # its other name, `lightning`, is that of this file
    print("PyTorch Lightning is not installed, so that no NC1 is measured: pip install pytorch-lightning.")
else:
    history = train(importlib.import_module("pytorch_lightning"))
    print("NC1 at each epoch:", history.values("nc1"))
