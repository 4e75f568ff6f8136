"""A convolutional network on scikit-learn's digits, recorded while it trains. It needs the extra "torch"."""

import torch
from sklearn.datasets import load_digits

import kernel_collapse as kc

torch.manual_seed(0)
digits = load_digits()
images = torch.tensor(digits.images[:, None] / 16.0, dtype=torch.float32)
data = torch.utils.data.TensorDataset(images, torch.tensor(digits.target))
loader = torch.utils.data.DataLoader(data, batch_size=128, shuffle=True)
model = torch.nn.Sequential(
    torch.nn.Conv2d(1, 16, 3, padding=1),
    torch.nn.ReLU(),
    torch.nn.MaxPool2d(2),
    torch.nn.Flatten(),
    torch.nn.Linear(256, 64),
    torch.nn.ReLU(),
    torch.nn.Linear(64, 10),
)
optimiser = torch.optim.Adam(model.parameters(), lr=2e-3)

callback = kc.torch.Callback(loader, ["1", "before the last linear layer"], reduce={"1": "flatten"}, epochs=5)
for epoch in range(16):
    callback(model, epoch)
    for x, labels in loader:
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(model(x), labels).backward()
        optimiser.step()

nngp = kc.nc1(kc.nngp(digits.data / 16, activation="relu"), digits.target).ratio
print(f"NC1 of the NNGP of the same samples: {nngp:.3f}")
for epoch, nc1 in zip(callback.history.epochs, callback.history.values("nc1")["input of 6"], strict=True):
    print(f"epoch {epoch:2}: NC1 {nc1:.3f} before the last layer")
