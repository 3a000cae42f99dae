"""Vitrine's window: a Qt application over the package `engine`, which it alone imports; it never imports torch."""
