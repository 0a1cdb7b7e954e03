"""One row of the table of acceptance tests, and the verdicts that it may have."""

from __future__ import annotations

from dataclasses import dataclass

#: The text is met as it is written; it is wrong about the C program, which nbnumba follows; one of its limits is missed;
#: a part was not measured; it asks for something that nbnumba does not have.
HOLDS, C_FOLLOWED, MISSED, PARTLY = "holds", "C program followed", "limit missed", "partly measured"
NOT_FOR_US = "does not apply"
VERDICTS = (HOLDS, C_FOLLOWED, MISSED, PARTLY, NOT_FOR_US)


@dataclass(frozen=True)
class Row:
    """What became of one acceptance test.

    Attributes
    ----------
    subject : str
        What is tested.
    verdict : str
        One of ``VERDICTS``.
    tests : tuple of str
        ``module.function`` in ``tests/acceptance/``; those in ``test_against_c`` need the C program.
    note : str
        What nbnumba does where the text and the C program differ, or why the test does not apply.
    figure : str
        A figure that no test measures, with the command that made it.
    """

    subject: str
    verdict: str
    tests: tuple[str, ...] = ()
    note: str = ""
    figure: str = ""
