"""The sources of the project as syntax trees."""

import ast
import gc


def parsed(path):
    """Return the syntax tree of a file.

    Python 3.11.7 loses count of its recursion if the garbage collector logs a traceback meanwhile: that parses, too.
    """
    text = path.read_text(encoding="utf-8")
    gc.disable()
    try:
        return ast.parse(text)
    finally:
        gc.enable()
