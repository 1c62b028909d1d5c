"""The client library: sends, follows and verifies; imports only the protocol core."""
