"""Opening: a scheduler and workers of our own, or the client of one that is there; and the exchange of versions."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from tempfile import TemporaryDirectory
from typing import Any

from kernel_collapse._input_error import InputError
from kernel_collapse.cluster._worker import checked, versions

__all__ = ["address", "reach", "require_same", "start"]

#: What a worker of ours does first: Ctrl-C is left to the client, for the terminal sends it to every process of the
#: session; and pages about itself are not served, for whoever asks need not show a certificate.
PRELOAD = """
import signal

signal.signal(signal.SIGINT, signal.SIG_IGN)


def dask_setup(worker):
    worker.http_server.stop()
"""


def address(value: str, what: str = "--dask") -> str:
    """Return the address of a scheduler as dask takes it, or refuse it."""
    scheme, separator, rest = value.rpartition("://")
    host, _, port = rest.rpartition(":")
    if (
        (separator and scheme not in ("tcp", "tls"))
        or not host
        or not port.isdecimal()
        or not 0 < int(port) < 65536
    ):
        raise InputError.of(
            what, value, "the address of a scheduler, which `dask scheduler` prints", "try tcp://HOST:8786"
        )
    return value if separator else f"tcp://{value}"


async def start(stack: AsyncExitStack, processes: int) -> Any:
    """Return the client of a scheduler and workers on 127.0.0.1, which serve those who have their certificate."""
    import dask
    from distributed import Client, LocalCluster
    from distributed.security import Security

    # Workers import from their folder first, and dask's own place for them may be of whoever came before us.
    folder = TemporaryDirectory(prefix="kernel-collapse-", ignore_cleanup_errors=True)
    ours: dict[str, Any] = {
        # Nannies would set variables of this process too, which slow down every process that it starts later.
        "distributed.nanny.pre-spawn-environ": {},
        "distributed.scheduler.http.routes": [],
        "distributed.worker.http.routes": [],
    }
    with dask.config.set(ours):
        here = await stack.enter_async_context(
            LocalCluster(
                n_workers=processes,
                threads_per_worker=1,
                host="127.0.0.1",
                protocol="tls://",
                security=Security.temporary(),
                dashboard_address=None,
                memory_limit=None,  # as the workers of a pool, which no nanny kills for what they use
                preload=[PRELOAD],
                local_directory=stack.enter_context(folder),
                silence_logs=logging.CRITICAL,
                scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
                asynchronous=True,
            )
        )
        here.scheduler.http_server.stop()
    return await stack.enter_async_context(Client(here, asynchronous=True, set_as_default=False))


async def reach(stack: AsyncExitStack, scheduler: str, seconds: float) -> Any:
    """Return the client of the scheduler at an address.

    Raises
    ------
    ValueError
        If none answers there in time, from the first packet to the exchange of versions, or it refuses us.
    """
    from distributed import Client

    security = _security(scheduler)
    client = Client(scheduler, asynchronous=True, security=security, set_as_default=False, timeout=seconds)
    stack.push_async_callback(client.close, seconds)
    try:
        async with asyncio.timeout(seconds):
            return await client
    except Exception as error:  # an answer that is not a scheduler's can break dask anywhere
        why = " (what answers is something else)"
        if isinstance(error, OSError | RuntimeError):  # RuntimeError: dask's configuration forbids it
            why = f" ({_reason(error)})"
        if isinstance(error, TimeoutError) or isinstance(error.__cause__, TimeoutError):
            why = ""
        raise InputError(
            "no scheduler",
            f"at {scheduler}",
            f"one within {seconds:g} s{why}",
            "start one there (dask scheduler), or check the address, its tcp:// or tls://, and the firewall",
            verb="answers",
        ) from None


def _reason(error: BaseException) -> str:
    """Return what is at the bottom of an error, in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(f"{type(error).__name__}: {error}".split()).rstrip(".")


def _said(answer: str | Exception) -> str:
    """Return what is wrong with a worker. One that is gone is not: its tasks go elsewhere."""
    if isinstance(answer, OSError):  # dask's errors of a connection are
        return ""
    return answer if isinstance(answer, str) else f"no answer ({_reason(answer)})"


def _security(scheduler: str) -> Any:
    """Return the certificates that dask's configuration names, read once to know that they can be."""
    from distributed.security import Security

    wanted = "those of distributed.comm.tls in dask's configuration (ca-file, client.cert, client.key)"
    try:
        security = Security()
        context = security.get_connection_args("client")["ssl_context"]
    except (OSError, ValueError) as error:
        raise InputError(
            f"the certificates for {scheduler}",
            f"be read ({error})",
            wanted,
            "see docs/clusters.md",
            verb="cannot",
        ) from None
    if context is None and scheduler.startswith("tls://"):
        raise InputError(
            "no certificates", f"given for {scheduler}", wanted, "see docs/clusters.md", verb="are"
        )
    return security


async def require_same(client: Any, seconds: float) -> None:
    """Refuse workers, and a scheduler, of other versions than the client's."""
    here = versions()
    of_client = f"(here {here['Python']})"
    wrong = {}
    try:
        async with asyncio.timeout(seconds):
            found = await client.get_versions()
            # A function is sent as the bytecode of one Python: before any is, dask itself says which Python there is.
            for where, about in {"the scheduler": found["scheduler"], **found["workers"]}.items():
                python = ".".join(about["host"]["python"].split(".")[:2])
                if python != here["Python"]:
                    wrong[where] = f"Python {python} {of_client}"
            if not wrong:
                answers = await client.run(checked(here), on_error="return")
                wrong = {where: said for where, answer in answers.items() if (said := _said(answer))}
    except Exception as error:  # of a connection, and whatever becomes of a worker meanwhile
        raise InputError(
            "the scheduler or a worker",
            f"say its versions ({_reason(error)})",
            f"an answer within {seconds:g} s",
            "see whether they hang or die, start them anew",
            verb="does not",
        ) from None
    if wrong:
        first, *others = list(wrong.items())[:5]
        named = "; ".join([first[1], *(f"{where} has {said}" for where, said in others)])
        more = f"; and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        raise InputError(
            first[0],
            f"{named}{more}",
            "the same versions on every worker, for the same bits",
            "start them anew from one environment",
            verb="has",
        )
