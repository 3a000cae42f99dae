"""Widgets that know Qt and values, not the engine's life: panes are put together from them."""
