"""How onnxruntime sessions are built; in a file of its own, because importing onnxruntime takes long."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SessionSettings:
    """Settings of every session of a process.

    threads:   threads of one operator; 0 = the cores that this process may use.
    prepack:   let onnxruntime keep a second copy of matrices in the layout its kernels like best: 2 to 3 times faster
               for small batches, at up to twice the memory.
    optimize:  let onnxruntime fuse and fold.
    """

    threads: int = 0
    prepack: bool = True
    optimize: bool = True
