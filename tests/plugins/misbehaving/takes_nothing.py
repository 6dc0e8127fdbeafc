"""Has what is called, with the wrong parameters."""


def process_request():
    return "never"
