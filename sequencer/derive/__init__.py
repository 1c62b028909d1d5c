"""Rebuilding every namespace's chain from what is on the L1, with no node's word for it.

Responsible for: reading batches from the Inbox's events, checking their certificates, fetching what is held, and making
namespace blocks of payloads.
Refuses to do: import anything of a node. It is written from the formats alone, so that it checks what nodes execute.
"""
