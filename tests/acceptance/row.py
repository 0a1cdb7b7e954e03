"""One row of the table of acceptance tests, and the verdicts that it may have."""

from __future__ import annotations

from dataclasses import dataclass

#: The text is met as it is written; it is wrong about the C program, which nbnumba follows; its limit is missed, here
#: and by the C program; it asks for something that nbnumba does not have.
HOLDS, C_FOLLOWED, MISSED, NOT_FOR_US = "holds", "C program followed", "limit missed", "does not apply"
VERDICTS = (HOLDS, C_FOLLOWED, MISSED, NOT_FOR_US)


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
