"""The encoder of judges that read both ways: an architecture as data, parameters as a plain dict, one function."""

from nashpo.lm.encoder.architecture import Encoder
from nashpo.lm.encoder.forward import encode

__all__ = ["Encoder", "encode"]
