"""Kernels in C, loaded with ctypes: numpy needs several passes over what they do in one. Built by `make setup`."""

from __future__ import annotations

from engine.native.library import NativeLibrary, native_library

__all__ = ["NativeLibrary", "native_library"]
