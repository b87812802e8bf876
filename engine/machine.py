"""The interpreter of a rank's program: named tensors, a program counter, and one record per instruction.

An instruction changes the environment only when it is finished, and exchanges can be run again from their start, so a
machine that was interrupted anywhere can be continued by another one from its state.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from numpy.typing import NDArray

from channels.tensors import LiveTensor, Tensor
from engine.ahead import Ahead
from engine.collectives import run_exchange
from engine.errors import FeedError, KernelError, ProgramError
from engine.kernels import KernelCall, find_kernel
from engine.loaded import LoadedRank
from engine.port import Port, TensorChannel, Traffic
from engine.program import Exchange, Free, Instruction, Run
from engine.row_maps import RowMaps
from engine.tensor_ops import held_bytes
from engine.trace import Record

__all__ = ["Machine", "MachineState", "Record", "TensorChannel"]


@dataclass
class MachineState:
    """Where a machine is.

    pc:      index of the next instruction, or of the one that was interrupted.
    tensors: the environment.
    """

    pc: int = 0
    tensors: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class _Done:
    """What an instruction did: the tensors it made, the ones it dropped, what it sent and received.

    ahead_s: seconds of its work that were spent in the instruction before; negative in that one.
    """

    op: str
    made: Mapping[str, Tensor] = field(default_factory=dict)
    dropped: Sequence[str] = ()
    traffic: Traffic = field(default_factory=Traffic)
    ahead_s: float = 0.0


class Machine:
    """Runs one rank's program, once.

    loaded:    the rank; may be shared by machines that run one after another.
    channel:   the rank's end of the run's channel.
    slots:     slot of each rank.
    interrupt: called before each instruction; may raise to stop the machine there.
    state:     where another machine of the same rank stopped; None = from the beginning.
    overlap:   whether rows of a sparse layer are computed while others are awaited; the answer is the same.
    """

    def __init__(
        self,
        loaded: LoadedRank,
        channel: TensorChannel,
        slots: Sequence[int],
        *,
        interrupt: Callable[[], None] = lambda: None,
        state: MachineState | None = None,
        clock: Callable[[], float] = time.perf_counter,
        overlap: bool = True,
    ) -> None:
        self.state = MachineState() if state is None else MachineState(state.pc, dict(state.tensors))
        self.trace: list[Record] = []
        self.peak_bytes = 0
        self._loaded = loaded
        self._channel = channel
        self._slots = tuple(slots)
        self._interrupt = interrupt
        self._clock = clock
        self._overlap = overlap
        self._ahead: Ahead | None = None
        if not len(self._slots) == len(set(self._slots)) == loaded.program.world_size:
            raise ProgramError(f"slots: expected one per rank ({loaded.program.world_size}), got {self._slots}")

    def run(self, feeds: Mapping[str, NDArray[Any]] | None = None) -> dict[str, NDArray[Any]]:
        """Run from the state to the end; the graph's outputs on rank 0, nothing elsewhere.

        feeds: the graph's inputs on rank 0; ignored by a machine that goes on where another one stopped.

        Raises:
            FeedError: if a rank other than 0 is fed.
            ProgramError, KernelError, ExchangeError: if an instruction fails.
            Whatever the channel or `interrupt` raises; `state` is then good to go on from.
        """
        if self.state.pc == 0 and not self.state.tensors:
            self._feed(feeds or {})
        instructions = self._loaded.program.instructions
        while self.state.pc < len(instructions):
            self._interrupt()
            self._step(instructions[self.state.pc])
        return self._outputs()

    def _feed(self, feeds: Mapping[str, NDArray[Any]]) -> None:
        if feeds and self._loaded.program.rank != 0:
            raise FeedError(f"rank {self._loaded.program.rank}: expected no inputs, got {sorted(feeds)}")
        self.state.tensors.update(feeds)
        self.peak_bytes = held_bytes(self.state.tensors.values())

    def _step(self, instruction: Instruction) -> None:
        started = self._clock()
        done = self._execute(instruction)
        tensors = self.state.tensors
        tensors.update(done.made)
        for name in done.dropped:
            tensors.pop(name, None)
        live_bytes = held_bytes([*tensors.values(), *(self._ahead.held if self._ahead else ())])
        self.peak_bytes = max(self.peak_bytes, live_bytes)
        self.state.pc += 1
        self._note(instruction, done, self._clock() - started + done.ahead_s, live_bytes)

    def _execute(self, instruction: Instruction) -> _Done:
        if isinstance(instruction, Run):
            return self._run(instruction)
        if isinstance(instruction, Exchange):
            return self._exchange(instruction)
        return self._free(instruction)

    def _run(self, run: Run) -> _Done:
        inputs = [self._tensor(run.step, name) for name in run.inputs]
        ahead, self._ahead = self._ahead, None
        if ahead is not None and (finished := self._finished(ahead, run, inputs)) is not None:
            return _Done(run.kernel, {run.outputs[0]: finished}, ahead_s=ahead.seconds)
        call = KernelCall(run, inputs, self._loaded)
        made = find_kernel(run.kernel)(call)
        if len(made) != len(run.outputs):
            raise KernelError(f"{call.where}: expected {len(run.outputs)} outputs, got {len(made)}")
        return _Done(run.kernel, dict(zip(run.outputs, made, strict=True)), ahead_s=ahead.seconds if ahead else 0.0)

    def _finished(self, ahead: Ahead, run: Run, inputs: Sequence[Tensor]) -> LiveTensor | None:
        """The output of a layer of which some rows were computed ahead."""
        x = inputs[0]
        return ahead.finish(x) if ahead.run is run and isinstance(x, LiveTensor) else None

    def _exchange(self, exchange: Exchange) -> _Done:
        port = Port(self._channel, self._slots, self._loaded.program.rank, exchange.step, self._clock)
        value, maps = self.state.tensors.get(exchange.input), self._loaded.maps(exchange)
        ahead = self._ahead_of(exchange, maps)
        made = run_exchange(exchange, value, port, maps, ahead)
        self._ahead = ahead
        spent = ahead.seconds if ahead else 0.0
        return _Done(
            exchange.kind, {} if made is None else {exchange.output: made}, traffic=port.traffic, ahead_s=-spent
        )

    def _ahead_of(self, exchange: Exchange, maps: RowMaps | None) -> Ahead | None:
        """For an exchange of rows that a sparse layer reads next: what computes its rows as they become complete."""
        rest = islice(self._loaded.program.instructions, self.state.pc + 1, None)
        run = next((later for later in rest if not isinstance(later, Free)), None)
        if not self._overlap or maps is None or exchange.reduce or exchange.input not in self.state.tensors:
            return None
        if not isinstance(run, Run) or run.kernel != "sparse_layer" or run.inputs != (exchange.output,):
            return None
        return Ahead(run, exchange, self._loaded, maps, self._clock) if len(run.outputs) == 1 else None

    def _free(self, free: Free) -> _Done:
        return _Done("free", dropped=free.tensors)

    def _tensor(self, step: int, name: str) -> Tensor:
        if name not in self.state.tensors:
            raise ProgramError(f"step {step} on rank {self._loaded.program.rank}: tensor {name!r} is not there")
        return self.state.tensors[name]

    def _note(self, instruction: Instruction, done: _Done, seconds: float, live_bytes: int) -> None:
        samples = [made.samples.size for made in done.made.values() if isinstance(made, LiveTensor)]
        record = Record(
            step=instruction.step,
            op=done.op,
            layer="" if isinstance(instruction, Free) else instruction.layer,
            seconds=seconds,
            wait_seconds=done.traffic.wait_seconds,
            live_bytes=live_bytes,
            live_samples=samples[-1] if samples else None,
            sent_bytes=done.traffic.sent_bytes,
            received_bytes=done.traffic.received_bytes,
            sent_messages=done.traffic.sent_messages,
        )
        self.trace.append(record)

    def _outputs(self) -> dict[str, Any]:
        if self._loaded.program.rank != 0:
            return {}
        return {name: self._output(name) for name in self._loaded.outputs}

    def _output(self, name: str) -> Any:
        value = self.state.tensors.get(name)
        if name not in self.state.tensors or isinstance(value, LiveTensor):
            got = "a live tensor" if isinstance(value, LiveTensor) else "nothing"
            raise ProgramError(f"output {name!r}: expected a value at the end of the program, got {got}")
        return value
