"""What can go wrong in a run, and which exit code says so.

TrainingError            exit 1
├── NonFiniteLoss        loss or gradient became NaN or infinite; names the step
├── CheckpointError      a saved state is not what its digests say
└── Refusal              exit 2: the ask cannot be met; found before anything was allocated
    ├── CannotResume     what the attempts before left is not of this ask, or not whole
    ├── DeviceError      the device asked for is not there, or not allowed
    ├── LayoutError      the mesh cannot divide what it was given
    ├── DataError        a row, a field, a file
    ├── TokenizerError   a tokenizer that is not there, or too large for the model
    └── WeightsError     weights that are not there, broken, or of another model
"""

from __future__ import annotations


class TrainingError(RuntimeError):
    pass


class NonFiniteLoss(TrainingError):
    pass


class CheckpointError(TrainingError):
    pass


class Refusal(TrainingError):
    pass


class CannotResume(Refusal):
    pass


class DeviceError(Refusal):
    pass


class LayoutError(Refusal):
    pass


class DataError(Refusal):
    pass


class TokenizerError(Refusal):
    pass


class WeightsError(Refusal):
    pass
