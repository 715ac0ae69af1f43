"""What can go wrong in a run, and which exit code says so.

TrainingError            exit 1
├── PeerError            another process of this run is gone, or is not of this run
├── NonFiniteLoss        loss or gradient became NaN or infinite; names the step
├── CheckpointError      a saved state is not what its digests say
└── Refusal              exit 2: the ask cannot be met; found before anything was allocated
    ├── CannotResume     what the attempts before left is not of this ask, or not whole
    ├── GroupError       a group of processes that cannot be
    ├── AddressTaken     exit 69: the first process cannot listen where it should
    ├── PackageError     a package of a version that changes what a run means
    ├── DeviceError      the device asked for is not there, or not allowed
    ├── LayoutError      the mesh cannot divide what it was given
    ├── DataError        a row, a field, a file
    ├── TokenizerError   a tokenizer that is not there, or too large for the model
    ├── WeightsError     weights that are not there, broken, or of another model
    └── ExportError      a run without the state asked for, or a folder that is in the way
"""

from __future__ import annotations

COMPLETED, FAILED, REFUSED, STOPPED, ADDRESS_TAKEN = 0, 1, 2, 75, 69
"""Exit codes. 75 (EX_TEMPFAIL): asked to stop, saved, can be resumed. 69 is EX_UNAVAILABLE."""


class TrainingError(RuntimeError):
    pass


class PeerError(TrainingError):
    pass


class NonFiniteLoss(TrainingError):
    pass


class CheckpointError(TrainingError):
    pass


class Refusal(TrainingError):
    pass


class CannotResume(Refusal):
    pass


class GroupError(Refusal):
    pass


class AddressTaken(Refusal):
    pass


class PackageError(Refusal):
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


class ExportError(Refusal):
    pass
