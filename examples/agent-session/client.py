"""A conversation with the agent: client.py, or client.py QUESTION QUESTION …"""

import sys
from typing import List

import flamepy
from api import Answer, Persona, Question

QUESTIONS = ["My name is Ada.", "My city is London.", "What is my name?", "What is my city?"]


def ask(session, asked: List[str], text: str) -> str:
    question = Question(text=text, turn=len(asked) + 1)
    answer = session.invoke(question)
    if answer.has_forgotten:
        # Its worker was lost, and another one serves the session now.
        answer = session.invoke(question.model_copy(update={"earlier": asked}))
    asked.append(text)
    return answer.text


# One executor: the state is in its process.
with flamepy.create_session(
    "agent-app", common_data=Persona(name="Socrates"), max_instances=1, codec="json", output=Answer
) as session:
    asked: List[str] = []
    for text in sys.argv[1:] or QUESTIONS:
        print(f"You: {text}\n{ask(session, asked, text)}")
