"""Stores that are read, that are another program's, or that a disk has damaged: nothing is touched or made up."""

import hashlib
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import warnings
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

import kernel_collapse as kc
from kernel_collapse import cli, report
from kernel_collapse.runs import _database, _snapshot, sweep, sweep_file
from kernel_collapse.runs.store import FILE, DamagedRows, Store
from kernel_collapse.runs.trials import Trial

#: 48 trials of a millisecond.
SWEEP = """seeds = 24
[[data]]
law = "gaussian"
n = 9
dim = [2, 3]
[[measurement]]
kernel = "data"
"""
#: As sqlite3 numbers it.
PAGE = 4096


@pytest.fixture
def say(monkeypatch, capsys):
    """Run the program in this process; give exit code and what it printed."""

    def command(*arguments):
        monkeypatch.setattr(sys, "argv", ["kernel-collapse", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        captured = capsys.readouterr()
        return stopped.value.code or 0, captured.out, captured.err

    return command


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    """Folder of a finished sweep, closed in order, with its log folded in; nobody changes it."""
    base = tmp_path_factory.mktemp("pristine")
    write(base).close()
    return base / "mine"


def write(base, file="mine.toml"):
    """Make a run of the sweep without a process but this, and leave it open."""
    (base / file).write_text(SWEEP, encoding="utf-8")
    read, text = sweep_file.read(base / file)
    about = {"sweep": "mine", "version": kc.__version__}
    store = Store(base / "mine", about, {"environment": {"Python": "3"}})
    store.note({"toml": text, "specification": read.model_dump(mode="json")})
    for trial in read.trials():
        store.add(trial, **sweep.attempt(trial)._replace(seconds=0.25)._asdict())
    return store


def state(folder):
    """Names, content and times of all that is in a folder, and its own."""
    paths = [folder, *sorted(folder.rglob("*"))]
    return [
        (
            str(p),
            p.stat().st_mtime_ns,
            p.stat().st_mode,
            p.is_file() and hashlib.sha256(p.read_bytes()).digest(),
        )
        for p in paths
    ]


def read(folder):
    """Every row that can be read, what was said of the others, or the sentence that refuses it all."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            with Store(folder) as store:
                rows = {row.key: row._replace(trial=row.trial.model_dump_json()) for row in store.rows()}
                store.about()
        except ValueError as refused:
            return None, str(refused)
    assert all(warning.category is DamagedRows for warning in caught)
    return rows, "; ".join(str(warning.message) for warning in caught)


# -- what readers leave as it is


def own(base, pristine):
    shutil.copytree(pristine, base / "mine")


def killed(base, pristine, files=("", "-wal", "-shm")):
    """A run that was killed: its newest rows are in the log alone."""
    with write(base / "tmp") as store:
        (base / "mine").mkdir()
        for ending in files:
            shutil.copy(f"{store.path}{ending}", base / "mine")
        assert Path(f"{store.path}-wal").stat().st_size > 10 * PAGE


def killed_and_copied(base, pristine):
    killed(base, pristine, ("", "-wal"))


def foreign(base, pristine, log="DELETE"):
    (base / "mine").mkdir()
    with closing(sqlite3.connect(base / "mine" / FILE)) as db, db:
        db.execute(f"PRAGMA journal_mode={log}")
        db.execute("CREATE TABLE bookmarks (trials TEXT, run TEXT)")
        db.execute("PRAGMA user_version = 77")


def foreign_with_a_log(base, pristine):
    foreign(base, pristine, "WAL")


def foreign_with_like_tables(base, pristine):
    (base / "mine").mkdir()
    with closing(sqlite3.connect(base / "mine" / FILE)) as db, db:
        db.executescript("CREATE TABLE trials (id INTEGER, lawyer TEXT); CREATE TABLE run (miles REAL)")


def newer(base, pristine):
    own(base, pristine)
    with closing(sqlite3.connect(base / "mine" / FILE)) as db, db:
        db.execute(f"PRAGMA user_version = {_database.VERSION + 1}")
        db.execute("ALTER TABLE trials RENAME TO measurements")


def no_database(base, pristine):
    (base / "mine").mkdir()
    (base / "mine" / FILE).write_bytes(b"no database at all\n" * 900)


def cut_short(base, pristine):
    own(base, pristine)
    os.truncate(base / "mine" / FILE, PAGE + 100)


def empty(base, pristine):
    """A run that was killed before it had tables."""
    (base / "mine").mkdir()
    (base / "mine" / FILE).touch()


FINE = (own, killed, killed_and_copied)
SENTENCE = {
    foreign: "is a database of another program (its tables: bookmarks), expected the results of a run",
    foreign_with_a_log: "is a database of another program (its tables: bookmarks)",
    foreign_with_like_tables: "is a database of another program (its tables: run, trials)",
    newer: "has tables of version 3, expected 2: it was written by a later kernel-collapse",
    no_database: "cannot be used (file is not a database), expected the results of a run",
    cut_short: "expected the results of a run",
    empty: "has no finished trial",
}


@pytest.mark.parametrize("make", [*FINE, *SENTENCE], ids=lambda make: make.__name__)
def test_readers_touch_nothing(tmp_path, pristine, say, monkeypatch, make):
    """Not a byte, name or time of the folder changes by any command that reads, nor by a run that is refused."""
    (tmp_path / "tmp").mkdir()
    make(tmp_path, pristine)
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").write_text(SWEEP, encoding="utf-8")
    folder, out = tmp_path / "mine", tmp_path / "out"
    before, before_pristine = state(folder), state(pristine)
    reading = [
        ("results", folder),
        ("results", folder, "--to", out / "rows.csv"),
        ("run", "mine.toml", "--out", folder, "--dry"),
        ("report", folder, "--out", out / "page.html"),
        ("report", pristine, folder, "--out", out / "compare.html"),
        ("report", folder, "--out", out / "page.html", "--errata", out / "errata.md"),
    ]
    if make not in (*FINE, empty):
        reading.append(("run", "mine.toml", "--out", folder))
    for command in reading:
        code, printed, err = say(*command)
        assert state(folder) == before, command
        assert "Traceback" not in err
        if make in FINE and "--errata" not in command:
            assert (code, err) == (0, ""), command
        elif make is not empty:
            assert code == 2, (command, err)
            assert err.count("\n") == 1
        if make in SENTENCE and make is not empty:
            assert SENTENCE[make] in err
        if command[:2] == ("run", "mine.toml") and make in FINE:
            assert "48 of them are in" in printed
    if make in FINE:
        assert len(kc.results(folder)) == 48
    elif make is empty:
        assert kc.results(folder).empty
        with pytest.raises(ValueError, match="has no finished trial"):
            report.build(folder, out / "page.html")
    else:
        with pytest.raises(ValueError, match=str(folder)):
            kc.results(folder)
    assert state(folder) == before
    assert state(pristine) == before_pristine


def test_a_store_that_cannot_be_written_is_read(pristine, say, monkeypatch):
    """By another user, in a folder that nobody can write to; with the log of a run that was killed."""
    reading = [("results", "mine"), ("run", "mine.toml", "--out", "mine", "--dry")]
    base = Path(tempfile.mkdtemp())  # which another user can be let into, unlike those of pytest
    monkeypatch.chdir(base)
    user = os.geteuid()
    try:
        (base / "tmp").mkdir()
        killed(base, pristine)
        (base / "mine.toml").write_text(SWEEP, encoding="utf-8")
        for command in reading:  # imports what it needs
            assert say(*command)[0] == 0
        folder = base / "mine"
        for path in folder.iterdir():
            path.chmod(0o444)
        folder.chmod(0o555)
        base.chmod(0o755)
        before = state(folder)
        if user == 0:
            os.seteuid(65534)  # root may write anywhere
        assert not os.access(folder, os.W_OK, effective_ids=True)
        for command in reading:
            code, out, err = say(*command)
            assert (code, err) == (0, "")
            assert "48" in out
        assert len(kc.results("mine")) == 48
        assert "cannot be written, expected one that can" in say("run", "mine.toml", "--out", "mine")[2]
        assert state(folder) == before
    finally:
        os.seteuid(user)
        (base / "mine").chmod(0o755)
        shutil.rmtree(base)


def test_a_reader_has_what_was_committed_when_it_began(tmp_path):
    """In the process that writes too, whose locks it does not end."""
    with write(tmp_path) as store:
        trial = Trial(data=store_trial(), measurement={"kernel": "data"}, seed=10**6)
        with Store(tmp_path / "mine") as reader:
            store.add(trial, status="ok", results={}, seconds=0.0)
            assert len(list(reader.rows())) == 48
        with Store(tmp_path / "mine") as reader:
            assert len(list(reader.rows())) == 49
        asks = (
            "import sqlite3, sys\n"
            "db = sqlite3.connect(sys.argv[1], timeout=0)\n"
            "print(db.execute('SELECT count(*) FROM trials').fetchone()[0])\n"
            "try: print(db.execute('PRAGMA journal_mode=DELETE').fetchone()[0])\n"
            "except sqlite3.OperationalError as error: print(error)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", asks, str(store.path)], capture_output=True, text=True, check=True
        )
        assert done.stdout == "49\ndatabase is locked\n"  # as long as the locks of this process are there
        store.add(trial.model_copy(update={"seed": 1 + 10**6}), status="ok", results={}, seconds=0.0)
    assert len(kc.results(tmp_path / "mine")) == 48  # the sweep names no more
    with Store(tmp_path / "mine") as reader:
        assert len(reader.finished()) == 50


def store_trial():
    from kernel_collapse.runs.trials import GaussianClasses

    return GaussianClasses(n=9, dim=2)


# -- the log, read as SQLite reads it


@pytest.mark.parametrize("page", [512, 4096])
def test_the_log_is_read_as_sqlite_reads_it(tmp_path, page):
    """At every moment of a database that grows, shrinks and is folded in, and killed anywhere in a transaction."""
    rng = random.Random(page)
    path = tmp_path / "some.sqlite"
    log = Path(f"{path}-wal")
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(f"PRAGMA page_size = {page}")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA wal_autocheckpoint = 20")
        db.execute("PRAGMA auto_vacuum = FULL")
        db.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b BLOB)")
        cut = tmp_path / "cut.sqlite"
        for step in range(30):
            shutil.copy(path, cut)
            old = log.read_bytes()
            db.execute("BEGIN")
            for _ in range(rng.randrange(1, 6)):
                db.execute("INSERT INTO t (b) VALUES (?)", (rng.randbytes(rng.randrange(3 * page // 2)),))
            db.execute("DELETE FROM t WHERE a % 7 = ?", (rng.randrange(7),))
            db.execute("COMMIT")
            assert rows_of(path) == db.execute("SELECT * FROM t").fetchall(), step
            new = log.read_bytes()
            end = rng.randrange(len(new) + 1)
            Path(f"{cut}-wal").write_bytes(new[:end] + old[end:])
            found = rows_of(cut)
            with closing(sqlite3.connect(cut)) as recovered:
                assert found == recovered.execute("SELECT * FROM t").fetchall(), step


def rows_of(path):
    taken = _snapshot.take(path)
    with closing(taken.db) as db:
        assert taken.damage == ""
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return db.execute("SELECT * FROM t").fetchall()


# -- bytes that are not those that were written


def keys_by_page(path):
    """The keys whose rows, or checksums, are on each page in part, by their letters: SQLite splits long rows."""
    content = path.read_bytes()
    with closing(sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)) as db:
        texts = dict(db.execute("SELECT key, results || finished FROM trials"))
    pieces = {
        key: {text[i : i + 24].encode() for i in range(0, len(text) - 24, 4)} for key, text in texts.items()
    }
    of_many = [piece for some in pieces.values() for piece in some]
    alone = {piece for piece in of_many if of_many.count(piece) == 1}
    return [
        {key for key in texts if key.encode() in page or any(piece in page for piece in pieces[key] & alone)}
        for page in (content[start : start + PAGE] for start in range(0, len(content), PAGE))
    ]


@pytest.mark.parametrize("burst", [1, 40])
def test_bytes_flipped_at_two_hundred_places(tmp_path, pristine, burst):
    """Every row that is read is one that was written; what is missing lay where the damage is, and is named."""
    whole, said = read(pristine)
    assert (len(whole), said) == (48, "")
    on_page = keys_by_page(pristine / FILE)
    content = (pristine / FILE).read_bytes()
    folder = tmp_path / "mine"
    folder.mkdir()
    rng, refused, complete = random.Random(20261128 + burst), 0, 0
    for place in range(200):
        start = rng.randrange(len(content) - burst)
        damage = bytes(rng.randrange(1, 256) for _ in range(burst))
        changed = bytes(a ^ b for a, b in zip(content[start : start + burst], damage, strict=True))
        (folder / FILE).write_bytes(content[:start] + changed + content[start + burst :])
        before = state(folder)
        rows, said = read(folder)
        assert state(folder) == before
        assert "\n" not in said
        if rows is None:
            refused += 1
            assert FILE in said, place
            continue
        assert rows.items() <= whole.items(), place
        missing = whole.keys() - rows.keys()
        hit = {start // PAGE, (start + burst - 1) // PAGE}
        if missing:
            assert FILE in said, place
            assert any(key in said for key in missing), place
            # Or its end lay there, on an overflow page, which is of one row and may have no letters of its own.
            elsewhere = missing - set().union(*(on_page[page] for page in hit))
            assert len(elsewhere) <= len(hit), place
        complete += not missing
    assert refused <= 40  # the page of the schema, and the root of a table
    assert complete >= 60  # free space, checksums, what is kept of the run


def test_a_log_with_flipped_bytes(tmp_path):
    """SQLite drops what follows, and says nothing."""
    (tmp_path / "tmp").mkdir()
    killed_and_copied(tmp_path, None)
    folder = tmp_path / "mine"
    log = folder / f"{FILE}-wal"
    content, (whole, _) = log.read_bytes(), read(folder)
    rng, complete = random.Random(5), 0
    for _ in range(30):
        start = rng.randrange(32, len(content) - 5 * PAGE)
        log.write_bytes(
            content[:start] + bytes([content[start] ^ rng.randrange(1, 256)]) + content[start + 1 :]
        )
        rows, said = read(folder)
        if rows is None:
            assert FILE in said
            continue
        assert rows.items() <= whole.items()
        assert len(rows) == 48 or "damaged" in said
        complete += len(rows) >= 47
    assert complete >= 25


def test_damage_from_the_command_line(tmp_path, pristine, say, monkeypatch):
    """Every command goes on with the rest and ends with 1; --retry-failed computes again what is damaged."""
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").write_text(SWEEP, encoding="utf-8")
    own(tmp_path, pristine)
    whole, _ = read(pristine)
    key = sorted(whole)[7]
    content = (pristine / FILE).read_bytes()
    written = json.dumps(whole[key].results).encode()
    start = content.index(written) + written.index(b"0.") + 3
    digit = b"1" if content[start : start + 1] != b"1" else b"2"
    Path("mine", FILE).write_bytes(content[:start] + digit + content[start + 1 :])
    for command in (
        ("results", "mine"),
        ("results", "mine", "--to", "rows.parquet"),
        ("report", "mine", "--out", "page.html"),
        ("report", pristine, "mine", "--out", "compare.html"),
    ):
        code, out, err = say(*command)
        assert code == 1, command
        assert err == (
            f"kernel-collapse: 'mine/{FILE}' is damaged, all else of it is read (row {key}: left out, its bytes are "
            "not those that were written): restore a copy, or run again with --retry-failed.\n"
        )
        assert ("47 rows" in out) == (command[0] == "results")
    with pytest.warns(DamagedRows, match=key):
        frame = kc.results("mine")
    assert frame.attrs["damaged"].keys() == {f"row {key}"}
    assert len(frame) == 47
    code, out, err = say("run", "mine.toml", "--out", "mine", "--workers", 1, "--retry-failed")
    assert (code, "1 trials run, 47 found" in out) == (0, True), err
    again, said = read(tmp_path / "mine")
    assert said == ""
    assert {k: row._replace(seconds=0) for k, row in again.items()} == {
        k: row._replace(seconds=0) for k, row in whole.items()
    }


EDITS = {
    "results = 'NaN'": "it holds a float",
    "results = '{\"nc1_paper\": '": "Expecting value",
    'results = \'{"nc1_paper": "low"}\'': "its nc1_paper is 'low', expected a number",
    "results = x'80ff'": "its results is a bytes",
    f"results = '{'[' * 100_000}'": "recursion",
    "specification = '{}'": "data is missing",
    "specification = json_set(specification, '$.measurement.kernel', 'gone')": "measurement.kernel is 'gone'",
    "specification = 'nothing'": "the specification is 'nothing', expected text in JSON",
    "seconds = 'soon'": "its seconds is a str",
}


@pytest.mark.parametrize("edit", EDITS, ids=range(len(EDITS)))
def test_rows_that_somebody_has_edited(tmp_path, pristine, say, edit):
    own(tmp_path, pristine)
    folder = tmp_path / "mine"
    with closing(sqlite3.connect(folder / FILE)) as db, db:
        (key,) = db.execute("SELECT max(key) FROM trials").fetchone()
        db.execute(f"UPDATE trials SET {edit} WHERE key = ?", (key,))
    code, out, err = say("results", folder)
    assert (code, "47 rows" in out) == (1, True), err
    assert err.startswith(f"kernel-collapse: '{folder / FILE}' is damaged")
    assert f"row {key}: left out, " in err
    assert EDITS[edit] in err
    assert err.count("\n") == 1


def test_what_is_new_is_no_damage(tmp_path, pristine, say):
    """Columns and results that this version does not know, and an edit that is well, are read and told as they are."""
    own(tmp_path, pristine)
    folder = tmp_path / "mine"
    with closing(sqlite3.connect(folder / FILE)) as db, db:
        db.execute("ALTER TABLE trials ADD COLUMN host TEXT DEFAULT 'here'")
        db.execute(
            "UPDATE trials SET results = json_set(results, '$.glow', 3, '$.status', 'odd', '$.data_x', 1)"
        )
        db.execute("UPDATE trials SET message = 'mine' WHERE key = (SELECT min(key) FROM trials)")
    code, out, err = say("results", folder)
    assert (code, err) == (0, "")
    assert "glow" in out
    frame = kc.results(folder)
    assert (frame["glow"] == 3).all()
    assert (frame["status"] == "ok").all()
    assert (frame["result_status"] == "odd").all()
    assert frame.attrs["columns"]["glow"] == {"meaning": "not known to this version", "unit": ""}
    assert sorted(frame["message"])[-1] == "mine"
    with Store(folder, {"sweep": "mine", "version": kc.__version__}) as store:
        trial = Trial(data=store_trial(), measurement={"kernel": "data"}, seed=10**6)
        store.add(trial, status="ok", results={}, seconds=0.0)
        assert len(store.finished()) == 49


@pytest.mark.parametrize("name", ["specification", "sweep", "environment"])
def test_what_is_kept_of_the_run_may_be_damaged(tmp_path, pristine, say, monkeypatch, name):
    """Its rows are read; nothing is written to it."""
    own(tmp_path, pristine)
    folder = tmp_path / "mine"
    with closing(sqlite3.connect(folder / FILE)) as db, db:
        db.execute("UPDATE run SET value = '[' WHERE name = ?", (name,))
    before = state(folder)
    code, out, err = say("results", folder)
    assert (code, "48 rows" in out) == (1, True)
    assert f"entry '{name}' of the run: left out, Expecting value" in err
    (tmp_path / "mine.toml").write_text(SWEEP, encoding="utf-8")
    code, out, err = say("run", tmp_path / "mine.toml", "--out", folder)
    assert (code, out) == (2, "")
    assert "nothing was changed, restore a copy or run into another folder with --out" in err
    assert state(folder) == before


# -- results that cannot be stored


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (np.int64(3), 3),
        (np.float32(0.5), 0.5),
        (np.bool_(True), True),
        (np.arange(3), [0, 1, 2]),
        (np.array(1.5), 1.5),
        ([np.float64(1), (2, None)], [1.0, [2, None]]),
        ({"deep": np.int8(1)}, {"deep": 1}),
        (float("inf"), float("inf")),
        ("half \ud800 a letter", "half \\ud800 a letter"),
        (b"bytes", "'value' is a bytes, expected a number, a text, None, or lists of them"),
        ({1, 2}, "'value' is a set"),
        (1j, "'value' is a complex"),
        (object, "'value' is a type"),
        (lambda: 0, "'value' is a function"),
        ({1: 2}, "'value' have the name 1, expected a text"),
        (10**400, "'value' is an integer of 1329 bits, expected 1024 or fewer"),
    ],
    ids=lambda value: (
        None if callable(value) else repr(value)[:40]
    ),  # no address: both test processes name them alike
)
def test_whatever_a_measurement_returns(tmp_path, monkeypatch, value, stored):
    """It is a row as it is, or a failed one that says why; the sweep goes on."""
    todo = [Trial(data=store_trial(), measurement={"kernel": "data"}, seed=seed) for seed in range(3)]
    monkeypatch.setattr(sweep, "compute", lambda trial: {"value": value} if trial.seed == 1 else {"value": 1})
    with Store(tmp_path, {"name": "test"}) as store:
        for trial in sweep.missing(todo, store):
            store.add(trial, **sweep.attempt(trial)._asdict())
    with Store(tmp_path) as store:
        found = {row.trial.seed: row for row in store.rows()}
    assert found.keys() == {0, 1, 2}
    failed = isinstance(stored, str) and not isinstance(value, str)
    if failed:
        assert found[1].status == "failed"
        assert found[1].message.startswith("TypeError: ")
        assert stored in found[1].message
    else:
        assert (found[1].status, found[1].results) == ("ok", {"value": stored})


def test_whatever_a_measurement_raises(tmp_path, monkeypatch):
    class Speechless(Exception):
        def __str__(self):
            raise ValueError("no words")

    endless = []
    endless.append(endless)
    raised = [ValueError("half \ud800"), Speechless(), SystemExit(3), KeyError("\udcff"), None]

    def compute(trial):
        if raised[trial.seed] is None:
            return {"value": endless}
        raise raised[trial.seed]

    monkeypatch.setattr(sweep, "compute", compute)
    todo = [Trial(data=store_trial(), measurement={"kernel": "data"}, seed=s) for s in range(len(raised))]
    with Store(tmp_path, {"name": "test"}) as store:
        for trial in todo:
            store.add(trial, **sweep.attempt(trial)._asdict())
        said = {row.trial.seed: (row.status, row.message) for row in store.rows()}
    assert {status for status, _ in said.values()} == {"failed"}
    assert said[0][1] == "ValueError: half \\ud800"
    assert said[1][1] == "Speechless: its message cannot be read (ValueError)"
    assert said[2][1] == "SystemExit: 3"
    assert said[3][1] == "KeyError: '\\udcff'"
    assert said[4][1].startswith("RecursionError: ")
