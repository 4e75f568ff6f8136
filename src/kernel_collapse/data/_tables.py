"""Tables that come with scikit-learn."""

from __future__ import annotations

from kernel_collapse import _extras, _validate
from kernel_collapse.data._dataset import Dataset, dataset_of

__all__ = ["IMAGES", "SHIPPED", "shipped"]

#: Tables of `shipped`: samples, features and classes, so that they are known without loading scikit-learn.
SHIPPED = {"digits": (1797, 64, 10), "wine": (178, 13, 3), "breast-cancer": (569, 30, 2)}
#: Height, width and channels of those whose samples are images.
IMAGES = {"digits": (8, 8, 1)}


def shipped(name: str) -> Dataset:
    """Return a table of real data that comes with scikit-learn; nothing is downloaded.

    =============== ======= ======== ======= ==========================================================
    name            samples features classes what it holds
    =============== ======= ======== ======= ==========================================================
    "digits"        1797    64       10      images of handwritten digits, 8 x 8 pixels of 0 to 16
    "wine"          178     13       3       chemical analyses of wines of three cultivars
    "breast-cancer" 569     30       2       measurements of cell nuclei, benign and malignant tumours
    =============== ======= ======== ======= ==========================================================

    The features of wine and breast cancer differ in scale by orders of magnitude: see `standardize`.

    Raises
    ------
    ValueError
        If there is no table of that name; the closest names are suggested.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> kc.data.shipped("breast-cancer")
    <Dataset breast-cancer: 569 samples, 30 features, classes of 357, 212>
    """
    _validate.choice(name, SHIPPED, "name")
    _extras.require("tables", "tables that are shipped", "sklearn")
    from sklearn import datasets  # takes a second to import

    table = getattr(datasets, f"load_{name.replace('-', '_')}")()
    labels = table.target_names[table.target]
    return dataset_of(
        _validate.matrix(table.data, "x"),
        labels,
        None,
        name,
        tuple(map(str, table.feature_names)),
        image_shape=IMAGES.get(name, ()),
    )
