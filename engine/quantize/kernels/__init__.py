"""Kernels for matrices of few bits, written in LLVM instructions at start; torch's own operators where none fit."""
