"""Low-rank adapters in PEFT's format, put around the Linear modules of a loaded model without its family knowing.

They stay beside the weights, which may be of few bits, and are in place only during the steps of a run that names them.
"""
