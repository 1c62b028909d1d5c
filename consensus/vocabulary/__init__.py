"""What is signed, sent and stored: one file per object, with its type and its one encoding."""
