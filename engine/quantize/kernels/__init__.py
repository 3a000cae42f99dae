"""Kernels for matrices of few bits, written in LLVM instructions when the program starts; torch's own where none fit."""
