"""What the agent takes and gives. Client and service both import it."""

from typing import List

from pydantic import BaseModel


class Persona(BaseModel):
    """The context of a session: who the agent is."""

    name: str


class Question(BaseModel):
    text: str
    # The first question of a conversation is turn 1.
    turn: int
    # All earlier questions; only when the agent has lost its memory.
    earlier: List[str] = []


class Answer(BaseModel):
    text: str
    turn: int
    # The agent does not remember what came before this turn: ask again, with the earlier questions.
    has_forgotten: bool = False
