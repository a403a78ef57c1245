"""Questions about foreign data, and the file that keeps the answers.

`churn init` writes ``onboarding.yml``: where the data is, the answers, and the open
questions with candidates and evidence. Evidence is masked, because people commit the
file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from churn.config import UserError
from churn.onboarding.yaml_writer import write_yaml

ANSWERS_FILE = "onboarding.yml"
_HEADER = """\
Where the data is and what its fields mean. `churn init` reads and writes this file.
To answer a question, write `key: value` under `answers`, and run `churn init` again in
this folder. `variables` go into dbt_project.yml, whose other parts are overwritten.
"""


@dataclass(frozen=True)
class Candidate:
    """A possible answer, with the evidence for it.

    Attributes:
        value: The answer as it is written into the file.
        evidence: Share of records, distinct values and masked examples.
    """

    value: str
    evidence: str = ""


@dataclass(frozen=True)
class Question:
    """Something about the data that a person must decide.

    Attributes:
        key: The key under ``answers``, such as ``events.raw_event_name``.
        text: The question.
        candidates: Possible answers, the likeliest first.
        proposal: The answer that is used until there is one.
    """

    key: str
    text: str
    candidates: Sequence[Candidate] = ()
    proposal: str | None = None


@dataclass
class Answers:
    """The content of ``onboarding.yml``.

    Attributes:
        sources: The path of each source: ``events``, ``accounts``, ...
        tracker: The key of a preset, ``none`` for no preset, ``None`` to recognise it.
        answers: The answer to each question by its key.
        variables: The company's own variables of the package.
        questions: The questions that were open when the file was written.
    """

    sources: dict[str, str] = field(default_factory=dict)
    tracker: str | None = None
    answers: dict[str, str] = field(default_factory=dict)
    variables: dict[str, Any] = field(default_factory=dict)
    questions: list[Question] = field(default_factory=list)

    @classmethod
    def read(cls, folder: Path) -> Answers | None:
        """Read the file of a project's folder; ``None`` if there is none.

        Raises:
            UserError: The file is not what `write` writes.
        """
        path = folder / ANSWERS_FILE
        if not path.is_file():
            return None
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
            sources = {
                str(k): str(v) for k, v in (content.get("sources") or {}).items()
            }
            answers = {
                str(k): str(v)
                for k, v in (content.get("answers") or {}).items()
                if v is not None
            }
            tracker = content.get("tracker")
            questions = [
                Question(
                    str(each["key"]),
                    str(each["question"]),
                    [
                        Candidate(str(c["value"]), str(c.get("evidence") or ""))
                        for c in each.get("candidates") or []
                    ],
                    each.get("proposal"),
                )
                for each in content.get("questions") or []
            ]
            variables = dict(content.get("variables") or {})
        except (
            yaml.YAMLError,
            AttributeError,
            KeyError,
            TypeError,
            ValueError,
        ) as error:
            raise UserError(
                f"{path} is not a file that `churn init` wrote: correct or delete it "
                f"({str(error).splitlines()[0]})."
            ) from error
        return cls(
            sources,
            None if tracker is None else str(tracker),
            answers,
            variables,
            questions,
        )

    def open_questions(self) -> list[Question]:
        """Return the questions without an answer."""
        return [each for each in self.questions if each.key not in self.answers]

    def write(self, folder: Path) -> None:
        """Write the file into a project's folder."""
        content = {
            "sources": self.sources,
            "tracker": self.tracker,
            "answers": self.answers,
            "variables": self.variables,
            "questions": [
                {
                    "key": each.key,
                    "question": each.text,
                    "proposal": each.proposal,
                    "candidates": [
                        {"value": c.value, "evidence": c.evidence}
                        for c in each.candidates
                    ],
                }
                for each in self.open_questions()
            ],
        }
        write_yaml(folder / ANSWERS_FILE, content, _HEADER)
