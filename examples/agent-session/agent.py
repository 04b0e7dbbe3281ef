"""An agent that remembers its conversation: state that lives as long as the session.

There is no language model here, only what matters about such an agent on a cluster: it is expensive to begin with and
cheap to go on with, so that its state stays in the process that serves the session.
"""

import re
from typing import Dict

import flamepy
from api import Answer, Persona, Question

ins = flamepy.FlameInstance()

persona = Persona(name="Nobody")
facts: Dict[str, str] = {}
turns = 0


@ins.context
def begin(given: Persona) -> None:
    """A session begins. The process may have served another one before."""
    global persona
    persona = given
    forget()


@ins.entrypoint
def converse(question: Question) -> Answer:
    global turns
    if question.earlier:
        forget()
        for text in question.earlier:
            listen(text)
        turns = len(question.earlier)
    if question.turn <= turns:
        forget()  # a turn that ran before, on a worker that was lost: its memory is not to be trusted
    if question.turn != turns + 1:
        return Answer(text="", turn=turns, has_forgotten=True)
    turns = question.turn
    return Answer(text=listen(question.text), turn=turns)


def listen(text: str) -> str:
    told = re.match(r"my (\w+) is (.+)", text, re.IGNORECASE)
    asked = re.match(r"what is my (\w+)", text, re.IGNORECASE)
    if told:
        facts[told[1].lower()] = told[2].rstrip(".")
        return f"{persona.name}: I will remember your {told[1].lower()}."
    if asked:
        known = facts.get(asked[1].lower())
        return f"{persona.name}: it is {known}." if known else f"{persona.name}: you never told me."
    return f"{persona.name}: tell me more."


def forget() -> None:
    global turns
    facts.clear()
    turns = 0


if __name__ == "__main__":
    ins.run()
