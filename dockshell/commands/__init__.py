"""One verb, one file. Each has `run(arguments: Arguments) -> int`, which turns words into the nouns of model.py."""
