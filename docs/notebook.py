"""Write a page as a notebook: `python docs/notebook.py docs/tutorial.md examples/tutorial.ipynb`."""

import json
import re
import sys
from pathlib import Path

#: Where the pages are that a notebook cannot link to by their file names.
PAGES = "../docs/"


def cells(page: str) -> list[dict[str, object]]:
    """Return the cells: blocks of Python are code, what is between them is text, without its pictures."""
    found: list[dict[str, object]] = []
    for k, part in enumerate(re.split(r"```python\n(.*?)```\n", page, flags=re.DOTALL)):
        text = part.strip("\n") if k % 2 else re.sub(r"!\[.*?\]\(.*?\)\n", "", part).strip()
        text = text if k % 2 else re.sub(r"\]\((?!\w+:)", f"]({PAGES}", text)
        if text:
            kind = (
                {"cell_type": "code", "execution_count": None, "outputs": []}
                if k % 2
                else {"cell_type": "markdown"}
            )
            found.append(
                {**kind, "id": f"cell-{k}", "metadata": {}, "source": text.splitlines(keepends=True)}
            )
    return found


def main(page: str, notebook: str) -> None:
    """Write the notebook of a page."""
    kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    held = {"cells": cells(Path(page).read_text(encoding="utf-8")), "metadata": kernel}
    text = json.dumps({**held, "nbformat": 4, "nbformat_minor": 5}, indent=1, ensure_ascii=False)
    Path(notebook).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
