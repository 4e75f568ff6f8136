"""Whatever a user names, every output shows it as text: no markup, mathematics, formula, path or command."""

import base64
import gzip
import io
import json
import os
import re
import shutil
import sqlite3
import sys
import tomllib
from contextlib import closing
from html import escape as html_escape
from html import unescape
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from markdown_it import MarkdownIt
from matplotlib.cbook import is_math_text
from rich.console import Console

import kernel_collapse as kc
from conftest import run_cli
from kernel_collapse import _text, cli, report
from kernel_collapse.report import printing
from kernel_collapse.report.interactive import convert, markup, plain
from kernel_collapse.report.parts import Table
from kernel_collapse.report.plot import Axis, Legend, Panel, Plot, Points, Text
from kernel_collapse.report.style import style
from kernel_collapse.runs.store import FILE
from kernel_collapse_paper.errata import page as errata_page
from kernel_collapse_paper.experiments import Figure as Drawn
from test_report import browser, visit

__all__ = ["browser", "visit"]  # fixtures

#: The names, in the order in which a figure of few panels shows them.
HOSTILE = {
    "mathematics": "$x$",
    "a dollar": "100$",
    "unclosed mathematics": r"$\frac{$ $^_$",
    "escaped dollar": r"\$5 \$",
    "command of TeX": r"\alpha_{2}^x",
    "private label": "_hidden",
    "bold": "<b>bold</b><br>x",
    "template": "%{x} {{ 7*7 }} {0}",
    "closing tag": "[/b]",
    "colour": "[red]",
    "style": "[bold red]x",
    "link": "[link=https://example.org]x[/link]",
    "emoji by name": ":smile:",
    "escape": "\x1b[31mred\x1b[0m",
    "title": "\x1b]0;owned\x07",
    "C1 control": "\x9b31mx",
    "newline": "one\ntwo",
    "carriage return": "shown\rhidden",
    "tab": "\tx",
    "null": "a\x00b",
    "override": "\u202egnp.exe",
    "isolate": "\u2066x\u2069",
    "separator": "a\u2028b",
    "long": "n" * 245,
    "CJK": "漢字かな",
    "combining": "e\u0301o\u0308",
    "emoji": "\U0001f98a",
    "lone surrogate": "caf\udce9",
    "equals": "=1+1",
    "plus": "+1+1",
    "minus": "-1+1",
    "at": "@SUM(A1)",
    "apostrophe": "'=1+1",
    "script": "<script>alert(1)</script>",
    "end of script": "</script><img src=x onerror=alert(1)>",
    "attribute": "\" onmouseover='alert(1)",
    "entity": "&lt;b&gt;&#65;",
    "pipe": "a|b",
    "backticks": "`a` ```",
    "Markdown": "# [x](https://example.org) **b**",
    "parent": "../../etc/passwd",
    "dots": "..",
    "device": "CON",
    "empty": "",
    "space": "   ",
    "spaced": " x ",
}
#: What files cannot be called, on some system at least, is tried where it can be made.
FORBIDDEN = ("/", "\0")
KINDS = ("png", "pdf", "svg")
#: Files of which a page is written too: no other name has a kind of sign that these have not.
PAGED = ("unclosed mathematics", "newline", "lone surrogate", "attribute", "long")
#: Names that act on a terminal, Rich or a line of text, where no other destination is reached.
ACTING = [*list(HOSTILE)[8:23], "lone surrogate"]


def escaped(text):
    """Text with escapes for what Python does not call printable."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def seen(name):
    """How a name is told: escaped, and in quotation marks where blanks at its ends would not show."""
    text = escaped(name)
    return text if text == text.strip() != "" else f"'{text}'"


def squeezed(text):
    """Text without blanks: a terminal breaks lines where it must, in the middle of a name too."""
    return re.sub(r"[\s│┃]", "", text)


def assert_plain(text):
    """Assert that text holds nothing that acts on a terminal."""
    assert not {c for c in set(text) if c != "\n" and not c.isprintable()}


@pytest.fixture
def say(tmp_path, monkeypatch, capsys):
    """Run the program in this process, in a folder of its own; give exit code and what it printed, checked."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["kernel-collapse", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        captured = capsys.readouterr()
        assert_plain(captured.out)
        assert_plain(captured.err)
        assert "Traceback" not in captured.err
        return stopped.value.code or 0, captured.out, captured.err

    return run


class _Structure(HTMLParser):
    """The tags of a page with the names of their attributes, its text, and what its scripts hold."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.words, self.scripts, self._inside = [], [], {}, None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, tuple(name for name, _ in attributes)))
        self._inside = dict(attributes).get("id") if tag == "script" else None
        self.words += [value for _, value in attributes if value]

    def handle_endtag(self, tag):
        self._inside = None

    def handle_data(self, data):
        if self._inside:
            self.scripts[self._inside] = data
        else:
            self.words.append(data)


def opened(path):
    """A page taken apart, with its figures and tables; every part of it must be what a browser can read."""
    text = path.read_bytes().decode("utf-8")
    assert_plain(text)
    page = _Structure(text)
    json.loads(page.scripts["dark"])
    for what in ("figures", "tables"):
        packed = base64.b64decode(page.scripts.get(f"packed-{what}", ""))
        setattr(page, what, json.loads(gzip.decompress(packed) or "{}"))
    page.text = " ".join(page.words)
    return page


def strings(value):
    """Every string in what JSON holds."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from strings(item)


def assert_drawn(folder, page):
    """Assert that all figures of a page lie beside it, and nothing else."""
    names = {path.name for path in (folder / "figures").iterdir()}
    assert names == {f"{name}.{kind}" for name in page.figures for kind in KINDS}
    assert all((folder / "figures" / name).stat().st_size > 1000 for name in names)
    for text in strings(page.figures):
        assert set(re.findall(r"</?([^ >]*)", text)) <= {"b", "br", "sub", "sup", "extra"}


def table(classes=("a", "b"), widest=1.0):
    """Twelve samples of these classes, and their labels; the second column may be the widest."""
    x = np.random.default_rng(0).normal(size=(12, 2)) * [1.0, widest]
    return x, [classes[i % len(classes)] for i in range(12)]


def can_be_made(path):
    """Whether the file system has files of that name."""
    if any(sign in path.name for sign in FORBIDDEN) or len(os.fsencode(path.name)) > 255:
        return False
    try:
        path.touch()
    except OSError:
        return False
    path.unlink()
    return True


QUICK = ("--kernel", "nngp", "--activation", "erf")


def test_names_of_classes_are_measured(say, tmp_path):
    names = [*"abcdefghi", *filter(str.strip, HOSTILE.values())]  # a blank one is a missing label
    names += [f"more {i}" for i in range(-len(names) % 9)]
    pages = []
    for i in range(len(names) // 9):  # the first nine are harmless
        chosen = names[9 * i : 9 * i + 9]
        x, labels = table(classes=chosen)
        np.savez(f"t{i}.npz", x=x, labels=labels)
        code, out, _ = say("measure", f"t{i}.npz", *QUICK, "--report", f"page{i}/p.html")
        assert code == 0
        page = opened(tmp_path / f"page{i}" / "p.html")
        pages.append(page)
        assert_drawn(tmp_path / f"page{i}", page)
        for name in chosen:
            assert squeezed(f"{seen(name)}:") in squeezed(out), name
            assert f"{seen(name)}:" in page.text, name
    assert all(page.tags == pages[0].tags for page in pages)


def test_names_of_files_are_measured(say, tmp_path):
    x, labels = table()
    np.savez("harmless.npz", x=x, labels=labels)
    assert say("measure", "harmless.npz", *QUICK, "--report", "harmless/p.html")[0] == 0
    harmless = opened(tmp_path / "harmless" / "p.html")
    made = [name for name in HOSTILE.values() if name and can_be_made(tmp_path / f"{name}.npz")]
    assert len(made) > 20
    for i, name in enumerate(made):
        file = tmp_path / f"{name}.npz"
        shutil.copy("harmless.npz", file)
        paged = name in map(HOSTILE.get, PAGED)
        pictures = ("--report", f"page{i}/p.html") if paged else ()
        code, out, _ = say("measure", file, *QUICK, *pictures)
        assert code == 0
        assert squeezed(f"{seen(name)}: 12 samples") in squeezed(out), name
        if paged:
            page = opened(tmp_path / f"page{i}" / "p.html")
            assert f"How collapsed is {seen(name)}?" in page.text
            assert f"NC1 of {seen(name)} under" in page.text
            assert page.tags == harmless.tags
            assert_drawn(tmp_path / f"page{i}", page)
        if name in map(HOSTILE.get, ACTING):  # a refusal names the file, and is one line
            code, out, err = say("measure", file, "--label", "nothing", *QUICK)
            assert (code, out, err.count("\n")) == (2, "", 1)
            assert f"'nothing', which is not an array of {escaped(name)}.npz" in err


def test_names_of_columns_are_told(say):
    for name in map(HOSTILE.get, ACTING[:-1]):  # no Parquet file has a lone surrogate
        x, labels = table(widest=1e3)
        frame = pd.DataFrame(x, columns=["a", name]).assign(**{"of classes": labels})
        frame.to_parquet("wide.parquet")
        code, out, _ = say("measure", "wide.parquet", "--label", "of classes", *QUICK)
        assert code == 0
        assert squeezed(f"the widest, {name!r}, dominates") in squeezed(out)
    frame = pd.DataFrame({n: [1.0, 2.0] for n in HOSTILE.values() if "\udce9" not in n})
    frame.to_parquet("columns.parquet")
    code, out, err = say("measure", "columns.parquet", "--label", "[/b]\x1b[31m")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert all(repr(name) in err for name in list(frame)[:20])
    frame.astype(str).assign(label="x").map(lambda text: f"t{text}").to_parquet("text.parquet")
    assert say("measure", "text.parquet")[0] == 2


def test_what_was_typed_is_told(say, tmp_path):
    for name in (n for n in map(HOSTILE.get, ACTING) if "\0" not in n):
        for arguments in (
            ("results", f"{name}/nothing") if "[" in name else ("measure", f"{name}.csv"),
            ("measure", "x.csv", f"--no{name}"),
        ):
            code, out, err = say(*arguments)
            assert (code, out) == (2, ""), arguments
    (tmp_path / "many\n\x1b[31m.toml").write_text("wrong = 1\n[data]\nlaw = '[/b]'\n", encoding="utf-8")
    code, _, err = say("run", "many\n\x1b[31m.toml")
    assert code == 2
    lines = err.splitlines()
    assert len(lines) > 1
    assert all(r"many\n\x1b[31m.toml" in line for line in lines)  # a fault a line, and no name in two


def test_a_new_sweep_is_toml_whatever_it_is_called(say, tmp_path):
    for name in map(HOSTILE.get, ACTING):
        path = tmp_path / f"{name}.toml"
        if not can_be_made(path):
            continue
        code, out, _ = say("init", path)
        assert code == 0
        assert f"{escaped(name)}.toml. Change it" in out
        assert tomllib.loads(path.read_text(encoding="utf-8"))["seeds"] == 3
        path.unlink()


def quoted(text):
    """Text as TOML has it."""
    return json.dumps(text, ensure_ascii=False)


#: The name of a sweep and its title, and of the column of classes.
MARKED, COLUMN = "[red]$x$ <b>\"'&=\n\x1b[31m\u202e漢", "[/b]$x \x1b[31m"


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A sweep of files, all under hostile names, that was run: the sweep, its folder, the files' names."""
    here = tmp_path_factory.mktemp("swept")
    names = [n for n in HOSTILE.values() if n and "\udce9" not in n and can_be_made(here / f"{n}.parquet")]
    x, labels = table()
    text = f"title = {quoted(MARKED)}\nseeds = 1\n# [/b]</script>\n"
    for i, name in enumerate(names):  # of equal content they would be one
        frame = pd.DataFrame(x + [i, 0], columns=["a", "b"]).assign(**{COLUMN: labels})
        frame.to_parquet(here / f"{name}.parquet")
        text += f'[[data]]\nlaw = "file"\npath = {quoted(name + ".parquet")}\nlabel = {quoted(COLUMN)}\n'
    text += '[[measurement]]\nkernel = "nngp"\nactivation = "erf"\ndepth = [1, 2]\n'
    sweep = here / f"{MARKED}.toml"
    sweep.write_text(text, encoding="utf-8")
    done = run_cli("run", sweep.name, "--workers", 1, cwd=here)
    assert done.returncode == 0, done.stderr
    assert f"{2 * len(names)} trials run, 0 found in runs" in done.stdout
    assert_plain(done.stdout + done.stderr)
    (folder,) = (here / "runs").iterdir()
    return sweep, folder, names


def cells(page):
    """Every text in the tables of a page."""
    return set(strings(page.tables))


def test_names_of_a_sweep_reach_every_output(say, swept, tmp_path):
    sweep, folder, names = swept
    page = opened(folder / "report.html")
    assert_drawn(folder, page)
    assert page.text.count(escaped(MARKED)) >= 3  # title, heading, name of the sweep
    exact = kc.results(folder)
    told = exact["data"].tolist()
    assert set(told) == {f"{name}.parquet(label={COLUMN})" for name in names}
    assert set(map(escaped, told)) <= cells(page)
    (figure,) = page.figures.values()
    titles = [unescape(panel["title"].replace("<br>", "")) for panel in figure["panels"]]
    assert [squeezed(title) for title in titles] == [squeezed(escaped(name)) for name in dict.fromkeys(told)][
        :9
    ]
    for arguments in (("run", sweep, "--dry", "--out", folder), ("results", folder)):
        assert say(*arguments)[0] == 0

    # Parquet is exact; CSV has a row a line and no formula, and its text can be had back.
    assert say("results", folder, "--to", "rows.parquet")[0] == 0
    assert pd.read_parquet("rows.parquet")["data"].tolist() == told
    assert say("results", folder, "--to", "rows.csv")[0] == 0
    text = (tmp_path / "rows.csv").read_text(encoding="utf-8")
    assert_plain(text)
    assert text.count("\n") == len(exact) + 1
    back = pd.read_csv("rows.csv")
    assert back["nc1_paper"].tolist() == pytest.approx(exact["nc1_paper"].tolist(), rel=1e-15)
    assert not back["data"].str.match(r"[=+\-@]").any()
    assert [re.sub(r"^'(?='*[=+\-@])", "", name) for name in back["data"]] == list(map(escaped, told))


def test_messages_of_failed_trials_reach_every_output(say, swept, tmp_path):
    sweep, folder, _ = swept
    other = tmp_path / "[/b]\n$x$ \x1b[31m"
    shutil.copytree(folder, other)
    messages = [f"ValueError: {name}!" for name in HOSTILE.values() if "\udce9" not in name]
    with closing(sqlite3.connect(other / FILE)) as db, db:
        keys = [key for (key,) in db.execute("SELECT key FROM trials ORDER BY key")]
        db.executemany(
            "UPDATE trials SET status = 'failed', message = ?, results = '{}' WHERE key = ?",
            zip(messages, keys, strict=False),
        )
    code, _, err = say("run", sweep, "--out", other, "--workers", 1)
    assert code == 1
    assert all(escaped(message) in err for message in messages[:10])
    assert set(map(escaped, messages)) <= cells(opened(other / "report.html"))
    code, out, _ = say("report", folder, other)
    assert code == 0
    assert squeezed(escaped(messages[0])) in squeezed(out)
    page = opened(other / "compare.html")
    assert set(map(escaped, messages)) <= cells(page)
    assert escaped(str(other)) in page.text
    assert say("results", other, "--to", "rows.csv")[0] == 0
    assert set(map(escaped, messages)) <= set(pd.read_csv("rows.csv")["message"].dropna())


def test_a_terminal_without_unicode(tmp_path):
    x, labels = table(classes=("漢字", "caf\udce9"))
    np.savez(tmp_path / "漢.npz", x=x, labels=labels)
    done = run_cli("measure", tmp_path / "漢.npz", *QUICK, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0, done.stderr
    assert squeezed(r"\u6f22: 12 samples") in squeezed(done.stdout)
    assert squeezed(r"caf\udce9: 6, \u6f22\u5b57: 6") in squeezed(done.stdout)


def as_html(text):
    """Text as Markdown's reference implementation writes it."""
    return html_escape(text, quote=False).replace('"', "&quot;")


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_each_function_keeps_the_name_and_nothing_else(name, tmp_path):
    # Markdown: a cell shows the name, and is one; so does the entry of a list.
    html = MarkdownIt("commonmark").enable("table").render(f"| h |\n|---|\n| {_text.for_markdown(name)} |\n")
    (cell,) = re.findall(r"<td>(.*?)</td>", html, re.S)
    assert cell == as_html(escaped(name).strip())
    html = MarkdownIt("commonmark").render(f"- {_text.for_markdown(name)}\n")
    assert unescape(re.sub(r"</?(ul|li|p)>|\n", "", html)) == escaped(name).strip()
    # Rich: no markup and no emoji, whatever the console does with text that is a string.
    console = Console(file=io.StringIO(), width=400, force_terminal=False)
    console.print(_text.for_rich(name), end="|")
    assert console.file.getvalue() == f"{escaped(name)}|"
    # Figures: no mathematics, and the page has what was drawn.
    label = rf"$\sigma$ of {_text.for_figure(name)}"
    plot = Plot(rows=[[Panel(marks=[], title=_text.for_figure(name), x=Axis(label=label))]], size=(4, 3))
    (panel,) = convert(plot, printing.draw(plot).frames)["panels"]
    assert not is_math_text(_text.for_figure(name))
    assert unescape(panel["title"]) == escaped(name)
    assert unescape(re.sub("<su[bp]>", "", panel["xaxis"]["label"])) == f"σ of {escaped(name)}"
    assert plain(panel["title"]) == escaped(name)
    # CSV: through a file and back.
    frame = pd.DataFrame([[name, -1.5], ["x", 2.0]], dtype=object)
    frame.columns = pd.Index(["text", name], dtype=object)
    _text.for_csv(frame).to_csv(tmp_path / "t.csv", index=False)
    back = pd.read_csv(tmp_path / "t.csv", dtype={"text": str}, keep_default_na=False)
    assert re.sub(r"^'(?='*[=+\-@])", "", back["text"][0]) == escaped(name)
    assert back["text"][0][:1] not in tuple("=+-@")
    assert back.iloc[:, 1].tolist() == [-1.5, 2.0]
    # Files: one in this folder.
    file = _text.for_file(name)
    (tmp_path / f"{file}.svg.part").touch()
    assert file not in ("", ".", "..")
    assert not file.startswith((".", "-"))
    assert not re.search(r'[\\/:*?"<>|$`\n]', file)


def test_names_of_files_stay_apart():
    names = [*HOSTILE.values(), "n" * 244 + "m", "x", "漢" * 200, "Con", "e\u0301", "é"]
    files = {_text.for_file(name).casefold() for name in names}
    assert len(files) == len(names)
    assert _text.for_file("nc1-wine, part 2") == "nc1-wine, part 2"


def test_numbers_are_no_formulas():
    texts = ["-1.5", "+3", "-1e-300", "-inf", "-.5", "-", "-1.5x", "+1-2", "−1", "'-1.5", "''=1"]
    kept = _text.for_csv(pd.DataFrame({"text": texts, "number": -1.0}))
    safe = [
        *texts[:5],
        "'-",
        "'-1.5x",
        "'+1-2",
        "−1",
        "''-1.5",
        "'''=1",
    ]
    assert kept["text"].tolist() == safe
    assert kept["number"].tolist() == [-1.0] * len(texts)
    assert list(_text.for_csv(pd.DataFrame({"=a": []}))) == ["'=a"]


def test_every_name_is_drawn_at_once():
    """Titles, ticks, legends, annotations: of all names together, without a warning."""
    names = [_text.for_figure(name) for name in HOSTILE.values()]
    panel = Panel(
        marks=[
            Points([1.0] * len(names), range(len(names)), name=names[0], names=names),
            Text(names[1], 0.0, 0.0),
        ],
        y=Axis(ticks=dict(enumerate(names)), rows=True),
        title="\n".join(names[:3]),
        legend=Legend(title=names[2]),
    )
    plot = Plot(rows=[[panel]], size=(40, 20))
    printed = printing.draw(plot)
    with style():
        for kind in ("png", "svg"):
            printed.figure.savefig(io.BytesIO(), format=kind, dpi=20)
    (panel,) = convert(plot, printed.frames)["panels"]
    assert [text["text"] for text in panel["texts"]] == [markup(names[1])]
    assert [plain(text) for text in panel["yaxis"]["ticktext"]] == list(map(escaped, HOSTILE.values()))


def test_pointing_at_a_name_shows_it():
    """Plotly fills in templates, and knows some tags: neither acts on a name, be it of a line, a row or an axis."""
    names = [HOSTILE[which] for which in ("template", "bold", "script")]
    drawn = list(map(_text.for_figure, names))
    points = Points(
        [1.0, 2.0, 3.0], [0, 1, 2], [0.9, 1.9, 2.9], [1.1, 2.1, 3.1], along="x", names=drawn, name=drawn[0]
    )
    plot = Plot(rows=[[Panel(marks=[points], x=Axis(label=_text.for_figure(names[1])))]], size=(4, 3))
    (trace,) = convert(plot, printing.draw(plot).frames)["data"]
    assert [unescape(row[-1]) for row in trace["customdata"]] == names
    assert not any("<" in row[-1] for row in trace["customdata"])
    template = trace["hovertemplate"]
    assert set(re.findall(r"<([^>]*)>", template)) == {"b", "/b", "br", "extra", "/extra"}
    assert set(re.findall(r"%{(\w+)", template)) == {"customdata", "x", "y"}
    assert unescape(template).startswith(f"<b>{names[0]}</b>")


def test_the_errata_are_one_page_whatever_its_file_is_called():
    for name in (n for n in HOSTILE.values() if "/" not in n and n):
        text = errata_page({}, "quick", f"{name}.md").text
        assert_plain(text)
        html = MarkdownIt("commonmark").enable("table").render(text)
        assert [html.count(tag) for tag in ("<a ", "<img ", "<pre>", "<script")] == [1, 1, 1, 0]
        assert f">{as_html(escaped(name))}.csv</a>" in html


def test_a_data_set_shows_its_name_at_the_prompt():
    for name in HOSTILE.values():
        assert_plain(repr(kc.data.from_arrays([[0.0], [1.0]], ["a", "b"], name=name)))


def test_a_browser_shows_the_names(visit, tmp_path):
    """Of lines, rows, axes and a long table: as text, whatever Plotly, a legend or a saved table do with it."""
    told = [name for name in HOSTILE.values() if name.strip() and "\udce9" not in name]
    drawn = list(map(_text.for_figure, told))
    name = _text.for_figure(told[6] + told[33])
    panel = Panel(
        marks=[Points(range(1, len(told) + 1), range(len(told)), name=name, names=drawn)],
        x=Axis(label=_text.for_figure(HOSTILE["bold"])),
        y=Axis(ticks=dict(enumerate(drawn)), rows=True),
        title=_text.for_figure(HOSTILE["end of script"]),
        legend=Legend(),
    )
    plot = Plot(rows=[[panel]], size=(40, 14))
    frame = pd.DataFrame({"name": told * 2, "value": [-1.5] * len(told) * 2})
    section = report.Section(
        "names", HOSTILE["bold"], "?", [Drawn("f", "caption", plot)], [Table(HOSTILE["attribute"], frame)]
    )
    path = tmp_path / "page.html"
    report.write_page(
        path, title=HOSTILE["script"], lead="", facts={}, sections=[section], about={}, pictures=False
    )
    page = visit(path)
    dialogs = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    plot = page.locator("figure .plot")
    plot.scroll_into_view_if_needed()
    plot.locator(".main-svg").first.wait_for()
    legend = page.locator("figure .legend button").first.inner_text()
    assert legend.strip() == escaped(told[6] + told[33])
    for row in (
        told.index(HOSTILE[which]) for which in ("template", "bold", "script", "entity", "mathematics")
    ):
        plot.evaluate("(plot, row) => Plotly.Fx.hover(plot, [{curveNumber: 0, pointNumber: row}])", row)
        page.wait_for_function(  # Plotly waits some milliseconds between two places that are pointed at
            "names => names.every(name => document.querySelector('.hoverlayer').textContent.includes(name))",
            arg=[escaped(name) for name in (told[row], told[6] + told[33], HOSTILE["bold"])],
        )
    assert plot.locator("a, script, img").count() == 0
    page.evaluate("document.querySelectorAll('details').forEach(box => box.open = true)")
    table = page.locator("table[data-rows] tbody tr td:first-child")
    table.first.wait_for()
    assert table.all_text_contents() == list(map(escaped, frame["name"]))
    for button in ("figure [data-csv]", "[data-csv='0']"):
        with page.expect_download() as waiting:
            page.locator(button).click()
        back = pd.read_csv(waiting.value.path(), keep_default_na=False)["name"]
        restored = [re.sub(r"^'(?='*[=+\-@])", "", text) for text in back]
        assert restored == list(map(escaped, told)) * (len(back) // len(told))
        assert not back.str.match(r"[=+\-@]").any()
    assert dialogs == page.complaints == []
    assert {url.split(":")[0] for url in page.requests_made} <= {"file", "data", "blob"}
