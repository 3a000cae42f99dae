"""Trained additions, wrapped around the Linear modules of a loaded model without its family knowing. None yet."""
