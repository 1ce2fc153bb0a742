"""The `assistant` command: names its sub-commands and imports one only when it is called."""

from __future__ import annotations

import click

from assistant import __version__
from assistant.cli.common import LazyGroup

COMMANDS = {
    "serve": ("assistant.cli.serve:serve_command", "Serve the chat page and the websocket on one port."),
    "chat": ("assistant.cli.chat:chat_command", "Talk to the assistant in the terminal."),
    "ask": ("assistant.cli.ask:ask_command", "Ask a question, print the answer."),
    "ingest": ("assistant.cli.ingest:ingest_command", "Take knowledge files in and switch to them."),
    "knowledge": ("assistant.cli.ingest:knowledge_group", "List, compare, search and roll back snapshots."),
    "transcribe": ("assistant.cli.transcribe:transcribe_command", "Turn speech files into text."),
    "evaluate": ("assistant.cli.evaluate:evaluate_command", "Turn labelled questions into figures."),
    "models": ("assistant.cli.models:models_group", "List, check and add models."),
    "team": ("assistant.cli.team:team_group", "Agents, their credentials, and what they read."),
    "agent": ("assistant.cli.agent:agent_command", "Speak with customers who asked for a person."),
    "insights": ("assistant.cli.insights:insights_group", "What was not answered, and drafts made of it."),
    "customer": ("assistant.cli.customer:customer_group", "Export or delete one customer's data."),
}


@click.group(cls=LazyGroup, lazy_commands=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="assistant", message="%(prog)s %(version)s")
def assistant() -> None:
    """Customer service inside mini-programs, offline: answers with their source, or an honest no.

    Every command takes --help. Exit codes: 0 done, 1 refused with a reason, 2 wrong usage.
    """


def main() -> None:
    """Run the command line; ends the process."""
    assistant(prog_name="assistant")
