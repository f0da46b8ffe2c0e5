"""What a text must be for its purpose (advertisement, search page, e-mail, chat answer), each with its own metrics."""
