"""Studies: many runs declared in a file, resumable, every finished part safe on the disk."""

from nashpo.studies.run import Failure, Finished, run_study
from nashpo.studies.store import StudyWarning
from nashpo.studies.study import Study, read_study

__all__ = ["Failure", "Finished", "Study", "StudyWarning", "read_study", "run_study"]
