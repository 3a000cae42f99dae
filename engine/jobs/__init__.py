"""Commands to generators for the model's lane: the one room that knows all the others.

Importing it imports torch, so only the lane's own thread does.
"""

import os

# torch's threads otherwise spin at barriers and starve a window on the same cores (measured: 16 times slower decoding
# beside one busy process); it reads this once, when it is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from engine.jobs.dispatcher import ModelJobs
from engine.jobs.workbench import GENERATION_KEYS, model_defaults

__all__ = ["GENERATION_KEYS", "ModelJobs", "model_defaults"]
