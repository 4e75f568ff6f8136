"""Several processes, each with its own samples: all of them get the record of all samples."""

from __future__ import annotations

from typing import Any

from torch import distributed

from kernel_collapse.recording import Alone, Streams

__all__ = ["Together", "are_several"]


def are_several() -> bool:
    """Whether this is one of several processes of `torch.distributed`."""
    return bool(
        distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1
    )


class Together(Alone):
    """Every process of the default group of `torch.distributed`.

    The sums of one process after another are sent to all and merged in that order, layer by layer: every process gets
    the same bits, and holds the sums of two at most.
    """

    def agree(self, error: Exception | None) -> None:
        """Raise the error of this process; where another has failed, say so instead of waiting for it for ever."""
        said: list[Any] = [None] * distributed.get_world_size()
        distributed.all_gather_object(said, None if error is None else f"{type(error).__name__}: {error}")
        if error is not None:
            raise error
        failed = [(rank, one) for rank, one in enumerate(said) if one is not None]
        if failed:
            rank, sentence = failed[0]
            raise RuntimeError(f"process {rank} failed to record: {sentence}")

    def merge(self, streams: Streams) -> None:
        """Give each process the sums of all."""
        for layer, own in list(streams.accumulators.items()):
            whole: Any = None
            for rank in range(distributed.get_world_size()):
                sent = [own if rank == distributed.get_rank() else None]
                distributed.broadcast_object_list(sent, src=rank)
                if whole is None:
                    whole = sent[0]
                else:
                    whole.merge(sent[0])
            streams.accumulators[layer] = whole

    def share_decisions(self, streams: Streams) -> None:
        """Give each process the decisions of all."""
        own = {layer: seen.decisions for layer, seen in streams.accumulators.items()}
        every: list[Any] = [None] * distributed.get_world_size()
        distributed.all_gather_object(every, own)
        for rank, found in enumerate(every):
            if rank != distributed.get_rank():
                for layer, decisions in found.items():
                    streams.accumulators[layer].add_decisions(decisions)
