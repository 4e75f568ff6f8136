"""NC1 of two kernels on every law of data, beside that of the samples; `--figure FILE` draws the laws in the plane."""

import sys

import kernel_collapse as kc

PANELS = {
    "gaussian": ("gaussian", {}),
    'gaussian, "ar1(0.95)"': ("gaussian", {"covariance": "ar1(0.95)", "std": 1.0}),
    "student-t, df=3": ("student-t", {"df": 3.0}),
    "contaminated, factor=6": ("contaminated", {"factor": 6.0}),
    "laplace": ("laplace", {}),
    "skewed": ("skewed", {"std": 1.0}),
    "ball": ("ball", {"radius": 1.5}),
    "shell": ("shell", {"radius": 1.5, "thickness": 0.3}),
    "subspace, intrinsic_dim=1": ("subspace", {"intrinsic_dim": 1, "std": 1.0}),
    "tree, branching=3": ("tree", {"branching": 3, "shrink": 0.3, "std": 0.2, "separation": 5.0}),
    "xor": ("xor", {}),
    "checkerboard": ("checkerboard", {}),
    "spheres": ("spheres", {"n_classes": 3, "std": 0.3}),
    "manifolds, spiral": ("manifolds", {}),
    "manifolds, circles": ("manifolds", {"shape": "circles", "n_classes": 3}),
    "label-noise, fraction=0.1": ("label-noise", {"fraction": 0.1}),
}


def draw(path):
    import numpy as np
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    from kernel_collapse.report.style import style

    few = ["#0072B2", "#D55E00", "#009E73"]
    with style():
        figure = Figure(figsize=(8.8, 9.2))
        for axes, (title, (law, options)) in zip(figure.subplots(4, 4).flat, PANELS.items(), strict=True):
            data = kc.data.sample(law, n=1200 if law == "checkerboard" else 500, dim=2, seed=5, **options)
            colours = np.array(few if len(data.class_sizes) <= len(few) else colormaps["tab10"].colors)
            order = np.random.default_rng(0).permutation(len(data.x))  # no class hides another
            axes.scatter(*data.x[order].T, s=5, c=colours[data.labels[order]], linewidths=0)
            low, high = data.x.min(axis=0), data.x.max(axis=0)
            centre, half = (low + high) / 2, 0.54 * (high - low).max()
            axes.set(xlim=centre[0] + [-half, half], ylim=centre[1] + [-half, half], box_aspect=1)
            axes.locator_params(nbins=5)
            axes.set_title(title, fontsize=8.5)
            axes.tick_params(labelsize=7)
        figure.savefig(path, dpi=110, bbox_inches="tight")


if sys.argv[1:2] == ["--figure"]:
    draw(sys.argv[2])
else:
    print("NC1 in 8 dimensions       data      NNGP       NTK      (shapes: images of 8 x 8)")
    for law in kc.data.laws():
        data = kc.data.sample(law, n=240, dim=64 if law == "shapes" else 8, seed=0)
        ratios = [kc.nc1_from_features(data.x, data.labels).ratio]
        ratios += [kc.nc1(kernel(data.x, depth=3), data.labels).ratio for kernel in (kc.nngp, kc.ntk)]
        print(f"{law:<20}" + "".join(f"{ratio:10.3f}" for ratio in ratios))
