"""Small talk every assistant needs: used where a knowledge base brings no intent of that name. Pure."""

from __future__ import annotations

from dataclasses import replace

from assistant.records import Intent, Knowledge


def with_default_intents(knowledge: Knowledge) -> Knowledge:
    """Add the small-talk intents that a base lacks; a base's own intents stay as they are."""
    present = {intent.name for intent in knowledge.intents}
    shop = knowledge.shop
    defaults = (
        Intent(
            "greeting",
            (
                "Hello",
                "hi",
                "Hi there",
                "hey",
                "Good morning",
                "good evening",
                "hello is anybody there",
                "hi i have a question",
                "Hello there!",
                "good afternoon",
                "heya",
                "greetings",
            ),
            reply=shop.greeting,
        ),
        Intent(
            "thanks",
            (
                "Thanks!",
                "thank you very much",
                "thx",
                "great, thank you",
                "thanks for your help",
                "perfect thanks",
                "cheers, that helped",
                "thx, that was quick",
                "many thanks",
                "ok thanks",
                "thank you so much you are very kind",
                "wonderful, thank you",
            ),
            reply="You're welcome! Is there anything else I can help you with?",
        ),
        Intent(
            "goodbye",
            (
                "Bye",
                "goodbye",
                "see you",
                "that's all, bye",
                "have a nice day",
                "good night",
                "ok bye bye",
                "no more questions, goodbye",
                "ciao",
                "that was everything",
                "talk to you later",
                "have a good weekend",
            ),
            reply="Goodbye! Just write again if anything comes up.",
        ),
        Intent(
            "are_you_a_bot",
            (
                "Are you a bot?",
                "am i talking to a robot or a person",
                "is this a real person",
                "are you human",
                "do I talk with a machine here",
                "are you an AI",
                "is there a real person behind this chat",
                "you are a computer right",
                "who am i speaking to, a human or a program",
                "is this automated",
                "am I chatting with a real human being",
                "are u a bot",
            ),
            reply=f"I'm an automated assistant of {shop.name}, not a person. I answer from its help pages; if you'd "
            "rather talk to a colleague, just say so.",
        ),
        Intent(
            "talk_to_person",
            (
                "I want to talk to a person",
                "connect me with a human",
                "can i speak to someone",
                "agent please",
                "real person please",
                "let me talk to your manager",
                "get me customer service",
                "hand me over to a colleague",
                "i need to speak with a real human",
                "can somebody call me",
                "transfer me to an employee",
                "human please",
            ),
        ),
    )
    missing = tuple(intent for intent in defaults if intent.name not in present)
    return replace(knowledge, intents=(*knowledge.intents, *missing))
