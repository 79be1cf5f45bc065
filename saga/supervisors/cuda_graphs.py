"""A decode step as CUDA graphs: captured once for each window, replayed for every token.

A token of a large model is some thousand small kernels; launched one by one they take longer than they
run. A replay launches all of them at once. Shapes and addresses are those of the capture, which is why a
step works in place on buffers that stay.
"""

import logging

import torch

from saga.supervisors.generation import Generation
from saga.supervisors.shared_prefix import Window

log = logging.getLogger(__name__)


class GraphedStep:
    """Stands for `generation.step`; where capturing fails it says so once and steps without."""

    def __init__(self, generation: Generation) -> None:
        """Nothing is captured yet."""
        self.generation = generation
        self.graphs: dict[Window, torch.cuda.CUDAGraph] = {}
        self.failed = False
        self._pool = torch.cuda.graph_pool_handle()
        self._side = torch.cuda.Stream()

    def __call__(self, window: Window) -> None:
        """Another token of each row of a window."""
        if window not in self.graphs and not self.failed:
            self._try_to_capture(window)
        if window in self.graphs:
            self.graphs[window].replay()
        else:
            self.generation.step(window)

    def _try_to_capture(self, window: Window) -> None:
        try:
            self.graphs[window] = self._captured(window)
        except RuntimeError as error:
            self.failed = True
            log.warning(
                "The decode step cannot be captured in a CUDA graph, so rollouts will be slower: %s "
                "Pass graphs=False to roll_out to decode without trying.",
                str(error).strip().split("\n")[0],
            )

    def _captured(self, window: Window) -> torch.cuda.CUDAGraph:
        """The graph of a step; no row is a token further afterwards."""
        self._side.wait_stream(torch.cuda.current_stream())
        # Libraries choose kernels and take their workspaces at the first call, which no capture may
        # hold. What a step writes besides the counters it writes again.
        with torch.cuda.stream(self._side), self.generation.undone():
            self.generation.step(window)
        torch.cuda.current_stream().wait_stream(self._side)
        graph = torch.cuda.CUDAGraph()
        # Other threads (loaders that pin memory) may call CUDA meanwhile. The graphs share a pool:
        # none keeps anything there from one replay to the next.
        with torch.cuda.graph(
            graph, pool=self._pool, stream=self._side, capture_error_mode="thread_local"
        ):
            self.generation.step(window)
        return graph
